"""Tensors in their binary form (little-endian, row-major), as views where the memory allows it."""

from __future__ import annotations

import math

import numpy as np

from rapide.server.codecs import byte_strings
from rapide.server.errors import InvalidRequest
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array


def to_array(data: bytes | memoryview, datatype: DataType, shape: tuple[int, ...], what: str) -> Array:
    """An array over ``data``, read-only where ``data`` is; ``shape`` must have been checked (``shapes.py``).

    A copy is made only of BYTES, and of elements that do not start at a multiple of their size: numpy calls those
    unaligned, and though ONNX Runtime 1.32 computes with them on x86, C++ promises nothing for them.

    Raises InvalidRequest when the number of bytes is not the shape's, and for BOOL bytes other than 0 and 1.
    """
    count = math.prod(shape)
    item_bytes = datatype.item_bytes
    if item_bytes is None:
        return byte_strings.decode(data, count, what).reshape(shape)
    if len(data) != count * item_bytes:
        raise InvalidRequest(
            f"{what} has {len(data)} bytes; shape {list(shape)} of {datatype} needs {count * item_bytes}"
        )
    if datatype is DataType.BOOL:
        _check_booleans(data, what)
    array = np.frombuffer(data, dtype=NUMPY_DTYPES[datatype]).reshape(shape)
    return array if array.flags.aligned else array.copy()


def to_bytes(array: Array, datatype: DataType) -> bytes | memoryview:
    """The binary form of ``array``; a view of its memory where it is contiguous."""
    if datatype is DataType.BYTES:
        return byte_strings.encode(array)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _check_booleans(data: bytes | memoryview, what: str) -> None:
    octets = np.frombuffer(data, dtype=np.uint8)
    if octets.size and octets.max() > 1:
        index = int((octets > 1).argmax())
        raise InvalidRequest(f"{what}: BOOL element {index} is the byte {octets[index]}; expected 0 or 1")
