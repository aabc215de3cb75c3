"""The friendly doors, gRPC's and HTTP's, read the same columns and give the same answers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rapide.proto import predict_pb2 as pb
from rapide.server.codecs import predict_protobuf, tf_rest
from rapide.server.codecs.columns import Form
from rapide.server.codecs.named import predict_codec
from rapide.server.tensors import InferRequest
from tests.server.codecs.car_price import FEATURES, PREDICTIONS, SIGNATURE, response
from tests.server.codecs.strategies import assert_same_request, names

CODEC = predict_codec(SIGNATURE, FEATURES, PREDICTIONS)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "make": st.none() | names,
    "mileage": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "year": st.integers(1900, 2100),
    "owners": st.none() | st.integers(0, 9).map(float),
    "doors": st.none() | st.integers(2, 6),
    "automatic": st.booleans(),
}
CONTAINERS: dict[type, tuple[str, Any, Any]] = {
    float: ("floats", pb.Floats, 0.0),
    int: ("integers", pb.Integers, 0),
    str: ("strings", pb.Strings, ""),
    bool: ("booleans", pb.Booleans, False),
}


def column(values: list[Any]) -> pb.Column:
    kind = next((type(value) for value in values if value is not None), float)
    field, container, filler = CONTAINERS[kind]
    filled = [filler if value is None else value for value in values]
    missing = [index for index, value in enumerate(values) if value is None]
    return pb.Column(**{field: container(values=filled)}, missing=missing)


def by_grpc(rows: list[dict[str, Any]]) -> tuple[InferRequest, Any]:
    columns = {name: column([row[name] for row in rows]) for name in VALUES}
    message = pb.PredictRequest.FromString(pb.PredictRequest(model="m", columns=columns).SerializeToString())
    request, read = CODEC.request(predict_protobuf.decode_request(message).call)
    answer = predict_protobuf.encode_response(
        read(response(len(rows))), model="m", version="1", label="", request_id=""
    )
    return request, {
        name: list(getattr(column, column.WhichOneof("kind")).values) for name, column in answer.columns.items()
    }


def by_http(body: dict[str, Any], rows: int) -> tuple[InferRequest, Any]:
    call = tf_rest.decode_request(json.dumps(body).encode())
    request, read = CODEC.request(call)
    document = json.loads(tf_rest.encode_response(read(response(rows)), call.form))
    if call.form is Form.COLUMNS:
        return request, document["outputs"]
    return request, {
        name: [row[name] for row in document["predictions"]] for name in [p.name for p in PREDICTIONS]
    }


def as_float32(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """JSON writes the shortest decimal of an FP32, gRPC its exact value: the same float, read as one."""
    return {
        name: [float(np.float32(value)) if isinstance(value, float) else value for value in values]
        for name, values in columns.items()
    }


@given(st.lists(st.fixed_dictionaries(VALUES), max_size=5))
def test_one_meaning_behind_three_forms(rows: list[dict[str, Any]]) -> None:
    grpc_request, grpc_answer = by_grpc(rows)
    rows_request, rows_answer = by_http({"instances": rows}, len(rows))
    in_columns = {name: [row[name] for row in rows] for name in VALUES}
    columns_request, columns_answer = by_http({"inputs": in_columns}, len(rows))
    assert_same_request(rows_request, grpc_request)
    assert_same_request(columns_request, grpc_request)
    assert as_float32(rows_answer) == as_float32(columns_answer) == as_float32(grpc_answer)
