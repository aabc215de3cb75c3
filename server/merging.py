"""Which requests may share a run, and how their rows are joined. Pure.

Rows of different requests are merged only where the model's signature promises that they are independent, and only
if all further dimensions are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import numpy as np

from rapide.server.errors import Internal
from rapide.server.signature import DYNAMIC, Signature, TensorSpec
from rapide.server.tensors import NUMPY_DTYPES, Array


class PackedRows:
    """All inputs of one request as they came: for each the raw little-endian elements of ``rows`` rows.

    Only for signatures in which every row has one size (``packs``). Joining bytes costs a tenth of making an array
    of each request's and joining these.
    """

    __slots__ = ("raw", "rows")

    def __init__(self, raw: list[bytes], rows: int) -> None:
        self.raw = raw
        self.rows = rows


Inputs = list[Array] | PackedRows
"""One request's inputs in the signature's order."""
Measure = Callable[[Inputs], tuple[int, Hashable, int]]
"""Of a request's inputs: rows; key (equal keys may be merged, None with none); bytes."""

_BYTES_OBJECT_BYTES: Final = 41
"""What an element of a BYTES array costs beside its bytes: a pointer and CPython's header."""


def measure_of(signature: Signature) -> Measure:
    """How requests to a model with this signature are weighed and grouped."""
    specs = signature.inputs
    row_bytes = _row_bytes(specs) if signature.batchable else None
    if row_bytes is not None:
        return _FixedRows(row_bytes)  # the usual case: every row has the same shape and size
    has_rows = bool(specs) and specs[0].shape[:1] == (DYNAMIC,)

    def measure(inputs: Inputs) -> tuple[int, Hashable, int]:
        assert not isinstance(inputs, PackedRows)  # noqa: S101 - see packs
        size_bytes = sum(map(_size_bytes, inputs))
        if signature.batchable:
            return inputs[0].shape[0], tuple([array.shape[1:] for array in inputs]), size_bytes
        return inputs[0].shape[0] if has_rows else 1, None, size_bytes

    return measure


class _FixedRows:
    """The Measure of requests whose rows all have ``row_bytes`` bytes."""

    __slots__ = ("_row_bytes",)

    def __init__(self, row_bytes: int) -> None:
        self._row_bytes = row_bytes

    def __call__(self, inputs: Inputs) -> tuple[int, Hashable, int]:
        rows: int = inputs.rows if isinstance(inputs, PackedRows) else inputs[0].shape[0]
        return rows, (), rows * self._row_bytes


def packs(signature: Signature) -> bool:
    """Whether requests may come as PackedRows: rows may be merged, and each has the same size."""
    return signature.batchable and _row_bytes(signature.inputs) is not None


class Joiner:
    """Makes the arrays of a run from the inputs of its requests."""

    __slots__ = ("_layouts",)

    def __init__(self, signature: Signature) -> None:
        self._layouts = [(NUMPY_DTYPES[spec.datatype], (-1, *spec.shape[1:])) for spec in signature.inputs]

    def arrays(self, parts: Sequence[Inputs]) -> list[Array]:
        """The inputs of all ``parts`` (at least one), rows in order; views of what came where that is possible."""
        first = parts[0]
        if len(parts) == 1:
            return self._unpacked(first.raw) if isinstance(first, PackedRows) else first
        packed = [part.raw for part in parts if isinstance(part, PackedRows)]
        if len(packed) == len(parts):
            return self._unpacked([b"".join(column) for column in zip(*packed, strict=True)])
        return join([self._unpacked(part.raw) if isinstance(part, PackedRows) else part for part in parts])

    def _unpacked(self, raw: Sequence[bytes]) -> list[Array]:
        return [
            np.frombuffer(octets, dtype).reshape(shape)
            for octets, (dtype, shape) in zip(raw, self._layouts, strict=True)
        ]


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
