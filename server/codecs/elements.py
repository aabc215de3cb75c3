"""Lists of JSON values to arrays of one datatype, without a silent change of any value.

numpy alone would read ``"1.5"`` and ``true`` as numbers, cut 2.7 to 2 and wrap 300 to 44. So the kinds of values
are looked at first (one pass in C), and ranges afterwards; the slow search for the culprit runs only when there is
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array


class WrongElement(Exception):
    """Element ``index`` of the list is not what the datatype takes; the caller knows whose list it was."""

    def __init__(self, index: int, expected: str, value: Any) -> None:
        super().__init__(index, expected, value)
        self.index = index
        self.expected = expected
        self.value = value


def to_array(values: Sequence[Any], datatype: DataType) -> Array:
    """A new 1-D array. Floats take numbers and null (NaN); BYTES take texts (as UTF-8) and bytes.

    Raises WrongElement for the first value of another kind or out of the datatype's range.
    """
    return _READERS[datatype](values, datatype)


def first_not_of(values: Sequence[Any], types: frozenset[type], expected: str) -> WrongElement:
    """The error for the first of ``values`` whose type is not one of ``types``; there must be one."""
    index = next(index for index, value in enumerate(values) if type(value) not in types)
    return WrongElement(index, expected, values[index])


_FLOAT_TYPES: frozenset[type] = frozenset({float, int, type(None)})
_ONLY_FLOATS = {float}
_INTEGER_TYPES = frozenset({int})
_BOOLEAN_TYPES = frozenset({bool})
_TEXT_TYPES = frozenset({str, bytes})


def _floats(values: Sequence[Any], datatype: DataType) -> Array:
    types = set(map(type, values))
    dtype = NUMPY_DTYPES[datatype]
    if types == _ONLY_FLOATS and len(values) <= _FEW and datatype is DataType.FP32:
        # A row or two: what numpy costs a call is more than what Python costs an element.
        if min(values) >= -_SAFE_FP32 and max(values) <= _SAFE_FP32:
            return np.array(values, dtype)
    elif not types <= _FLOAT_TYPES:
        raise first_not_of(values, _FLOAT_TYPES, "a number")
    try:
        wide = np.array(values, dtype=np.float64)
    except OverflowError:  # an integer of more than 1,024 bits, which only the lenient JSON parser lets through
        index = next(i for i, value in enumerate(values) if type(value) is int and value.bit_length() > 1024)
        raise WrongElement(index, f"a number between ±{_LARGEST[datatype]}", values[index]) from None
    if datatype is DataType.FP64:
        return wide
    if np.fmax.reduce(np.abs(wide), initial=0.0) <= _SAFE[datatype]:  # fmax: beside a NaN, the number
        return wide.astype(dtype)
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    overflowed = np.isinf(narrow) & np.isfinite(wide)
    if overflowed.any():
        index = int(overflowed.argmax())
        raise WrongElement(index, f"a number between ±{_LARGEST[datatype]}", values[index])
    return narrow


_LARGEST = {
    DataType.FP16: "65504",
    DataType.BF16: "3.39e38",
    DataType.FP32: "3.403e38",
    DataType.FP64: "1.798e308",
}
_SAFE = {DataType.FP16: 65504.0, DataType.BF16: 3.3e38, DataType.FP32: 3.4e38}
"""Magnitudes that cannot overflow, however they are rounded."""
_SAFE_FP32 = _SAFE[DataType.FP32]
_FEW = 64


def _integers(values: Sequence[Any], datatype: DataType) -> Array:
    if not set(map(type, values)) <= _INTEGER_TYPES:
        raise first_not_of(values, _INTEGER_TYPES, "a whole number")
    dtype = NUMPY_DTYPES[datatype]
    bounds = np.iinfo(dtype)
    # Comparing Python integers is exact however large they are; as arrays they would have to fit something first.
    if values and (min(values) < bounds.min or max(values) > bounds.max):
        index = next(i for i, value in enumerate(values) if not bounds.min <= value <= bounds.max)
        raise WrongElement(index, f"a whole number from {bounds.min} to {bounds.max}", values[index])
    return np.array(values, dtype=dtype)


def _booleans(values: Sequence[Any], datatype: DataType) -> Array:
    if not set(map(type, values)) <= _BOOLEAN_TYPES:
        raise first_not_of(values, _BOOLEAN_TYPES, "true or false")
    return np.array(values, dtype=NUMPY_DTYPES[datatype])


def _texts(values: Sequence[Any], datatype: DataType) -> Array:
    if not set(map(type, values)) <= _TEXT_TYPES:
        raise first_not_of(values, _TEXT_TYPES, "a text")
    array = np.empty(len(values), dtype=NUMPY_DTYPES[datatype])
    try:
        array[:] = [value.encode() if type(value) is str else value for value in values]
    except UnicodeEncodeError:  # half of a surrogate pair
        index = next(i for i, value in enumerate(values) if type(value) is str and not _is_utf8(value))
        raise WrongElement(index, "a text of Unicode characters", values[index]) from None
    return array


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reader(datatype: DataType) -> Callable[[Sequence[Any], DataType], Array]:
    if datatype is DataType.BYTES:
        return _texts
    if datatype is DataType.BOOL:
        return _booleans
    return _floats if datatype.is_float else _integers


_READERS = {datatype: _reader(datatype) for datatype in DataType}
