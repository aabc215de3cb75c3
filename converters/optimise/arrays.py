"""Arrays of rows as the server's session takes them, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rapide.server.signature import DataType, Signature
from rapide.server.tensors import NUMPY_DTYPES, Array


def as_request(feeds: Mapping[str, Array], signature: Signature, rows: slice | None = None) -> list[Array]:
    """``rows`` of ``feeds`` in the signature's order; texts (str) as the bytes that a request carries."""
    arrays = []
    for spec in signature.inputs:
        array = feeds[spec.name] if rows is None else feeds[spec.name][rows]
        arrays.append(_encoded(array) if spec.datatype is DataType.BYTES else np.ascontiguousarray(array))
    return arrays


def resized(arrays: list[Array], rows: int) -> list[Array]:
    """``rows`` rows, repeating those that there are."""
    return [np.ascontiguousarray(np.resize(array, (rows, *array.shape[1:]))) for array in arrays]


def decoded(array: Array) -> Array:
    """Bytes as str; all else as it is."""
    if array.dtype != object:
        return array
    flat = [item.decode() if isinstance(item, bytes) else str(item) for item in array.ravel().tolist()]
    return np.array(flat, dtype=object).reshape(array.shape)


def _encoded(array: Array) -> Array:
    encoded = np.empty(array.size, NUMPY_DTYPES[DataType.BYTES])
    encoded[:] = [item.encode() if isinstance(item, str) else item for item in array.ravel().tolist()]
    return encoded.reshape(array.shape)
