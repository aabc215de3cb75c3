"""Curves made by a formula, for tests that need no model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rapide.tuning.curve import Curve, Point
from rapide.tuning.knobs import Knobs

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def curve_of(us: Callable[[int], float], knobs: Knobs = Knobs(), sizes: Sequence[int] = SIZES) -> Curve:  # noqa: B008
    """``us``: rows → the time of a run."""
    return Curve(knobs, tuple(Point(rows, us(rows), us(rows), us(rows), 100) for rows in sizes), 10.0, 1000)
