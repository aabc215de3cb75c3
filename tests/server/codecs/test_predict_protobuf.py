"""The friendly gRPC messages: every kind of column both ways, vectors, missing rows, and what is refused."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rapide.proto import predict_pb2 as pb
from rapide.server.codecs import predict_protobuf
from rapide.server.codecs.columns import AnswerColumn, Form, Kind, PredictAnswer, PredictCall
from rapide.server.errors import InvalidRequest, Unimplemented


def decoded(column: pb.Column) -> Any:
    message = pb.PredictRequest(model="m", columns={"c": column})
    return predict_protobuf.decode_request(message).call.value["c"]


def encoded(kind: Kind, values: Any) -> pb.Column:
    answer = PredictAnswer({"c": AnswerColumn(kind, values)}, named=True)
    message = predict_protobuf.encode_response(answer, model="m", version="1", label="", request_id="r")
    return pb.PredictResponse.FromString(message.SerializeToString()).columns["c"]


def texts(*values: Any) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


FLOATS = pb.Floats(values=[1, 2.5, 3, 4])


def test_who_is_asked_and_what() -> None:
    message = pb.PredictRequest(
        model="m", label="stable", user_key="u", request_id="r", columns={"c": pb.Column(floats=FLOATS)}
    )
    request = predict_protobuf.decode_request(message)
    assert (request.model, request.version, request.label) == ("m", "", "stable")
    assert (request.user_key, request.request_id) == ("u", "r")
    assert request.call == PredictCall(Form.COLUMNS, {"c": [1, 2.5, 3, 4]})


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pb.Column(floats=FLOATS), [1.0, 2.5, 3.0, 4.0]),
        (pb.Column(integers=pb.Integers(values=[1, -(2**63)])), [1, -(2**63)]),
        (pb.Column(strings=pb.Strings(values=["a", "é"])), ["a", "é"]),
        (pb.Column(booleans=pb.Booleans(values=[True, False])), [True, False]),
        (pb.Column(strings=pb.Strings()), []),
        (pb.Column(floats=FLOATS, missing=[3, 0]), [None, 2.5, 3.0, None]),
        (pb.Column(floats=FLOATS, values_per_row=2), [[1.0, 2.5], [3.0, 4.0]]),
        (pb.Column(floats=FLOATS, values_per_row=2, missing=[1]), [[1.0, 2.5], None]),
    ],
)
def test_columns_of_every_kind_are_read(column: pb.Column, values: list[Any]) -> None:
    found = decoded(column)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (pb.PredictRequest(), "the request names no model"),
        (
            pb.PredictRequest(model="m", version="1", label="stable"),
            "the request names version '1' and label 'stable'; expected at most one of them",
        ),
        (
            pb.PredictRequest(model="m", columns={"c": pb.Column()}),
            "c: the column has no values of a kind that this server knows",
        ),
        (
            pb.PredictRequest(model="m", columns={"c": pb.Column(floats=FLOATS, missing=[4])}),
            "c: row 4 is marked as missing, but the column has 4 rows",
        ),
        (
            pb.PredictRequest(model="m", columns={"c": pb.Column(floats=FLOATS, values_per_row=3)}),
            "c has 4 values, which is no multiple of values_per_row 3",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(message: pb.PredictRequest, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        predict_protobuf.decode_request(message)
    assert error.value.message == text


@pytest.mark.parametrize(
    ("kind", "values", "column"),
    [
        ("number", np.float64([1.5, 2]), pb.Column(floats=pb.Floats(values=[1.5, 2]))),
        ("number", np.float16([0.5]), pb.Column(floats=pb.Floats(values=[0.5]))),
        ("number", np.array([0.5], dtype=ml_dtypes.bfloat16), pb.Column(floats=pb.Floats(values=[0.5]))),
        ("number", np.int64([1]), pb.Column(integers=pb.Integers(values=[1]))),
        ("integer", np.uint64([2**63 - 1]), pb.Column(integers=pb.Integers(values=[2**63 - 1]))),
        ("integer", np.float32([1.5]), pb.Column(floats=pb.Floats(values=[1.5]))),
        ("boolean", np.array([True]), pb.Column(booleans=pb.Booleans(values=[True]))),
        ("text", texts("a", "é"), pb.Column(strings=pb.Strings(values=["a", "é"]))),
        ("text", texts(), pb.Column(strings=pb.Strings())),
        ("number", np.float32([]), pb.Column(floats=pb.Floats())),
        ("number", np.float32(2), pb.Column(floats=pb.Floats(values=[2]))),
        (
            "number",
            np.float32([[1, 2], [3, 4]]),
            pb.Column(floats=pb.Floats(values=[1, 2, 3, 4]), values_per_row=2),
        ),
        (
            "text",
            texts("a", "b").reshape(1, 2),
            pb.Column(strings=pb.Strings(values=["a", "b"]), values_per_row=2),
        ),
    ],
)
def test_columns_of_every_kind_are_written(kind: Kind, values: Any, column: pb.Column) -> None:
    assert encoded(kind, values) == column


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        ("number", np.zeros((1, 2, 3)), "output 'c' has 3 dimensions, which"),
        ("text", texts("a", b"\xff"), "output 'c' holds bytes that are not UTF-8 text, which"),
        ("integer", np.uint64([2**63]), "output 'c' holds 9223372036854775808, above int64, which"),
    ],
)
def test_what_a_column_cannot_hold_is_named(kind: Kind, values: Any, text: str) -> None:
    with pytest.raises(Unimplemented) as error:
        encoded(kind, values)
    assert error.value.message == f"{text} PredictResponse cannot carry; use ModelInfer"


def test_who_answered() -> None:
    message = predict_protobuf.encode_response(
        PredictAnswer({}, named=True), model="m", version="3", label="canary", request_id="r"
    )
    assert (message.model, message.version, message.label, message.request_id) == ("m", "3", "canary", "r")
