"""TensorFlow Serving's rows and columns to tensors: every documented form, and what contradicts the model."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.codecs.columns import Form, PredictCall
from rapide.server.codecs.limits import CodecLimits
from rapide.server.codecs.tensor_columns import TensorCodec, read_tensors
from rapide.server.errors import InvalidRequest
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import InferRequest, InferResponse, OutputTensor
from tests.server.codecs import strategies
from tests.server.codecs.strategies import assert_same_array, few


def codec(*specs: TensorSpec) -> TensorCodec:
    return TensorCodec(Signature(specs, (), batchable=True))


def one(datatype: DataType, *shape: int) -> TensorCodec:
    return codec(TensorSpec("x", datatype, shape))


def array_of(request: InferRequest) -> Any:
    return request.inputs[0].array


def rows(made: TensorCodec, instances: Any) -> InferRequest:
    return made.request(PredictCall(Form.ROWS, instances))[0]


def columns(made: TensorCodec, inputs: Any) -> InferRequest:
    return made.request(PredictCall(Form.COLUMNS, inputs))[0]


THREE = codec(
    TensorSpec("tag", DataType.BYTES, (-1,)),
    TensorSpec("signal", DataType.INT32, (-1, 5)),
    TensorSpec("sensor", DataType.FP32, (-1, 2, 2)),
)
INSTANCES = [
    {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": [[1, 2], [3, 4]]},
    {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": [[4, 5], [6, 8]]},
]
INPUTS = {name: [instance[name] for instance in INSTANCES] for name in INSTANCES[0]}


def test_rows_and_columns_of_several_inputs_mean_the_same() -> None:
    for request in (rows(THREE, INSTANCES), columns(THREE, INPUTS)):
        assert [tensor.array.tolist() for tensor in request.inputs] == [
            [b"foo", b"bar"],
            INPUTS["signal"],
            INPUTS["sensor"],
        ]


@pytest.mark.parametrize(
    ("made", "instances", "wanted"),
    [
        (one(DataType.BYTES, -1), ["foo", "bar"], [b"foo", b"bar"]),
        (one(DataType.FP32, -1, 1, 2), [[[1, 2]], [[3, 4]]], [[[1, 2]], [[3, 4]]]),
        (one(DataType.FP32, -1), [1.0, 2.0], [1, 2]),
        (one(DataType.FP32, -1, 1), [1.0, 2.0], [[1], [2]]),
        (one(DataType.FP32, -1, 1), [{"x": 1.0}, {"x": 2.0}], [[1], [2]]),
        (one(DataType.FP32, -1, 2), [{"x": [1, 2]}], [[1, 2]]),
        (one(DataType.BYTES, -1), [{"b64": "AP8="}], [b"\x00\xff"]),
        (one(DataType.BYTES, -1, 2), [["a", {"b64": ""}]], [[b"a", b""]]),
        (one(DataType.BOOL, -1), [True, False], [True, False]),
        (one(DataType.FP16, -1), [0.5], [0.5]),
        (one(DataType.BF16, -1), [0.5], [0.5]),
    ],
)
def test_a_single_input_needs_no_name(made: TensorCodec, instances: Any, wanted: Any) -> None:
    assert array_of(rows(made, instances)).tolist() == wanted
    if not any(isinstance(instance, dict) and "x" in instance for instance in instances):
        assert array_of(columns(made, instances)).tolist() == wanted
        assert array_of(columns(made, {"x": instances})).tolist() == wanted


def test_columns_may_be_scalars() -> None:
    assert array_of(columns(one(DataType.FP32), 5)).shape == ()
    assert array_of(columns(one(DataType.BYTES), {"b64": "AA=="})).item() == b"\x00"


@pytest.mark.parametrize("shape", [(-1,), (-1, 3), (-1, -1, 3)])
def test_no_rows_at_all(shape: tuple[int, ...]) -> None:
    wanted = (0, *(max(size, 0) for size in shape[1:]))
    assert array_of(rows(one(DataType.FP32, *shape), [])).shape == wanted
    assert array_of(columns(one(DataType.FP32, *shape), [])).shape == wanted


def test_null_is_nan_in_floats() -> None:
    assert math.isnan(array_of(rows(one(DataType.FP32, -1), [None]))[0])


@pytest.mark.parametrize("datatype", strategies.WITH_TEXT_FORM)
@few
@given(data=st.data())
def test_any_tensor_without_empty_dimensions_comes_back(datatype: DataType, data: st.DataObject) -> None:
    array = data.draw(strategies.arrays(datatype).filter(lambda a: a.size and a.ndim))
    values = array.tolist()
    if datatype is DataType.BYTES:
        flat = np.empty(array.size, dtype=object)
        flat[:] = [{"b64": base64.b64encode(item).decode()} for item in array.reshape(-1)]
        values = flat.reshape(array.shape).tolist()
    made = one(datatype, *array.shape)
    assert_same_array(array_of(rows(made, values)), array)
    assert_same_array(array_of(rows(made, [{"x": value} for value in values])), array)
    assert_same_array(array_of(columns(made, {"x": values})), array)


REFUSED: dict[str, tuple[TensorCodec, Form, Any, str]] = {
    "rows-number": (THREE, Form.ROWS, 5, "instances must be a list with one entry for each row, got 5"),
    "rows-object": (THREE, Form.ROWS, {}, "instances must be a list with one entry for each row, got an object"),
    "rows-bare": (
        THREE,
        Form.ROWS,
        [[1]],
        "instances has no names, but the model has 3 inputs: 'tag', 'signal', 'sensor'; "
        "name them in an object for each row",
    ),
    "columns-bare": (
        THREE,
        Form.COLUMNS,
        [[1]],
        "inputs has no names, but the model has 3 inputs: 'tag', 'signal', 'sensor'; name them in an object",
    ),
    "mixed": (THREE, Form.ROWS, [INSTANCES[0], 5], "instances[1] must be an object as the first one is, got 5"),
    "mixed-other": (
        one(DataType.FP32, -1),
        Form.ROWS,
        [1.0, {"x": 1}],
        "input 'x': expected a number, got an object at index [1]",
    ),
    "typo": (
        THREE,
        Form.ROWS,
        [INSTANCES[0] | {"sensors": 1}],
        "instances[0]: there is no input 'sensors'; did you mean 'sensor'?",
    ),
    "unknown": (
        THREE,
        Form.COLUMNS,
        INPUTS | {"y": 1},
        "inputs: there is no input 'y'; the model takes 'tag', 'signal', 'sensor'",
    ),
    "missing-in-row": (
        THREE,
        Form.ROWS,
        [INSTANCES[0], {"tag": "a", "signal": []}],
        "instances[1]: missing 'sensor'",
    ),
    "missing": (THREE, Form.COLUMNS, {"tag": ["a"]}, "inputs: missing 'signal', 'sensor'"),
    "ragged": (
        one(DataType.FP32, -1, 2),
        Form.ROWS,
        [[1, 2], [3]],
        "input 'x': expected a list of 2 at index [1], got one of 1 (the shape is [2, 2])",
    ),
    "text": (
        one(DataType.FP32, -1, 2),
        Form.ROWS,
        [[1, 2], [3, "4"]],
        "input 'x': expected a number, got the text '4' at index [1, 1]",
    ),
    "scalar": (one(DataType.FP32), Form.COLUMNS, "5", "input 'x': expected a number, got the text '5'"),
    "base64": (one(DataType.BYTES, -1), Form.ROWS, [{"b64": "A*=="}], "input 'x': 'A*==' is not base64"),
    "base64-letters": (one(DataType.BYTES, -1), Form.ROWS, [{"b64": "é"}], "input 'x': 'é' is not base64"),
    "object-for-text": (
        one(DataType.BYTES, -1),
        Form.COLUMNS,
        {"x": ["a", {"b65": "AA=="}]},
        'input \'x\': expected a text or an object {"b64": "…"}, got an object',
    ),
    "base64-for-number": (
        one(DataType.FP32, -1),
        Form.ROWS,
        [{"b64": "AA=="}],
        "input 'x': expected a number, got an object at index [0]",
    ),
}


@pytest.mark.parametrize(("made", "form", "value", "text"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_where(made: TensorCodec, form: Form, value: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        made.request(PredictCall(form, value))
    assert error.value.message == text


def test_depth_is_bounded_by_the_limits() -> None:
    made = TensorCodec(one(DataType.FP32, -1).signature, CodecLimits(max_rank=2))
    with pytest.raises(InvalidRequest, match="input 'x': lists are nested more than 2 deep"):
        columns(made, [[[1]]])


def test_answers_go_by_the_outputs_names() -> None:
    answer = read_tensors(
        InferResponse(
            "m",
            "1",
            "",
            [
                OutputTensor("i", DataType.INT8, np.int8([1])),
                OutputTensor("b", DataType.BOOL, np.array([True])),
                OutputTensor("f", DataType.FP16, np.float16([1])),
                OutputTensor("t", DataType.BYTES, np.array([[b"a", b"\xff"]], dtype=object)),
            ],
        )
    )
    assert not answer.named
    assert {name: (column.kind, column.values.tolist()) for name, column in answer.columns.items()} == {
        "i": ("integer", [1]),
        "b": ("boolean", [True]),
        "f": ("number", [1.0]),
        "t": ("text", [["a", b"\xff"]]),
    }
