"""The friendly gRPC service: PredictRequest to a call with columns, an answer to PredictResponse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rapide.proto import predict_pb2 as pb
from rapide.server.codecs.columns import AnswerColumn, Form, PredictAnswer, PredictCall
from rapide.server.codecs.describe import shown
from rapide.server.errors import InvalidRequest, Unimplemented

_INT64_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NamedRequest:
    """Who is asked, and what. Empty texts leave the choice to routing."""

    model: str
    version: str
    label: str
    user_key: str
    request_id: str
    call: PredictCall


def decode_request(message: pb.PredictRequest) -> NamedRequest:
    """Raises InvalidRequest for a version beside a label, and for columns whose parts contradict each other."""
    if not message.model:
        raise InvalidRequest("the request names no model")
    if message.version and message.label:
        raise InvalidRequest(
            f"the request names version {shown(message.version)} and label {shown(message.label)}; "
            "expected at most one of them"
        )
    columns = {name: _decode_column(name, column) for name, column in message.columns.items()}
    return NamedRequest(
        model=message.model,
        version=message.version,
        label=message.label,
        user_key=message.user_key,
        request_id=message.request_id,
        call=PredictCall(Form.COLUMNS, columns),
    )


def encode_response(
    answer: PredictAnswer, *, model: str, version: str, label: str, request_id: str
) -> pb.PredictResponse:
    """Raises Unimplemented for what a Column cannot hold: more than two dimensions, bytes that are not text."""
    return pb.PredictResponse(
        model=model,
        version=version,
        label=label,
        request_id=request_id,
        columns={name: _encode_column(name, column) for name, column in answer.columns.items()},
    )


def _decode_column(name: str, column: pb.Column) -> list[Any]:
    kind = column.WhichOneof("kind")
    if kind is None:
        raise InvalidRequest(f"{name}: the column has no values of a kind that this server knows")
    values: list[Any] = list(getattr(column, kind).values)
    if (width := column.values_per_row) > 0:
        if len(values) % width:
            raise InvalidRequest(
                f"{name} has {len(values)} values, which is no multiple of values_per_row {width}"
            )
        values = [values[start : start + width] for start in range(0, len(values), width)]
    for row in column.missing:
        if row >= len(values):
            raise InvalidRequest(f"{name}: row {row} is marked as missing, but the column has {len(values)} rows")
        values[row] = None
    return values


def _encode_column(name: str, column: AnswerColumn) -> pb.Column:
    array = column.values
    if array.ndim > 2:
        raise _beyond_predict(name, f"has {array.ndim} dimensions")
    width = array.shape[1] if array.ndim == 2 else 0
    flat = array.reshape(-1)
    if column.kind == "text":
        values = flat.tolist()
        if not all(isinstance(value, str) for value in values):
            raise _beyond_predict(name, "holds bytes that are not UTF-8 text")
        return pb.Column(strings=pb.Strings(values=values), values_per_row=width)
    if array.dtype.kind == "b":
        return pb.Column(booleans=pb.Booleans(values=flat.tolist()), values_per_row=width)
    if array.dtype.kind in "iu":
        if flat.size and int(flat.max()) > _INT64_MAX:
            raise _beyond_predict(name, f"holds {flat.max()}, above int64")
        return pb.Column(integers=pb.Integers(values=flat.tolist()), values_per_row=width)
    return pb.Column(floats=pb.Floats(values=flat.astype(np.float64).tolist()), values_per_row=width)


def _beyond_predict(name: str, what: str) -> Unimplemented:
    return Unimplemented(f"output {shown(name)} {what}, which PredictResponse cannot carry; use ModelInfer")
