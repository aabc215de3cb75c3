"""Least squares by function values alone."""

from __future__ import annotations

import numpy as np
import pytest

from rapide.tuning.least_squares import least_squares


def test_a_curved_valley_is_followed_to_its_end() -> None:
    """Rosenbrock's (Computer Journal 3, 1960)."""
    best, value = least_squares(
        lambda x: np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]), np.array([-1.2, 1.0]), step=1e-4, evaluations=300
    )
    assert value < 1e-6
    assert best == pytest.approx([1, 1], abs=1e-2)


def test_constants_are_found_though_the_function_is_rough() -> None:
    times = np.linspace(0, 5, 60)
    seen = 3 * np.exp(-times / 2) + 0.5

    def misfit(logarithms: np.ndarray) -> np.ndarray:
        height, constant, floor = np.exp(logarithms)
        return np.round(height * np.exp(-times / constant) + floor, 2) - seen

    best, _ = least_squares(misfit, np.zeros(3), step=0.1, evaluations=100)
    assert np.exp(best) == pytest.approx([3, 2, 0.5], rel=0.05)


def test_it_asks_no_more_often_than_it_may() -> None:
    asked = 0

    def function(x: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += 1
        return x - 5

    least_squares(function, np.zeros(4), step=0.1, evaluations=20)
    assert 0 < asked <= 20 + 3
    asked = 0
    least_squares(function, np.zeros(4), step=0.1, evaluations=1000, over=lambda: True)
    assert asked == 1
