"""The bodies of ``:predict``: what is read, and answers shaped as TensorFlow Serving shapes them."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rapide.server.codecs import tf_rest
from rapide.server.codecs.columns import AnswerColumn, Form, PredictAnswer, PredictCall
from rapide.server.errors import InvalidRequest


def answer(named: bool = False, **columns: Any) -> PredictAnswer:
    made = {}
    for name, values in columns.items():
        if isinstance(values, list):
            array = np.empty(len(values), dtype=object)
            array[:] = values
            values = array
        made[name] = AnswerColumn("text" if values.dtype == object else "number", values)
    return PredictAnswer(made, named)


def encoded(made: PredictAnswer, form: Form) -> Any:
    return json.loads(tf_rest.encode_response(made, form))


@pytest.mark.parametrize(
    ("body", "call"),
    [
        ({"instances": [1, 2]}, PredictCall(Form.ROWS, [1, 2])),
        ({"inputs": {"x": 1}}, PredictCall(Form.COLUMNS, {"x": 1})),
        ({"signature_name": "serving_default", "instances": []}, PredictCall(Form.ROWS, [])),
        ({"inputs": None, "more": 1}, PredictCall(Form.COLUMNS, None)),
    ],
)
def test_a_call_is_read(body: Any, call: PredictCall) -> None:
    assert tf_rest.decode_request(json.dumps(body).encode()) == call


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "expected one of instances (rows) and inputs (columns), got neither"),
        (
            {"instances": [], "inputs": []},
            "expected one of instances (rows) and inputs (columns), got instances and inputs",
        ),
        ({"instances": [], "signature_name": 5}, "signature_name must be a text, got 5"),
        ([], "the request body must be a JSON object"),
    ],
)
def test_other_bodies_are_refused(body: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        tf_rest.decode_request(json.dumps(body).encode())
    assert error.value.message == text


TABLE = np.float32([[0.1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("made", "rows", "columns"),
    [
        (answer(y=TABLE), [[0.1, 2.0], [3.0, 4.0]], [[0.1, 2.0], [3.0, 4.0]]),
        (answer(y=TABLE[:, 0]), [0.1, 3.0], [0.1, 3.0]),
        (answer(named=True, y=TABLE[:, 0]), [{"y": 0.1}, {"y": 3.0}], {"y": [0.1, 3.0]}),
        (
            answer(y=TABLE, label=np.int64([1, 0])),
            [{"y": [0.1, 2.0], "label": 1}, {"y": [3.0, 4.0], "label": 0}],
            {"y": [[0.1, 2.0], [3.0, 4.0]], "label": [1, 0]},
        ),
        (
            answer(y=["a", b"\xff"], z=np.array([True, False])),
            [{"y": "a", "z": True}, {"y": {"b64": "/w=="}, "z": False}],
            {"y": ["a", {"b64": "/w=="}], "z": [True, False]},
        ),
        (answer(image_bytes=["a"]), [{"b64": "YQ=="}], [{"b64": "YQ=="}]),
        (answer(y=np.float32([np.nan, np.inf])), [None, None], [None, None]),
        (
            answer(y=np.float16([0.5]), z=np.array([0.25], dtype=ml_dtypes.bfloat16)),
            [{"y": 0.5, "z": 0.25}],
            {"y": [0.5], "z": [0.25]},
        ),
        (  # ONNX Runtime's INT64 and UINT64: equal to numpy's, but of other C types
            answer(y=np.array([1], dtype=np.longlong), z=np.array([2], dtype=np.ulonglong)),
            [{"y": 1, "z": 2}],
            {"y": [1], "z": [2]},
        ),
        (answer(y=np.zeros((0, 3), dtype=np.float32)), [], []),
        (answer(y=np.float32([]), z=np.int64([])), [], {"y": [], "z": []}),
    ],
)
def test_answers_have_the_form_of_their_call(made: PredictAnswer, rows: Any, columns: Any) -> None:
    assert encoded(made, Form.ROWS) == {"predictions": rows}
    assert encoded(made, Form.COLUMNS) == {"outputs": columns}


def test_floats_are_written_as_short_as_they_are() -> None:
    made = answer(y=np.float32([0.1]), z=np.float64([0.1]))
    assert tf_rest.encode_response(made, Form.ROWS) == b'{"predictions":[{"y":0.1,"z":0.1}]}'


def test_scalars_go_in_columns() -> None:
    assert encoded(answer(y=np.float32(2)), Form.COLUMNS) == {"outputs": 2.0}
    assert encoded(answer(y=np.float32(2), z=np.int64(1)), Form.COLUMNS) == {"outputs": {"y": 2.0, "z": 1}}


@pytest.mark.parametrize(
    ("made", "sizes"),
    [
        (answer(y=np.float32(2), z=np.int64(1)), "y [], z []"),
        (answer(y=np.float32([1, 2]), z=np.int64([1])), "y [2], z [1]"),
    ],
)
def test_outputs_without_rows_are_refused_in_rows(made: PredictAnswer, sizes: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        encoded(made, Form.ROWS)
    assert error.value.message == (
        f"the outputs do not have one entry for each row ({sizes}); use the inputs form"
    )
