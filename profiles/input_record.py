"""What a profile knows of the inputs of requests: how often they repeat, and the sizes that callers choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapide.profiles.histogram import ROWS, Histogram
from rapide.profiles.reading import Node


@dataclass(frozen=True, slots=True, eq=False)
class InputRecord:
    """Of ``looked`` requests, a sample of all (docs/reference/profile.md)."""

    looked: int
    repeats: int
    """How many of them had the very inputs of an earlier one of the same window."""
    sizes: Mapping[str, Histogram]
    """By dimension (``input_ids[1]``): the sizes of those that each request chooses, without the rows."""

    @property
    def repeat_share(self) -> float:
        """0 to 1; 0 if none was looked at."""
        return self.repeats / self.looked if self.looked else 0.0


def no_inputs() -> InputRecord:
    return InputRecord(0, 0, {})


def read_inputs(node: Node) -> InputRecord:
    """From a document. Raises ProfileError."""
    sizes = {size["axis"].text(): Histogram.read(size, ROWS) for size in node["sizes"].items()}
    return InputRecord(node["looked"].whole(), node["repeats"].whole(), sizes)


def inputs_json(known: InputRecord) -> dict[str, Any]:
    """What ``read_inputs`` reads."""
    return {
        "looked": known.looked,
        "repeats": known.repeats,
        "sizes": [{"axis": axis, **histogram.to_json()} for axis, histogram in known.sizes.items()],
    }


def merged_inputs(records: Sequence[InputRecord]) -> InputRecord:
    sizes: dict[str, Histogram] = {}
    for axis, histogram in (item for one in records for item in one.sizes.items()):
        sizes[axis] = sizes[axis].merged(histogram) if axis in sizes else histogram
    return InputRecord(sum(one.looked for one in records), sum(one.repeats for one in records), sizes)
