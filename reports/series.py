"""What a plot shows: one named run of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike

Style = Literal["line", "points", "step", "dashed"]

MOST_POINTS: Final = 2000
"""More cannot be told apart on a page, and would make it megabytes large."""


@dataclass(frozen=True, slots=True)
class Series:
    """Points to be drawn. ``xs`` and ``ys``: the same number of them, shape [n]."""

    label: str
    xs: ArrayLike
    ys: ArrayLike
    style: Style = "line"

    def points(self) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
        """At most ``MOST_POINTS`` of them, evenly chosen, the first and the last included. Raises ValueError where
        ``xs`` and ``ys`` differ in length."""
        xs, ys = np.asarray(self.xs, dtype=np.float64), np.asarray(self.ys, dtype=np.float64)
        if xs.shape != ys.shape or xs.ndim != 1:
            raise ValueError(f"series {self.label!r} has xs of shape {xs.shape} and ys of shape {ys.shape}")
        if len(xs) > MOST_POINTS:
            chosen = np.linspace(0, len(xs) - 1, MOST_POINTS).round().astype(np.int64)
            xs, ys = xs[chosen], ys[chosen]
        return xs, ys


def ranked(label: str, values: ArrayLike, style: Style = "line") -> Series:
    """``values`` as a series for ``plots.quantiles``: shares (0 to 1) against the values at them."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    if not count:
        return Series(label, [], [], style)
    # Evenly spaced in log(1 / (1 - share)), as the plot's axis is: the tail keeps every value.
    places = np.unique((count - np.geomspace(count, 1, MOST_POINTS)).round().astype(np.int64))
    return Series(label, places / count, ordered[places], style)
