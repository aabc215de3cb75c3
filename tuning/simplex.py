"""The simplex method of Nelder and Mead (Computer Journal 7, 1965): a minimum by function values alone. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rapide.tuning.budget import Over, never

Floats = np.ndarray[Any, np.dtype[np.float64]]


def nelder_mead(
    function: Callable[[Floats], float], start: Floats, *, step: float, evaluations: int, over: Over = never
) -> tuple[Floats, float]:
    """Where ``function`` is least, near ``start``, and what it is there."""
    points = [start, *(start + step * unit for unit in np.eye(len(start)))]
    simplex = sorted(
        ((function(point), index, point) for index, point in enumerate(points)), key=lambda one: one[:2]
    )
    used, serial = len(points), len(points)
    while used < evaluations and not over():
        worst, centre = simplex[-1], np.mean([one[2] for one in simplex[:-1]], axis=0)
        reflected = 2 * centre - worst[2]
        value = function(reflected)
        used += 1
        if value < simplex[0][0]:
            further = 3 * centre - 2 * worst[2]
            other = function(further)
            used += 1
            reflected, value = (further, other) if other < value else (reflected, value)
        elif value >= simplex[-2][0]:
            reflected = (centre + (reflected if value < worst[0] else worst[2])) / 2
            inner = function(reflected)
            used += 1
            if inner >= min(value, worst[0]):
                lowest = simplex[0][2]
                shrunk = [lowest + 0.5 * (one[2] - lowest) for one in simplex[1:]]
                simplex = [simplex[0], *((function(each), serial + n, each) for n, each in enumerate(shrunk))]
                used, serial = used + len(shrunk), serial + len(shrunk)
                simplex.sort(key=lambda one: one[:2])
                continue
            value = inner
        serial += 1
        simplex = sorted([*simplex[:-1], (value, serial, reflected)], key=lambda one: one[:2])
    return simplex[0][2], simplex[0][0]
