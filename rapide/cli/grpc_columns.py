"""Rows and columns of JSON's values as the messages of ``rapide/v1/predict.proto``, and back."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rapide.cli.rows import Given
from rapide.proto import predict_pb2 as pb
from rapide.server.errors import InvalidRequest

_FIELDS: Mapping[frozenset[type], tuple[str, Any]] = {
    frozenset({str}): ("strings", ""),
    frozenset({bool}): ("booleans", False),
    frozenset({int}): ("integers", 0),
    frozenset({float}): ("floats", 0.0),
    frozenset({int, float}): ("floats", 0.0),
    frozenset(): ("floats", 0.0),
}
"""Types found in a column → the message's field, and what stands where a value is missing."""


def to_message(given: Given) -> dict[str, pb.Column]:
    """Named columns. Raises InvalidRequest for values without names, and for columns of mixed kinds."""
    columns = given.columns if given.rows is None else _columns_of(given.rows)
    return {name: _column(name, values) for name, values in (columns or {}).items()}


def to_rows(response: pb.PredictResponse) -> list[dict[str, Any]]:
    """The answer's columns as rows."""
    columns = {name: _values(column) for name, column in response.columns.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _columns_of(rows: Sequence[Any]) -> Mapping[str, list[Any]]:
    if not all(isinstance(row, dict) for row in rows):
        raise InvalidRequest(
            "over gRPC every value needs its feature's name.",
            hint="""Write rows such as {"make": "Ford"}, or use the http:// address.""",
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _column(name: str, values: Any) -> pb.Column:
    values = values if isinstance(values, list) else [values]
    width = 0
    if values and all(isinstance(value, list) for value in values):
        width = len(values[0])
        if not width or any(len(value) != width for value in values):
            raise InvalidRequest(f"{name}: all its lists must have the same length, above 0")
        values = [item for value in values for item in value]
    found = _FIELDS.get(frozenset(type(value) for value in values if value is not None))
    if found is None:
        raise InvalidRequest(f"{name} mixes values of several kinds; expected texts, numbers or truths")
    field, stand_in = found
    column = pb.Column(values_per_row=width, missing=[row for row, value in enumerate(values) if value is None])
    getattr(column, field).values.extend(stand_in if value is None else value for value in values)
    return column


def _values(column: pb.Column) -> list[Any]:
    kind = column.WhichOneof("kind")
    flat: list[Any] = list(getattr(column, kind).values) if kind else []
    if kind == "floats":
        flat = _shortened(flat)
    width = column.values_per_row
    values = [flat[start : start + width] for start in range(0, len(flat), width)] if width else flat
    for row in column.missing:
        values[row] = None
    return values


def _shortened(values: list[float]) -> list[float]:
    """A column of FP32 values with the digits that FP32 tells apart: 8328.222 for 8328.2216796875, as over HTTP.

    The message holds all numbers as FP64. A column with any value that FP32 has not is FP64, and stays as it is.
    """
    if any(_as_fp32(value) != value for value in values if not math.isnan(value)):
        return values
    return [value if value.is_integer() else _shortest(value) for value in values]


def _shortest(value: float) -> float:
    """The shortest decimal that FP32 rounds to ``value``; nine digits always do (IEEE 754, 5.12.2)."""
    candidates = (float(f"{value:.{digits}g}") for digits in range(1, 10))
    return next((decimal for decimal in candidates if _as_fp32(decimal) == value), value)


def _as_fp32(value: float) -> float:
    return ctypes.c_float(value).value
