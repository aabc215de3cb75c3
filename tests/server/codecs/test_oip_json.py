"""JSON bodies: every datatype as JSON and binary, as tritonclient sends them; what is refused; answers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient import http as triton

from rapide.server.codecs import oip_json, tensor_bytes
from rapide.server.codecs.limits import CodecLimits
from rapide.server.codecs.oip_json import JsonReply
from rapide.server.errors import InvalidRequest, RapideError, TooLarge, Unimplemented
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, InferRequest, InferResponse, OutputTensor
from tests.server.codecs import strategies
from tests.server.codecs.strategies import assert_same_array, assert_same_request, few


def simple(**changes: Any) -> dict[str, Any]:
    """A request of one FP32 input x of shape [2], changed; None takes a key away."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2.5]} | changes.pop("x", {})
    return {"inputs": [{key: value for key, value in tensor.items() if value is not None}]} | changes


def decode(document: Any, tail: bytes = b"", header_length: int | None = None, **options: Any) -> InferRequest:
    body = json.dumps(document).encode()
    if tail and header_length is None:
        header_length = len(body)
    return oip_json.decode_request(body + tail, header_length, "m", **options)[0]


def body_of(request: InferRequest, binary: list[bool], nest: bool) -> tuple[bytes, int | None]:
    inputs = []
    parts = []
    for tensor, as_binary in zip(request.inputs, binary, strict=True):
        entry: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.array.shape),
        }
        if as_binary:
            parts.append(bytes(tensor_bytes.to_bytes(tensor.array, tensor.datatype)))
            entry["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            values = tensor.array.reshape(-1).tolist()
            if tensor.datatype is DataType.BYTES:
                values = [item.decode() for item in values]
            as_objects = np.empty(len(values), dtype=object)
            as_objects[:] = values
            entry["data"] = as_objects.reshape(tensor.array.shape).tolist() if nest else values
        inputs.append(entry)
    text = orjson.dumps(
        {
            "id": request.id,
            "parameters": dict(request.parameters),
            "inputs": inputs,
            "outputs": [{"name": o.name, "parameters": dict(o.parameters)} for o in request.outputs],
        }
    )
    return (text + b"".join(parts), len(text)) if any(binary) else (text, None)


@given(strategies.requests(strategies.WITH_TEXT_FORM, text_only=True), st.booleans())
def test_json_requests_come_back(request: InferRequest, nest: bool) -> None:
    body, length = body_of(request, [False] * len(request.inputs), nest)
    decoded, reply = oip_json.decode_request(body, length, request.model_name, request.model_version)
    assert_same_request(decoded, request)
    assert reply == JsonReply("json")


@given(strategies.requests(strategies.ALL))
def test_binary_requests_come_back(request: InferRequest) -> None:
    body, length = body_of(request, [True] * len(request.inputs), nest=False)
    decoded, reply = oip_json.decode_request(memoryview(body), length, request.model_name, request.model_version)
    assert_same_request(decoded, request)
    assert reply.encoding == ("json+binary" if request.inputs else "json")


@given(strategies.requests(strategies.WITH_TEXT_FORM, text_only=True), st.data())
def test_json_and_binary_inputs_may_stand_together(request: InferRequest, data: st.DataObject) -> None:
    count = len(request.inputs)
    body, length = body_of(request, data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), nest=True)
    decoded, _ = oip_json.decode_request(body, length, request.model_name, request.model_version)
    assert_same_request(decoded, request)


@pytest.mark.parametrize("binary", [False, True], ids=["json", "binary"])
@pytest.mark.parametrize("datatype", strategies.ALL)
@few
@given(data=st.data())
def test_tritonclient_is_understood_and_understands(datatype: DataType, binary: bool, data: st.DataObject) -> None:
    if not binary and datatype in strategies.WITHOUT_TEXT_FORM:
        return
    array = data.draw(strategies.arrays(datatype, text_only=not binary))
    tensor = triton.InferInput("x", list(array.shape), datatype.value)
    tensor.set_data_from_numpy(array, binary_data=binary)
    wanted = triton.InferRequestedOutput("x", binary_data=binary)
    body, length = triton.InferenceServerClient.generate_request_body(
        [tensor], outputs=[wanted], request_id="id", parameters={"p": 1.5}
    )
    request, reply = oip_json.decode_request(body, length, "m", "3")
    assert (request.id, request.parameters) == ("id", {"p": 1.5})
    assert_same_array(request.inputs[0].array, array)

    answer, json_length = oip_json.encode_response(
        InferResponse("m", "3", "id", [OutputTensor("x", datatype, array)]), reply
    )
    result = triton.InferenceServerClient.parse_response_body(answer, header_length=json_length)
    assert_same_array(_as_bytes(result.as_numpy("x"), datatype), array)


def _as_bytes(array: Any, datatype: DataType) -> Any:
    """BYTES come out of JSON as texts, and nothing at all comes out as floats."""
    out = np.empty(array.shape, dtype=NUMPY_DTYPES[datatype])
    out.reshape(-1)[:] = [v.encode() if isinstance(v, str) else v for v in array.reshape(-1)]
    return out


def test_tritonclient_asks_for_everything_as_binary_by_default() -> None:
    tensor = triton.InferInput("x", [2], "FP32")
    tensor.set_data_from_numpy(np.float32([1, 2]))
    body, length = triton.InferenceServerClient.generate_request_body([tensor])
    _, reply = oip_json.decode_request(body, length, "m")
    assert reply.is_binary("anything")


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (simple(), {"a": False, "b": False}),
        (simple(parameters={"binary_data_output": True}), {"a": True, "b": True}),
        (
            simple(outputs=[{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}]),
            {"a": True, "b": False},
        ),
        (
            simple(
                parameters={"binary_data_output": True},
                outputs=[{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}],
            ),
            {"a": False, "b": True},
        ),
    ],
)
def test_each_output_goes_as_asked(document: Any, wanted: dict[str, bool]) -> None:
    _, reply = oip_json.decode_request(json.dumps(document).encode(), None, "m")
    assert {name: reply.is_binary(name) for name in wanted} == wanted


def test_null_and_nan_are_nan_in_float_inputs() -> None:
    assert np.isnan(decode(simple(x={"data": [None, float("nan")]})).inputs[0].array).all()


@pytest.mark.parametrize(("shape", "data"), [([], 5), ([], [5]), ([1], [5]), ([1, 1], [[5]])])
def test_scalars(shape: list[int], data: Any) -> None:
    array = decode(simple(x={"shape": shape, "data": data})).inputs[0].array
    assert array.shape == tuple(shape)
    assert array.reshape(-1).tolist() == [5]


@pytest.mark.parametrize(
    ("shape", "data"), [([0], []), ([0, 3], []), ([2, 0], []), ([2, 0], [[], []]), ([2, 0, 3], [[], []])]
)
def test_nothing_at_all(shape: list[int], data: Any) -> None:
    assert decode(simple(x={"shape": shape, "data": data})).inputs[0].array.shape == tuple(shape)


def test_binary_inputs_are_views_of_the_body() -> None:
    text = json.dumps(simple(x={"data": None, "parameters": {"binary_data_size": 8}})).encode()
    text += b" " * (-len(text) % 4)  # where the client takes care that elements are aligned
    body = bytearray(text + np.float32([1, 2]).tobytes())
    request, _ = oip_json.decode_request(memoryview(body), len(text), "m")
    body[-4:] = np.float32(7).tobytes()
    assert request.inputs[0].array.tolist() == [1, 7]


def test_shared_memory_is_read() -> None:
    shared = {"shared_memory_region": "r", "shared_memory_byte_size": 8, "shared_memory_offset": 4}
    memory = bytes(4) + np.float32([1, 2]).tobytes()
    request = decode(
        simple(x={"data": None, "parameters": shared}),
        read_region=lambda name, offset, size: memoryview({"r": memory}[name])[offset : offset + size],
    )
    assert request.inputs[0].array.tolist() == [1, 2]


def test_unknown_keys_are_left_for_later_versions_of_the_protocol() -> None:
    assert decode(simple(later=1, x={"later": 2})).inputs[0].array.tolist() == [1, 2.5]


REFUSED: dict[str, tuple[Any, str]] = {
    "no-inputs": ({}, "inputs must be a list of objects, got none"),
    "inputs-object": ({"inputs": {}}, "inputs must be a list of objects, got an object"),
    "input-number": ({"inputs": [1]}, "inputs[0] must be an object, got 1"),
    "outputs-text": (simple(outputs="y"), "outputs must be a list of objects, got the text 'y'"),
    "no-name": (simple(x={"name": None}), "an input has no name; expected a text, got null"),
    "name-number": (simple(x={"name": 5}), "an input has no name; expected a text, got 5"),
    "output-no-name": (simple(outputs=[{}]), "an output has no name; expected a text, got null"),
    "output-twice": (simple(outputs=[{"name": "y"}] * 2), "output 'y' is asked for more than once"),
    "id": (simple(id=5), "id must be a text, got 5"),
    "no-datatype": (
        simple(x={"datatype": None}),
        "input 'x': datatype must be a text such as FP32, got null",
    ),
    "datatype": (
        simple(x={"datatype": "float"}),
        "input 'x': datatype 'float' is unknown; expected one of BOOL, ",
    ),
    "no-shape": (simple(x={"shape": None}), "input 'x': shape must be a list of whole numbers, got null"),
    "shape-float": (
        simple(x={"shape": [2.0]}),
        "input 'x': shape must be a list of whole numbers, got one with 2.0",
    ),
    "shape-true": (
        simple(x={"shape": [True]}),
        "input 'x': shape must be a list of whole numbers, got one with true",
    ),
    "shape-huge": (
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [10**300], "data": [float("nan")]}]},
        "input 'x': shape must be a list of whole numbers, got one with a whole number of 997 bits",
    ),
    "negative": (simple(x={"shape": [-2]}), "input 'x' has shape [-2]; every size must be 0 or more"),
    "no-data": (
        simple(x={"data": None}),
        "input 'x': expected one of data, binary_data_size, shared_memory_region; got none",
    ),
    "data-and-binary": (
        simple(x={"parameters": {"binary_data_size": 8}}),
        "input 'x': expected one of data, binary_data_size, shared_memory_region; got data and binary_data_size",
    ),
    "few": (simple(x={"data": [1]}), "input 'x' has 1 elements; its shape [2] needs 2"),
    "text": (simple(x={"data": [1, "2"]}), "input 'x': FP32 takes a number, got the text '2' at index [1]"),
    "true": (simple(x={"data": [1, True]}), "input 'x': FP32 takes a number, got true at index [1]"),
    "list": (simple(x={"data": [1, [2]]}), "input 'x': FP32 takes a number, got a list at index [1]"),
    "huge": (
        simple(x={"data": [1, 1e39]}),
        "input 'x': FP32 takes a number between ±3.403e38, got 1e+39 at index [1]",
    ),
    "range": (
        simple(x={"datatype": "INT8", "data": [1, 200]}),
        "input 'x': INT8 takes a whole number from -128 to 127, got 200 at index [1]",
    ),
    "float-for-int": (
        simple(x={"datatype": "INT64", "data": [1, 2.0]}),
        "input 'x': INT64 takes a whole number, got 2.0 at index [1]",
    ),
    "null-for-int": (
        simple(x={"datatype": "INT64", "data": [1, None]}),
        "input 'x': INT64 takes a whole number, got null at index [1]",
    ),
    "bool-for-int": (
        simple(x={"datatype": "INT64", "data": [False, 1]}),
        "input 'x': INT64 takes a whole number, got false at index [0]",
    ),
    "number-for-bool": (
        simple(x={"datatype": "BOOL", "data": [True, 1]}),
        "input 'x': BOOL takes true or false, got 1 at index [1]",
    ),
    "number-for-text": (
        simple(x={"datatype": "BYTES", "data": ["a", 1]}),
        "input 'x': BYTES takes a text, got 1 at index [1]",
    ),
    "scalar": (
        simple(x={"shape": [], "data": "5"}),
        "input 'x': FP32 takes a number, got the text '5'",
    ),
    "fp16": (
        simple(x={"datatype": "FP16"}),
        "input 'x': FP16 has no JSON form; send it in the binary form (binary_data_size)",
    ),
    "bf16": (
        simple(x={"datatype": "BF16"}),
        "input 'x': BF16 has no JSON form; send it in the binary form (binary_data_size)",
    ),
    "parameters": (simple(parameters=[]), "the request: parameters must be an object, got a list"),
    "parameter": (
        simple(x={"parameters": {"p": None}}),
        "input 'x': parameter 'p' must be a text, a number of 64 bits, true or false, got null",
    ),
    "binary-size": (
        simple(x={"data": None, "parameters": {"binary_data_size": -1}}),
        "input 'x': binary_data_size must be a whole number of at least 0, got -1",
    ),
    "binary-flag": (
        simple(outputs=[{"name": "y", "parameters": {"binary_data": 1}}]),
        "output 'y': binary_data must be true or false, got 1",
    ),
    "binary-output-flag": (
        simple(parameters={"binary_data_output": "yes"}),
        "the request: binary_data_output must be true or false, got the text 'yes'",
    ),
    "no-header": (
        simple(x={"data": None, "parameters": {"binary_data_size": 8}}),
        "input 'x' has binary_data_size 8, but 0 bytes are left after the JSON part and the inputs before it; "
        "check Inference-Header-Content-Length",
    ),
}


@pytest.mark.parametrize(("document", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(document: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        decode(document)
    assert error.value.message.startswith(text)


@pytest.mark.parametrize(
    ("tail", "header_length", "text"),
    [
        (bytes(8), 5, "the request body is not valid JSON: "),
        (bytes(8), 10**6, "Inference-Header-Content-Length is 1000000, but the body has "),
        (bytes(8), 0, "Inference-Header-Content-Length is 0, but the body has "),
        (bytes(9), None, "1 bytes are left over after the JSON part and all binary inputs; "),
        (bytes(7), None, "input 'x' has binary_data_size 8, but 7 bytes are left after the JSON part"),
    ],
)
def test_wrong_header_lengths_are_refused(tail: bytes, header_length: int | None, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        decode(simple(x={"data": None, "parameters": {"binary_data_size": 8}}), tail, header_length)
    assert error.value.message.startswith(text)


def test_a_binary_size_that_is_not_the_shapes_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"input 'x' has 4 bytes; shape \[2\] of FP32 needs 8"):
        decode(simple(x={"data": None, "parameters": {"binary_data_size": 4}}), bytes(4))


@pytest.mark.parametrize(
    ("document", "error", "text"),
    [
        ({"inputs": [{}] * 10_000}, TooLarge, "inputs has 10000 entries; at most 4096 are allowed"),
        (simple(outputs=[{}] * 5000), TooLarge, "outputs has 5000 entries; at most 4096 are allowed"),
        (simple(x={"shape": [2**40, 2**40]}), TooLarge, f"input 'x' has shape [{2**40}, {2**40}]; at most"),
        (simple(x={"shape": [1] * 33}), TooLarge, "input 'x' has 33 dimensions; at most 32 are allowed"),
        (
            simple(
                x={"data": None, "parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 8}},
            ),
            Unimplemented,
            "input 'x' is in shared memory, which this server does not offer",
        ),
    ],
    ids=["inputs", "outputs", "elements", "rank", "shared-memory-off"],
)
def test_bounds(document: Any, error: type[RapideError], text: str) -> None:
    with pytest.raises(error) as raised:
        decode(document)
    assert raised.value.message.startswith(text)


def test_bounds_are_settable() -> None:
    with pytest.raises(TooLarge, match="at most 0 are allowed"):
        decode(simple(), limits=CodecLimits(max_inputs=0))


# ---- answers ---------------------------------------------------------------------------------------------


def answer(*outputs: OutputTensor, reply: JsonReply | None = None, **more: Any) -> tuple[dict[str, Any], bytes]:
    body, length = oip_json.encode_response(
        InferResponse("m", "3", more.pop("id", ""), list(outputs), **more), reply or JsonReply("json")
    )
    return json.loads(body[:length]), body[length:] if length is not None else b""


def test_an_answer_in_json() -> None:
    document, tail = answer(OutputTensor("y", DataType.FP32, np.float32([[0.1, np.nan], [np.inf, 2]])), id="7")
    assert tail == b""
    assert document == {
        "model_name": "m",
        "model_version": "3",
        "id": "7",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [0.1, None, None, 2.0]}],
    }


@pytest.mark.parametrize("dtype", [np.longlong, np.ulonglong])
def test_integers_of_onnx_runtimes_c_types_are_written(dtype: Any) -> None:
    document, _ = answer(OutputTensor("y", DataType.INT64, np.array([5], dtype=dtype)))
    assert document["outputs"][0]["data"] == [5]


def test_an_answer_with_parameters_and_two_binary_outputs() -> None:
    document, tail = answer(
        OutputTensor("a", DataType.INT8, np.int8([1, 2]), {"p": 1}),
        OutputTensor("b", DataType.BOOL, np.array([True])),
        OutputTensor("c", DataType.BYTES, np.array([b"xy"], dtype=object)),
        reply=JsonReply("json", binary=True, binary_by_name={"b": False}),
        parameters={"q": True},
    )
    assert tail == b"\x01\x02" + b"\x02\x00\x00\x00xy"
    assert document["parameters"] == {"q": True}
    assert [output.get("parameters") for output in document["outputs"]] == [
        {"p": 1, "binary_data_size": 2},
        None,
        {"binary_data_size": 6},
    ]
    assert document["outputs"][1]["data"] == [True]


def test_an_output_in_shared_memory_has_no_data() -> None:
    where = {"shared_memory_region": "r", "shared_memory_byte_size": 2}
    document, tail = answer(
        OutputTensor("a", DataType.INT8, np.int8([1, 2]), where), reply=JsonReply("json", True)
    )
    assert document["outputs"] == [{"name": "a", "datatype": "INT8", "shape": [2], "parameters": where}]
    assert tail == b""


def test_a_strided_output_is_written_row_major() -> None:
    document, _ = answer(OutputTensor("y", DataType.INT32, np.arange(6, dtype=np.int32).reshape(2, 3).T))
    assert document["outputs"][0]["data"] == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (
            OutputTensor("y", DataType.FP16, np.float16([1])),
            "output 'y' is FP16, which has no JSON form; ask for it with the parameter \"binary_data\": true",
        ),
        (
            OutputTensor("y", DataType.BYTES, np.array([b"\xff"], dtype=object)),
            "output 'y' holds bytes that are not UTF-8 text, which have no JSON form; "
            'ask for it with the parameter "binary_data": true',
        ),
    ],
)
def test_what_has_no_json_form_is_named(output: OutputTensor, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        answer(output)
    assert error.value.message == text
