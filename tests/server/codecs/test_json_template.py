"""The fast way of reading and writing bodies over HTTP says exactly what the general way says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.codecs import oip_json
from rapide.server.codecs.json_template import JsonAnswerTemplate, Template, learn
from rapide.server.codecs.json_text import dump
from rapide.server.codecs.oip_json import JsonReply
from rapide.server.errors import RapideError
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array, InferResponse, OutputTensor

NUMBERS = [
    datatype
    for datatype in DataType
    if datatype not in (DataType.BYTES, DataType.BOOL, DataType.FP16, DataType.BF16)
]
FIXED = [datatype for datatype in DataType if datatype not in (DataType.BYTES, DataType.BOOL)]


def generally(body: bytes, length: int | None = None) -> list[Array] | None:
    """What the general way reads; None where it refuses."""
    try:
        request, _ = oip_json.decode_request(body, length, "m")
    except RapideError:
        return None
    return [tensor.array for tensor in request.inputs]


def template_of(body: bytes, length: int | None = None) -> Template | None:
    return learn(body, length, *oip_json.decode_request(body, length, "m"))


def assert_same(got: list[Array] | None, want: list[Array] | None) -> None:
    assert got is not None
    assert want is not None
    for mine, other in zip(got, want, strict=True):
        assert (mine.dtype, mine.shape, mine.tobytes()) == (other.dtype, other.shape, other.tobytes())


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, Any], list[Any]]:
    """A request in JSON, and other data of the same shapes; now and then with something that is refused."""
    inputs, others = [], []
    for number in range(draw(st.integers(1, 3))):
        datatype = draw(st.sampled_from(NUMBERS))
        shape = (draw(st.integers(0, 3)), draw(st.integers(1, 3)))
        numbers = (
            st.floats(width=32, allow_nan=False, allow_infinity=False)
            if datatype.is_float
            else st.integers(0, 127)
        )
        rows = st.lists(
            st.lists(numbers, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
        )
        is_flat = draw(st.booleans())

        def data(value: Any, is_flat: bool = is_flat) -> Any:
            return [element for row in value for element in row] if is_flat else value

        inputs.append(
            {"name": f"x{number}", "shape": list(shape), "datatype": str(datatype), "data": data(draw(rows))}
        )
        wrong = st.sampled_from([None, [], "text", 1e300, [[None]], True, [["1"]], {"data": [1]}])
        others.append(draw(st.one_of(rows.map(data), rows.map(data), wrong)))
    document: dict[str, Any] = {"inputs": inputs}
    if draw(st.booleans()):
        document = {"id": draw(st.text(max_size=3)), **document}
    if draw(st.booleans()):
        document["outputs"] = [{"name": draw(st.sampled_from(['label"data":[1]', "p"]))}]
    return document, others


@given(documents(), st.booleans())
def test_hot_and_general_way_read_the_same(given_: tuple[dict[str, Any], list[Any]], is_tight: bool) -> None:
    document, others = given_
    separators = (",", ":") if is_tight else (", ", " : ")
    body = json.dumps(document, separators=separators).encode()
    if generally(body) is None:  # an infinite FP32, say
        return
    template = template_of(body)
    if b'label\\"data' not in body:
        assert template is not None
    if template is None:
        return
    assert_same(template.arrays(body), generally(body))
    for entry, data in zip(document["inputs"], others, strict=True):
        entry["data"] = data
    later = json.dumps(document, separators=separators).encode()
    got = template.arrays(later)
    raw = template.raw(later)
    if raw is not None:
        assert got is not None
        assert raw == [array.tobytes() for array in got]
    if got is not None:
        assert_same(got, generally(later))
    elif all(isinstance(data, list) and data for data in others):
        assert generally(later) is None or "null" in later.decode() or "Infinity" in later.decode()


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", [True, 1.5]),
        ("FP32", [None, 1.5]),
        ("FP32", ["1", 1.5]),
        ("FP32", [3.5e38, 1.5]),
        ("FP32", [10**400, 1]),
        ("FP32", [[1.5], 1.5]),
        ("FP64", [False, 1.5]),
        ("INT64", [True, 1]),
        ("INT64", [1.0, 1]),
        ("INT8", [128, 1]),
        ("UINT8", [-1, 1]),
        ("UINT64", [1 << 64, 1]),
    ],
)
def test_only_plain_numbers_that_fit_are_packed(datatype: str, data: list[Any]) -> None:
    def body(data: list[Any]) -> bytes:
        return json.dumps({"inputs": [{"name": "x", "shape": [2], "datatype": datatype, "data": data}]}).encode()

    template = template_of(body([1, 2]))
    assert template is not None
    assert template.raw(body([3, 4])) == [array.tobytes() for array in generally(body([3, 4])) or []]
    assert template.raw(body(data)) is None


@pytest.mark.parametrize("value", [3.4028235677973366e38, 3.40282356e38, 1e-46, 1.1754943e-38, 16777217, 0.1])
def test_packed_numbers_are_rounded_as_in_the_general_way(value: float) -> None:
    def body(data: list[Any]) -> bytes:
        return json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": data}]}).encode()

    template = template_of(body([1]))
    assert template is not None
    arrays = generally(body([value]))
    assert template.raw(body([value])) == (None if arrays is None else [array.tobytes() for array in arrays])


@given(st.data(), st.lists(st.sampled_from(FIXED), min_size=1, max_size=3), st.integers(0, 3), st.booleans())
def test_tensors_behind_the_json_are_read_the_same(
    data: st.DataObject, datatypes: list[DataType], rows: int, is_binary_wanted: bool
) -> None:
    sizes = [rows * 2 * NUMPY_DTYPES[datatype].itemsize for datatype in datatypes]
    inputs = [
        {"name": f"x{n}", "shape": [rows, 2], "datatype": str(datatype), "parameters": {"binary_data_size": size}}
        for n, (datatype, size) in enumerate(zip(datatypes, sizes, strict=True))
    ]
    text = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": is_binary_wanted}}).encode()
    first, later = (text + data.draw(st.binary(min_size=sum(sizes), max_size=sum(sizes))) for _ in range(2))
    template = template_of(first, len(text))
    assert template is not None
    assert template.reply.is_binary("any") is is_binary_wanted
    assert_same(template.arrays(later), generally(later, len(text)))
    raw = template.raw(later)
    assert raw is not None
    assert b"".join(raw) == later[len(text) :]
    assert template.arrays(later + b"x") is None
    assert template.raw(later[:-1] if sum(sizes) else b"") is None


@pytest.mark.parametrize(
    "body",
    [
        '{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["a"]}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true]}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[null]}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[NaN]}]}',
        '{"inputs":[{"name":"x","shape":[],"datatype":"FP32","data":1}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1],"parameters":{"mine":1}}]}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],"parameters":{"timeout":1}}',
        '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],'
        '"outputs":[{"name":"y","parameters":{"classification":1}}]}',
        # The first inputs are overruled by the second: what stands at the first data means nothing.
        '{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}],'
        '"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}',
        '{"note":{"data":[1]},"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}',
    ],
)
def test_what_has_no_pattern(body: str) -> None:
    assert template_of(body.encode()) is None


@given(
    arrays=st.lists(
        st.tuples(st.sampled_from(NUMBERS), st.sampled_from([(), (2,), (2, 1)]), st.booleans()),
        min_size=1,
        max_size=3,
    ),
    rows=st.integers(0, 3),
    request_id=st.sampled_from(["", "mine", 'a"b']),
    seed=st.integers(0, 2**32 - 1),
)
def test_answers_are_written_the_same(
    arrays: list[tuple[DataType, tuple[int, ...], bool]], rows: int, request_id: str, seed: int
) -> None:
    random = np.random.default_rng(seed)
    outputs = [
        OutputTensor(
            f"y{number}",
            datatype,
            np.frombuffer(
                random.bytes(rows * int(np.prod(shape, dtype=int)) * NUMPY_DTYPES[datatype].itemsize),
                NUMPY_DTYPES[datatype],
            ).reshape(rows, *shape),
        )
        for number, (datatype, shape, _) in enumerate(arrays)
    ]
    reply = JsonReply("json", binary_by_name={f"y{n}": is_binary for n, (_, _, is_binary) in enumerate(arrays)})
    template = JsonAnswerTemplate(
        "m", "3", request_id, [(o.name, o.datatype, o.array.shape[1:]) for o in outputs], reply
    )
    in_json = [dump(output.array.reshape(-1)) for output in outputs if not reply.is_binary(output.name)]
    raw = [output.array.tobytes() for output in outputs if reply.is_binary(output.name)]
    for _ in range(2):
        got = template.encode(rows, in_json, raw)
        assert got == oip_json.encode_response(InferResponse("m", "3", request_id, outputs), reply)
