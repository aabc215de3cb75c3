"""The method of Levenberg and Marquardt (Journal of the SIAM 11, 1963): the least sum of squares, by function
values alone. Pure.

Derivatives are differences over ``step``, which is to be wide where the function is rough, as a simulation's
is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from rapide.tuning.budget import Over, never

Floats = np.ndarray[Any, np.dtype[np.float64]]
DAMPING: Final = 0.1
"""At first: between a small step downhill and the whole way to where a linear function would be least."""
EASIER, HARDER = 0.3, 4.0
MOST_DAMPING: Final = 1e3
"""Where not even so small a step leads down it is at the bottom, as far as a rough function has one."""


def least_squares(
    function: Callable[[Floats], Floats], start: Floats, *, step: float, evaluations: int, over: Over = never
) -> tuple[Floats, float]:
    """Where the sum of the squares of ``function`` is least, near ``start``, and what it is there."""
    point, values = start, function(start)
    used, damping = 1, DAMPING
    while used + len(point) < evaluations and not over():
        slopes = np.empty((len(values), len(point)))
        for place in range(len(point)):
            moved = point.copy()
            moved[place] += step
            slopes[:, place] = (function(moved) - values) / step
        used += len(point)
        curvature, downhill = slopes.T @ slopes, -slopes.T @ values
        is_lower = False
        while not is_lower and damping < MOST_DAMPING and used < evaluations:
            damped = curvature + damping * np.diag(np.diag(curvature) + 1e-9)
            there = point + np.linalg.lstsq(damped, downhill, rcond=None)[0]
            found = function(there)
            used += 1
            is_lower = float(found @ found) < float(values @ values)
            damping *= EASIER if is_lower else HARDER
            if is_lower:
                point, values = there, found
        if not is_lower:
            break
    return point, float(values @ values)
