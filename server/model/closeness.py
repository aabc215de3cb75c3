"""Whether two answers are the same, as far as floats can be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rapide.server.tensors import Array


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Floats are the same if |found − expected| ≤ absolute + relative × |expected|; all else must be equal."""

    relative: float
    absolute: float


def difference(found: Array, expected: Array, tolerance: Tolerance) -> str:
    """What is different, in words; empty if nothing is. NaN equals NaN."""
    if found.shape != expected.shape:
        return f"shape {list(found.shape)} instead of {list(expected.shape)}"
    if _is_float(found) or _is_float(expected):
        found, expected = found.astype(np.float64), expected.astype(np.float64)
        same = np.isclose(found, expected, tolerance.relative, tolerance.absolute, equal_nan=True)
    else:
        same = np.asarray(found == expected)
    if same.all():
        return ""
    where = tuple(int(index) for index in np.argwhere(~same)[0])
    return f"{found[where]} instead of {expected[where]} at {list(where)}, {int((~same).sum())} in all"


def _is_float(array: Array) -> bool:
    """ml_dtypes' bfloat16 has kind V."""
    return array.dtype.kind in "fV"
