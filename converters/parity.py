"""How far the graph's answers are from the original's, and whether that is near enough. Pure.

Numbers: ``|graph − original| ≤ absolute + relative · |original|``, as in ``numpy.allclose``. ``absolute`` is
``relative`` times the scale of the answers: 1 for probabilities, their standard deviation for all else, so that
an answer near zero is not asked for more than the model as a whole can tell apart. Each column has a scale of its
own: beside a price in thousands, a rate would pass whatever it was. Labels: each one that differs is a flip.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rapide.converters.spread import spreads
from rapide.server.tensors import Array


@dataclass(frozen=True, slots=True)
class Tolerance:
    """``absolutes``: one for all, or by column."""

    absolutes: tuple[float, ...]
    relative: float

    @classmethod
    def of(cls, original: Array, max_difference: float, *, unit_scale: bool) -> Tolerance:
        """The tolerance for an output whose original answers to real rows are ``original``."""
        scales = np.ones(1) if unit_scale else spreads(original)
        return cls(tuple((max_difference * scales).tolist()), max_difference)

    @property
    def absolute(self) -> float:
        """The widest."""
        return max(self.absolutes, default=0.0)

    def tenth(self) -> Tolerance:
        return Tolerance(tuple(each / 10 for each in self.absolutes), self.relative / 10)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One output over one set of rows. ``over``: rows beyond the limit (for labels: flips). ``worst_row``: where
    the difference, in units of its limit, is greatest; None where all is equal."""

    rows: int
    over: int
    worst_absolute: float
    worst_relative: float
    worst_row: int | None
    original: str = ""
    answered: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare_labels(original: Array, answered: Array) -> Comparison:
    """Both [N] or [N, targets]."""
    different = (original != answered).reshape(len(original), -1).any(axis=1)
    rows = np.flatnonzero(different)
    worst = int(rows[0]) if rows.size else None
    return Comparison(
        rows=len(original),
        over=int(rows.size),
        worst_absolute=0.0,
        worst_relative=0.0,
        worst_row=worst,
        original="" if worst is None else _shown(original[worst]),
        answered="" if worst is None else _shown(answered[worst]),
    )


def compare_numbers(original: Array, answered: Array, tolerance: Tolerance) -> Comparison:
    """Both [N, columns]. Equal infinities and NaN in the same place are equal; a NaN or infinity of one only is
    infinitely far off."""
    left, right = original.astype(np.float64), answered.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        difference = np.abs(right - left)
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        difference = np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))
        relative = np.where(same, 0.0, difference / np.abs(left))
        size = np.where(np.isfinite(left), np.abs(left), 0.0)
        allowed = np.array(tolerance.absolutes) + tolerance.relative * size
        ratio = np.where(same, 0.0, difference / allowed)  # an allowance of 0 makes any difference infinite
    strain = ratio.max(axis=1) if ratio.size else np.zeros(len(left))
    over = strain > 1.0
    worst = int(np.argmax(strain)) if strain.size and strain.max() > 0 else None
    return Comparison(
        rows=len(left),
        over=int(over.sum()),
        worst_absolute=float(difference.max(initial=0.0)),
        worst_relative=float(np.nan_to_num(relative, nan=0.0, posinf=np.inf).max(initial=0.0)),
        worst_row=worst,
        original="" if worst is None else _shown(original[worst]),
        answered="" if worst is None else _shown(answered[worst]),
    )


def _shown(value: Any, most: int = 4) -> str:
    array = np.asarray(value).ravel()
    texts = [f"{item:.9g}" if isinstance(item, float | np.floating) else str(item) for item in array[:most]]
    return ", ".join(texts) + (", …" if array.size > most else "")
