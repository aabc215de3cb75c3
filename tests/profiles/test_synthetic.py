"""Ready-made profiles are what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from rapide.profiles.arrival_record import MOST_EXACT
from rapide.profiles.errors import ProfileError
from rapide.profiles.synthetic import DAY_S, KINDS, synthetic, synthetic_arrivals
from tests.profiles.recorded import profile


def test_steady() -> None:
    arrivals = synthetic_arrivals("steady", rate_per_s=200, duration_s=60, rows=3)
    assert arrivals.count == pytest.approx(12_000, rel=0.05)
    gaps = np.diff(arrivals.instants_s)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.05)
    assert set(arrivals.rows.tolist()) == {3}


def test_diurnal_follows_the_day() -> None:
    made = synthetic("diurnal", model="cars", rate_per_s=5, duration_s=DAY_S)
    hours = made.find("cars").arrivals.hour_of_day
    assert hours.argmin() in (3, 4)
    assert hours.argmax() in (15, 16)
    assert hours.max() / hours.min() == pytest.approx(9, rel=0.25)
    assert hours.sum() == pytest.approx(5 * DAY_S, rel=0.02)


def test_burst() -> None:
    arrivals = synthetic_arrivals("burst", rate_per_s=100, duration_s=400, seed=1)
    assert arrivals.count == pytest.approx(40_000, rel=0.02)
    counts = np.bincount(arrivals.instants_s.astype(np.int64), minlength=400)
    assert counts.max() > 4 * counts.mean()
    assert np.median(counts) < 0.75 * counts.mean()


def test_idle_then_flood() -> None:
    made = synthetic("idle-flood", model="cars", rate_per_s=500, duration_s=10).find("cars")
    exact = made.exact()
    quiet = exact.instants_s < 5 * DAY_S
    assert quiet.sum() == 120
    assert (~quiet).sum() == pytest.approx(5000, rel=0.1)
    squeezed = exact.squeezed(0.5)
    assert squeezed.duration_s == pytest.approx(60 + 10, abs=1)
    assert np.allclose(np.diff(squeezed.instants_s)[150:], np.diff(exact.instants_s)[150:])


def test_offline_is_even() -> None:
    arrivals = synthetic_arrivals("offline", rate_per_s=10, duration_s=2, rows=256)
    assert arrivals.instants_s.tolist() == pytest.approx([index / 10 for index in range(20)])
    assert set(arrivals.rows.tolist()) == {256}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_a_server_would_have_recorded(kind: str) -> None:
    arrivals = synthetic_arrivals(kind, rate_per_s=19, duration_s=60, seed=1)
    made = synthetic(kind, model="cars", rate_per_s=19, duration_s=60, seed=1).find("cars").arrivals
    real = profile(arrivals).find("cars").arrivals
    assert made.count == real.count
    # A server's clock does not begin at 0: rounding moves a gap or a window over an edge now and then.
    assert np.abs(made.gaps.counts - real.gaps.counts).sum() <= 0.02 * made.count
    assert np.allclose(made.recent.instants_s, real.recent.instants_s, atol=1e-5)
    assert [burst.window_s for burst in made.bursts] == [burst.window_s for burst in real.bursts]
    assert made.bursts[2].counts.sum() == pytest.approx(real.bursts[2].counts.sum(), abs=3)
    assert len(made.seconds) == pytest.approx(len(real.seconds), abs=1)


def test_a_long_one_keeps_the_last_arrivals_exactly() -> None:
    made = synthetic("steady", model="cars", rate_per_s=5000, duration_s=40).find("cars")
    assert made.exact().count == MOST_EXACT
    assert made.arrivals.count == pytest.approx(200_000, rel=0.02)
    assert made.arrivals.has_forgotten


@pytest.mark.parametrize(
    ("kind", "rate_per_s", "duration_s", "message"),
    [
        ("daily", 1, 1, "no synthetic profile 'daily'; expected one of steady, diurnal, burst, idle-flood, "),
        ("steady", 0, 1, "rate_per_s: expected a number above 0, got 0"),
        ("steady", 1, float("nan"), "duration_s: expected a number above 0, got nan"),
        ("burst", 1e-6, 1e12, "duration_s: expected at most 31,622,400, got 1,000,000,000,000"),
        ("steady", 1e6, 1e6, "expected at most 20,000,000 requests, got 1,000,000,000,000"),
    ],
)
def test_figures_that_make_no_sense(kind: str, rate_per_s: float, duration_s: float, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        synthetic(kind, model="cars", rate_per_s=rate_per_s, duration_s=duration_s)


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"rows": 0}, "rows: expected a number above 0, got 0"),
        ({"rows": 10**30}, "rows: expected at most 10,000,000, got 1,0"),
        ({"seed": -1}, "seed: expected a whole number that is not negative, got -1"),
    ],
)
def test_rows_and_seeds_that_make_no_sense(figures: dict[str, int], message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        synthetic("steady", model="cars", rate_per_s=1, duration_s=1, **figures)
