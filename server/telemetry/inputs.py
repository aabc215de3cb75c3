"""What is looked at of some requests' inputs: their sizes, and whether they are repeated. Never what they say.

Theory. To hash every request would cost more than all other recording together. So requests are looked at in
*windows*: of every sixteen folds of arrivals (``recorder``) the first, some thousand requests in a row, the
first ones of a worker's life included. Within a window every input is compared with the earlier ones, so the share
of repeats is what a cache of about that many answers would save, and no less. Only keyed hashes are remembered,
for the time of a window, and only counts leave the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from rapide.server.signature import DYNAMIC, Signature
from rapide.server.telemetry import bins
from rapide.server.telemetry.version_block import AXES
from rapide.server.tensors import Array

_WHOLE_BYTES: Final = 65_536
"""A tensor up to this size is hashed whole, of a larger one both ends: so a look takes 20 µs at most."""
_MOST_MARKS: Final = 4096
"""Hashes remembered at most: where most requests are refused a window is long."""
MANY: Final = int(bins.ROW_EDGES[-1]) + 1


class Axis(NamedTuple):
    """A dimension whose size each request chooses."""

    name: str
    """``input_ids[1]``."""
    tensor: int
    place: int


def dynamic_axes(signature: Signature) -> tuple[Axis, ...]:
    """Those of the inputs, without the rows; the first ``AXES`` of them."""
    first = 1 if signature.batchable else 0
    return tuple(
        Axis(f"{spec.name}[{place}]", tensor, place)
        for tensor, spec in enumerate(signature.inputs)
        for place in range(first, len(spec.shape))
        if spec.shape[place] == DYNAMIC
    )[:AXES]


class Repeats:
    """Which inputs were there before, since ``forget``."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: set[int] = set()

    def forget(self) -> None:
        self._marks.clear()

    def has(self, arrays: Sequence[Array]) -> bool:
        """Whether ``arrays`` are those of an earlier request, to the byte (shapes and datatypes aside)."""
        mark = _mark(arrays[0]) if len(arrays) == 1 else hash(tuple(map(_mark, arrays)))
        if mark in self._marks:
            return True
        if len(self._marks) < _MOST_MARKS:
            self._marks.add(mark)
        return False


def size_bin(size: int) -> int:
    """Where ``bins.ROW_EDGES`` have ``size``."""
    return SIZE_BINS[size if size < MANY else MANY]


def _mark(array: Array) -> int:
    """Python's hash of bytes is keyed by a secret of this process: nobody can tell the input from it."""
    if array.dtype == object:
        return hash(tuple(array.ravel()[: _WHOLE_BYTES // 64].tolist()))
    if array.nbytes <= _WHOLE_BYTES:
        return hash(array.tobytes())
    octets = array.reshape(-1).view("u1")
    half = _WHOLE_BYTES // 2
    return hash((len(octets), octets[:half].tobytes(), octets[-half:].tobytes()))


def _size_bins() -> bytes:
    edges, found = iter(enumerate(bins.ROW_EDGES)), bytearray()
    place, edge = next(edges)
    for size in range(MANY + 1):
        while size > edge:
            place, edge = next(edges, (len(bins.ROW_EDGES), float("inf")))
        found.append(place)
    return bytes(found)


SIZE_BINS: Final = _size_bins()
"""The bin of every size: looking it up takes a tenth of the time of a search. 64 kB."""
