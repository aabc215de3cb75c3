"""What the rows are like that a tuning measures with: as long, and as often the same, as a profile's are.

Theory. A run follows its rows: a transformer's the length of the sequences, a forest's whether the processor was
led through its trees the same way a moment ago (docs/tuning.md: 50 µs for another row each time, 14 for the same).
A profile knows both of a sample of requests (``server.telemetry.inputs``). It knows no values; golden rows do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rapide.loadtests.replay.source import payload_seeds
from rapide.profiles.input_record import InputRecord
from rapide.server.signature import Signature
from rapide.server.telemetry.inputs import dynamic_axes
from rapide.server.tensors import Array

Lengths = tuple[tuple[str, int], ...]
VARIES: Final = 1.5
"""Times the median from which on a long request is another one."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Of all requests alike."""

    repeat_share: float = 0.0
    """Of requests whose inputs came shortly before, 0 to 1."""
    lengths: Lengths = ()
    """By dimension (``input_ids[1]``): the size of those that each request chooses; the median."""

    @classmethod
    def of(cls, known: InputRecord) -> Inputs:
        """As ``known`` was looked at, in steps of a tenth and a fifth: the next profile of the same traffic is to
        say the same, or all is measured anew."""
        lengths = {axis: round(sizes.quantile(0.5)) for axis, sizes in known.sizes.items() if sizes.count}
        return cls(
            round(known.repeat_share, 1),
            tuple(sorted((axis, _in_steps(length)) for axis, length in lengths.items() if length > 0)),
        )

    @property
    def words(self) -> str:
        """Empty where nothing is known."""
        parts = [f"{axis} of {length}" for axis, length in self.lengths]
        parts += [f"{self.repeat_share:.0%} of them repeated"] * (self.repeat_share > 0)
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        return {"repeat_share": self.repeat_share, "lengths": dict(self.lengths)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Inputs:
        """What ``to_json`` gave. Raises LookupError, TypeError, ValueError."""
        lengths = {str(axis): int(length) for axis, length in raw["lengths"].items()}
        return cls(float(raw["repeat_share"]), tuple(sorted(lengths.items())))

    def stretched(self, arrays: list[Array], signature: Signature) -> list[Array]:
        """``arrays``, those of the signature's inputs in order, with their dynamic dimensions as long as is known:
        cut, or begun again from the start."""
        lengths, found = dict(self.lengths), list(arrays)
        for axis in dynamic_axes(signature):
            if (length := lengths.get(axis.name)) and found[axis.tensor].shape[axis.place]:
                array = np.take(found[axis.tensor], range(length), axis=axis.place, mode="wrap")
                found[axis.tensor] = np.ascontiguousarray(array)
        return found

    def are_those_of(self, arrays: list[Array], signature: Signature) -> bool:
        """Whether ``arrays`` are as long as is known."""
        lengths = dict(self.lengths)
        return all(
            arrays[axis.tensor].shape[axis.place] == lengths.get(axis.name, arrays[axis.tensor].shape[axis.place])
            for axis in dynamic_axes(signature)
        )

    def repeated(self, pool: list[Array]) -> list[Array]:
        """``pool`` in such an order that a ``repeat_share`` of its rows came shortly before."""
        if not self.repeat_share:
            return pool
        order = payload_seeds(len(pool[0]), self.repeat_share, different=len(pool[0]))
        return [np.ascontiguousarray(array[order]) for array in pool]


def _in_steps(length: int) -> int:
    return round(2 ** (round(4 * math.log2(length)) / 4))


def varying(known: InputRecord) -> Iterator[str]:
    """What one length for all leaves out, in words."""
    for axis, sizes in sorted(known.sizes.items()):
        low, middle, high = (round(sizes.quantile(share)) for share in (0.1, 0.5, 0.9))
        if middle and high > VARIES * middle:
            yield (
                f"The sizes of {axis} vary (10 % are below {low}, 10 % above {high}); all was measured with about "
                f"their median, {middle}, so long requests take longer than is said here."
            )
