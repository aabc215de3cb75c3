"""Which requests may share a run, and how their rows are joined. Pure.

Rows of different requests are merged only where the model's signature promises that they are independent, and only
if all further dimensions are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Final

import numpy as np

from rapide.server.errors import Internal
from rapide.server.signature import DYNAMIC, Signature, TensorSpec
from rapide.server.tensors import Array

Measure = Callable[[list[Array]], tuple[int, Hashable, int]]
"""Of a request's arrays: rows; key (equal keys may be merged, None with none); bytes."""

_BYTES_OBJECT_BYTES: Final = 41
"""What an element of a BYTES array costs beside its bytes: a pointer and CPython's header."""


def measure_of(signature: Signature) -> Measure:
    """How requests to a model with this signature are weighed and grouped."""
    specs = signature.inputs
    if not signature.batchable:
        has_rows = bool(specs) and specs[0].shape[:1] == (DYNAMIC,)
        return lambda arrays: (arrays[0].shape[0] if has_rows else 1, None, sum(map(_size_bytes, arrays)))
    row_bytes = _row_bytes(specs)
    if row_bytes is None:
        return lambda arrays: (
            arrays[0].shape[0],
            tuple([array.shape[1:] for array in arrays]),
            sum(map(_size_bytes, arrays)),
        )
    # The usual case: every row has the same shape and size.
    return lambda arrays: ((rows := arrays[0].shape[0]), (), rows * row_bytes)


def join(parts: list[list[Array]]) -> list[Array]:
    """The inputs of several requests as one: ``parts[request][input]`` → ``joined[input]``, rows in order."""
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def check_rows(outputs: list[Array], rows: int) -> None:
    """Raises Internal unless each output of a merged run has all ``rows``: else nobody knows whose is what."""
    for output in outputs:
        if output.shape[:1] != (rows,):
            raise Internal(f"{rows} rows went in together, but an output has shape {list(output.shape)}")


def _row_bytes(specs: tuple[TensorSpec, ...]) -> int | None:
    """Bytes of one row of all inputs, or None where requests differ in it."""
    total = 0
    for spec in specs:
        if spec.datatype.item_bytes is None or DYNAMIC in spec.shape[1:]:
            return None
        total += math.prod(spec.shape[1:]) * spec.datatype.item_bytes
    return total


def _size_bytes(array: Array) -> int:
    if array.dtype.hasobject:
        return sum(map(len, array.ravel())) + _BYTES_OBJECT_BYTES * array.size
    return array.nbytes
