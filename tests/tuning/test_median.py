"""What is known of a median by a few draws."""

from __future__ import annotations

import random

import pytest

from rapide.tuning.evidence.page.median import SURE, Interval, median_interval


@pytest.mark.parametrize(
    ("count", "interval"),
    [
        (1, Interval(1, 1, 0.0)),
        (3, Interval(1, 3, 0.75)),
        (5, Interval(1, 5, 1 - 2 / 32)),
        (8, Interval(2, 7, 1 - 2 * (1 + 8) / 256)),
        (12, Interval(3, 10, 1 - 2 * (1 + 12 + 66) / 4096)),
    ],
)
def test_the_median_is_between_two_of_the_draws(count: int, interval: Interval) -> None:
    """Conover's table A3 has the same places."""
    assert median_interval([float(each) for each in range(count, 0, -1)]) == interval


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    drawn, trials = random.Random(1), 4000
    intervals = [median_interval([drawn.lognormvariate(0, 1) for _ in range(8)]) for _ in range(trials)]
    held = sum(each.low <= 1 <= each.high for each in intervals) / trials
    assert held == pytest.approx(intervals[0].sure, abs=0.02)
    assert intervals[0].sure > SURE
