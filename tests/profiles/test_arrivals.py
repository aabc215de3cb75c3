"""Arrivals: a value that cannot be wrong, and what can be done with it."""

from __future__ import annotations

import numpy as np
import pytest

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.errors import ProfileError


def arrivals(*instants: float) -> Arrivals:
    return Arrivals(np.array(instants), np.arange(1, len(instants) + 1))


def test_figures() -> None:
    assert (arrivals(1, 2, 5).count, arrivals(1, 2, 5).duration_s, arrivals(1, 2, 5).rate_per_s) == (3, 5.0, 0.5)
    assert (arrivals().count, arrivals().duration_s, arrivals().rate_per_s) == (0, 0.0, 0.0)
    assert arrivals(3).rate_per_s == 0.0
    assert arrivals(3, 3).rate_per_s == float("inf")


@pytest.mark.parametrize(
    ("instants", "rows"),
    [([2.0, 1.0], [1, 1]), ([-1.0], [1]), ([float("nan")], [1]), ([1.0], [1, 2]), ([[1.0]], [[1]])],
)
def test_what_is_not_arrivals_is_refused(instants: list[float], rows: list[int]) -> None:
    with pytest.raises(ProfileError, match="arrivals: expected"):
        Arrivals(np.array(instants), np.array(rows))


def test_scaled() -> None:
    assert arrivals(0, 2, 4).scaled(4).instants_s.tolist() == [0, 0.5, 1]
    for speed in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ProfileError, match="speed: expected a number above 0"):
            arrivals(1).scaled(speed)


def test_parts() -> None:
    whole = arrivals(0, 1, 2, 3)
    assert whole.until(2).rows.tolist() == [1, 2]
    assert whole.since(2).rows.tolist() == [3, 4]
    assert whole.since(2).instants_s.tolist() == [0, 1]
    assert whole.since(9).count == 0


def test_squeezed_shortens_quiet_times_alone() -> None:
    squeezed = arrivals(100, 100.5, 5000, 5000.25).squeezed(1.0)
    assert squeezed.instants_s.tolist() == [1, 1.5, 2.5, 2.75]
    assert squeezed.rows.tolist() == [1, 2, 3, 4]
