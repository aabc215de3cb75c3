"""The numbers that a column can hold, by position, so that a place between two of them can be bisected.

The bits of an IEEE number, read as sign and magnitude, count up as the number does: half way between two
positions is a number between the two, and 64 halvings reach neighbours from anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rapide.converters.columns import Column, Precision
from rapide.server.tensors import Array

WIDENING = 0.5
"""How far beyond the sample's range a column is moved, as a part of that range."""
_MOST_DECIMALS = 6
"""Float32 has some seven digits: what is written with more is not taken for written by hand."""


@dataclass(frozen=True, slots=True)
class Grid:
    """``low`` and ``high``: positions of the range that is searched. ``own``: the column's dtype in the sample."""

    kind: np.dtype[Any]
    own: np.dtype[Any]
    low: int
    high: int

    def decode(self, positions: Array) -> Array:
        """The numbers at ``positions`` (int64), in the column's own dtype."""
        if self.kind.kind == "i":
            return positions.astype(self.own)
        bits = np.dtype(f"i{self.kind.itemsize}")
        negative = np.iinfo(bits).min - np.minimum(positions, 0)
        return np.where(positions < 0, negative, positions).astype(bits).view(self.kind).astype(self.own)

    def around(self, low: int, high: int) -> Array:
        """Both neighbours; for floats also one float32 below and one above."""
        pair = self.decode(np.array([low, high], dtype=np.int64))
        if self.kind.kind == "i":
            return pair
        below = np.nextafter(np.float32(pair[0]), np.float32(-np.inf))
        above = np.nextafter(np.float32(pair[1]), np.float32(np.inf))
        return np.array([below, *pair, above], dtype=self.own)


def grid(column: Column, values: Any, precision: Precision) -> Grid:
    """The grid of a column whose sample holds ``values`` (a pandas Series): integers where it holds integers, else
    the floats that a client can send in ``precision``."""
    present = values.dropna().to_numpy(dtype=np.float64)
    present = present[np.isfinite(present)]
    least, most = (float(present.min()), float(present.max())) if present.size else (0.0, 1.0)
    margin = WIDENING * (most - least) or max(1.0, WIDENING * abs(most))
    if column.kind == "integer":
        bounds = np.iinfo(values.dtype)
        low, high = max(int(least - margin) - 1, int(bounds.min)), min(int(most + margin) + 1, int(bounds.max))
        return Grid(np.dtype(np.int64), values.dtype, low, high)
    kind = np.dtype(np.float32 if precision == "float32" else np.float64)
    own = np.dtype(np.float32 if values.dtype == np.float32 else np.float64)
    return Grid(kind, own, position(least - margin, kind), position(most + margin, kind))


def position(value: float, kind: np.dtype[Any]) -> int:
    """The position of the ``kind`` nearest to ``value``."""
    bits = int(np.array([value], dtype=kind).view(f"i{kind.itemsize}")[0])
    return bits if bits >= 0 else int(np.iinfo(f"i{kind.itemsize}").min) - bits


def decimals_of(values: Any) -> int | None:
    """With how many decimals at most the doubles of a column (a pandas Series) are written; None where they are no
    short decimals, or no doubles.

    It matters where a client's 0.13 is narrowed to float32: a model that compares doubles was trained on the
    double nearest to 0.13, and its thresholds, half way between such numbers, often are such numbers.
    """
    if values.dtype != np.float64:
        return None
    present = values.to_numpy()
    present = present[np.isfinite(present)]
    for decimals in range(_MOST_DECIMALS + 1):
        if present.size and np.array_equal(np.round(present, decimals), present):
            return decimals
    return None
