"""How far a variant's answers are from the original graph's, by output. Pure.

What an output is judged by follows from what it is: labels flip or do not; probabilities move; a vector (an
embedding) turns; any other number is off by a part of the answers' spread. Where the true answers are known, the
quality metrics decide instead, and these measures are only shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rapide.converters.optimise.measures import COSINE, FLIPS, PROBABILITY, SPREAD
from rapide.converters.spread import spreads
from rapide.server.tensors import Array

_VECTOR_COLUMNS = 16
"""A float output with so many columns that are no probabilities is a direction rather than so many answers."""


@dataclass(frozen=True, slots=True)
class Loss:
    """``measure`` of ``output``: 0 is the original itself. ``typical``: the same for a row in the middle."""

    measure: str
    output: str
    loss: float
    typical: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def losses(original: Mapping[str, Array], answered: Mapping[str, Array]) -> list[Loss]:
    """One loss for each output; both by output, [N, …]."""
    return [_loss(name, array, answered[name]) for name, array in original.items()]


def worst_differences(original: Mapping[str, Array], answered: Mapping[str, Array]) -> dict[str, float]:
    """Output → greatest absolute difference; for labels 0 or infinity."""
    worst = {}
    for name, array in original.items():
        if is_label(array):
            worst[name] = 0.0 if np.array_equal(array, answered[name]) else float("inf")
        else:
            worst[name] = float(_difference(array, answered[name]).max(initial=0.0))
    return worst


def is_label(array: Array) -> bool:
    """Whether the output names classes: integers, texts, booleans. ml_dtypes' bfloat16 has kind V."""
    return array.dtype.kind not in "fV"


def are_probabilities(array: Array) -> bool:
    """Whether every row of [N, classes] sums to 1."""
    if array.ndim != 2 or array.shape[1] < 2:
        return False
    values = array.astype(np.float64)
    return bool(np.all(values >= -1e-6) and np.all(np.abs(values.sum(axis=1) - 1) < 1e-3))


def _loss(name: str, original: Array, answered: Array) -> Loss:
    if original.shape != answered.shape:
        return Loss(SPREAD, name, float("inf"))
    if is_label(original):
        different = (original != answered).reshape(len(original), -1).any(axis=1)
        return Loss(FLIPS, name, float(different.mean()))
    if are_probabilities(original):
        moved = _difference(original, answered).max(axis=1)
        return Loss(PROBABILITY, name, float(moved.mean()), float(np.median(moved)))
    left = original.astype(np.float64).reshape(len(original), -1)
    right = answered.astype(np.float64).reshape(len(original), -1)
    if left.shape[1] >= _VECTOR_COLUMNS:
        return _cosine_loss(name, left, right)
    scale = spreads(original.astype(np.float64))  # by column: a rate beside a price is a number of its own
    off = _difference(left, right).reshape(-1, scale.size) / scale
    by_column = np.sqrt(np.mean(off**2, axis=0))
    return Loss(SPREAD, name, float(by_column.max(initial=0.0)), float(np.median(off, axis=0).max(initial=0.0)))


def _cosine_loss(name: str, left: Array, right: Array) -> Loss:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.where(norms == 0, (left == right).all(axis=1), (left * right).sum(axis=1) / norms)
    turned = np.where(np.isnan(cosines), np.inf, np.maximum(0.0, 1.0 - cosines))
    return Loss(COSINE, name, float(turned.max()), float(np.median(turned)))


def _difference(left: Array, right: Array) -> Array:
    """Absolute; NaN in both is no difference, NaN in one is an infinite one."""
    one, other = left.astype(np.float64), right.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.abs(one - other)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return np.where(same, 0.0, np.where(np.isnan(difference), np.inf, difference))
