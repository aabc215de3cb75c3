"""Counts in the fixed bins of ``server.telemetry.bins``: they merge by addition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rapide.profiles.reading import Node
from rapide.server.telemetry import bins
from rapide.server.telemetry.bins import Counts, Floats


@dataclass(frozen=True, slots=True)
class Scale:
    """Which edges a histogram has, and whether its values are whole numbers."""

    edges: tuple[float, ...]
    is_whole: bool = False


DURATIONS: Final = Scale(bins.DURATION_EDGES_S)
GAPS: Final = Scale(bins.GAP_EDGES_S)
ROWS: Final = Scale(bins.ROW_EDGES, is_whole=True)
BYTES: Final = Scale(bins.PAYLOAD_EDGES_BYTES, is_whole=True)


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """``counts`` has one more cell than the scale has edges (shape [edges + 1]): the last is above all of them."""

    scale: Scale
    counts: Counts
    total: float
    """The exact sum of all values."""

    @classmethod
    def of(cls, scale: Scale, values: Floats | Counts) -> Histogram:
        """Of the values themselves."""
        places = bins.bin_of(np.array(scale.edges), np.asarray(values, np.float64))
        return cls(scale, np.bincount(places, minlength=len(scale.edges) + 1), float(np.sum(values)))

    @classmethod
    def empty(cls, scale: Scale) -> Histogram:
        return cls(scale, np.zeros(len(scale.edges) + 1, np.int64), 0.0)

    @classmethod
    def read(cls, node: Node, scale: Scale) -> Histogram:
        """From its JSON form (docs/reference/profile.md). Raises ProfileError."""
        return cls(scale, read_bins(node["bins"], scale), node["sum"].number())

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """0 without values."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """The value below which ``share`` (0 to 1) of the values lie; 0 without values."""
        is_whole = self.scale.is_whole
        return bins.quantile(self.scale.edges, self.counts.tolist(), share, interpolate=not is_whole)

    def merged(self, other: Histogram) -> Histogram:
        return Histogram(self.scale, self.counts + other.counts, self.total + other.total)

    def to_json(self) -> dict[str, Any]:
        return {
            "bins": bins_json(self.counts, self.scale),
            "sum": self.total,
            "p50": self.quantile(0.5),
            "p99": self.quantile(0.99),
        }


def read_bins(node: Node, scale: Scale) -> Counts:
    """Counts from ``[[upper edge, count], …]``, the last bin's edge being null. Raises ProfileError."""
    places = {edge: index for index, edge in enumerate(scale.edges)}
    counts = np.zeros(len(scale.edges) + 1, np.int64)
    for item in node.items():
        pair = list(item.items())
        if len(pair) != 2:
            raise item.wrong("[upper edge, count]")
        edge, count = pair
        place = len(scale.edges) if edge.value is None else places.get(edge.number())
        if place is None:
            raise edge.wrong("an edge of this histogram (docs/reference/profile.md lists them)")
        counts[place] += count.whole()
    return counts


def bins_json(counts: Sequence[int] | Counts, scale: Scale) -> list[list[float | int | None]]:
    """What ``read_bins`` reads: the bins that are not empty."""
    return [
        [edge, int(number)]
        for edge, number in zip([*scale.edges, None], np.asarray(counts).tolist(), strict=True)
        if number
    ]
