"""From a frame to the arrays that a graph is fed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rapide.converters.columns import MISSING_TEXT, Column, Precision
from rapide.converters.samples import Frame, numbers, texts
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array


def make_feeds(frame: Frame, columns: Sequence[Column], precision: Precision) -> dict[str, Array]:
    """The inputs for ``frame``'s rows: [N, F] for a packed input, [N, 1] for each column otherwise.

    Texts are object arrays of str. Raises ConversionError where a column's datatype cannot hold a missing value.
    """
    if columns[0].packed_at is not None:
        dtype = NUMPY_DTYPES[columns[0].datatype(precision)]
        packed = np.column_stack([numbers(frame[column.name], dtype) for column in columns])
        return {columns[0].input: np.ascontiguousarray(packed, dtype=dtype)}
    return {column.input: _one(frame, column, precision).reshape(-1, 1) for column in columns}


def _one(frame: Frame, column: Column, precision: Precision) -> Array:
    datatype = column.datatype(precision)
    if datatype is DataType.BYTES:
        return texts(frame[column.name], MISSING_TEXT)
    return numbers(frame[column.name], NUMPY_DTYPES[datatype])
