"""The classification extension: instead of an output, its k best classes as texts ``value:index[:label]``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from rapide.server.codecs.describe import described
from rapide.server.errors import InvalidRequest
from rapide.server.signature import DataType
from rapide.server.tensors import Array, Parameter


def requested_classes(parameters: Mapping[str, Parameter], what: str) -> int | None:
    """The ``classification`` parameter of a requested output, or None.

    Raises InvalidRequest unless it is a whole number of at least 1.
    """
    count = parameters.get("classification")
    if count is None:
        return None
    if type(count) is not int or count < 1:
        raise InvalidRequest(
            f"{what}: classification must be a whole number of at least 1, got {described(count)}"
        )
    return count


def classify(
    array: Array,
    datatype: DataType,
    most: int,
    *,
    batched: bool,
    labels: Sequence[str] = (),
    what: str = "the output",
) -> Array:
    """The ``most`` highest elements (all, if there are fewer), best first, as an object array of ``bytes``.

    ``batched``: of each row of dimension 0, shape [rows, k]; otherwise of the whole tensor, shape [k]. Equal
    values are in index order; NaN counts as −infinity. Raises InvalidRequest for BYTES, which have no order.
    """
    if datatype is DataType.BYTES:
        raise InvalidRequest(f"{what} is BYTES; classification needs numbers")
    rows = array.reshape(array.shape[0], math.prod(array.shape[1:])) if batched else array.reshape(1, -1)
    if (
        rows.dtype.itemsize < 4
    ):  # FP16 and BF16 print and sort as FP32, BOOL as 0 and 1; small integers do not mind
        rows = rows.astype(np.float32 if datatype.is_float else np.int32)
    best = _descending(rows)[:, :most]
    values = np.take_along_axis(rows, best, axis=1).astype(
        str
    )  # the shortest text that reads back as the same value
    entries = [
        f"{value}:{index}:{labels[index]}" if index < len(labels) else f"{value}:{index}"
        for value, index in zip(values.reshape(-1).tolist(), best.reshape(-1).tolist(), strict=True)
    ]
    out = np.empty(len(entries), dtype=object)
    out[:] = [entry.encode() for entry in entries]
    return out.reshape(best.shape) if batched else out


def _descending(rows: Array) -> Array:
    """The column indices of each row, highest value first; equal values keep the order of their indices."""
    keys = np.where(np.isnan(rows), -np.inf, rows) if rows.dtype.kind == "f" else rows
    # A stable ascending sort of the reversed row, reversed: that leaves equal values in index order.
    ascending: Array = np.argsort(keys[:, ::-1], axis=1, kind="stable")
    descending: Array = rows.shape[1] - 1 - ascending[:, ::-1]
    return descending
