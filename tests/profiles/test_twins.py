"""A twin is like its record in what makes load hard to serve: rate, gaps, bursts, wandering, rows."""

from __future__ import annotations

import numpy as np
import pytest

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.errors import ProfileError
from rapide.profiles.synthetic import DAY_S, synthetic, synthetic_arrivals
from rapide.server.telemetry.bins import Floats
from tests.profiles.recorded import poisson, profile


def dispersion(arrivals: Arrivals, width_s: float) -> float:
    """Variance by mean of the counts in windows: 1 for a Poisson process, more for bursts."""
    cells = int(arrivals.duration_s // width_s)
    counts = np.bincount((arrivals.instants_s // width_s).astype(np.int64), minlength=cells)[:cells]
    return float(counts.var() / counts.mean())


def gap_quantiles(arrivals: Arrivals) -> Floats:
    return np.quantile(np.diff(arrivals.instants_s), [0.1, 0.5, 0.9, 0.99])


def test_a_poisson_process_stays_one() -> None:
    source = poisson(500, 4000)
    twin = profile(source).find("cars").twin(seed=1, duration_s=30)
    assert twin.rate_per_s == pytest.approx(500, rel=0.1)
    assert gap_quantiles(twin) == pytest.approx(gap_quantiles(source), rel=0.15)
    for width_s in (0.01, 0.1):
        assert dispersion(twin, width_s) == pytest.approx(1.0, abs=0.35)


def test_bursts_stay_bursts() -> None:
    source = synthetic_arrivals("burst", rate_per_s=40, duration_s=100, seed=3)
    twins = [profile(source).find("cars").twin(seed=seed, duration_s=100) for seed in range(5)]
    for width_s in (0.01, 0.1, 1.0):
        found = float(np.mean([dispersion(twin, width_s) for twin in twins]))
        assert found == pytest.approx(dispersion(source, width_s), rel=0.35)
    assert dispersion(source, 1.0) > 5


def test_a_rate_that_wanders_goes_on_wandering() -> None:
    """Up and down by 80 % in four minutes: much longer than the exact arrivals, some 20 s, reach."""
    random = np.random.default_rng(5)
    instants = np.sort(random.uniform(0, 480, 400 * 480))
    kept = random.uniform(0, 1.8, len(instants)) < 1 + 0.8 * np.sin(instants / 240 * 2 * np.pi)
    source = Arrivals(instants[kept], np.ones(kept.sum()))
    twin = profile(source).find("cars").twin(seed=1, duration_s=240)
    assert dispersion(twin, 10.0) == pytest.approx(dispersion(source, 10.0), rel=0.25)


def test_any_rate_and_any_time() -> None:
    known = profile(poisson(50, 500)).find("cars")
    for rate_per_s, duration_s in ((5.0, 100.0), (2000.0, 10.0), (50.0, 0.5)):
        twin = known.twin(seed=2, duration_s=duration_s, rate_per_s=rate_per_s)
        assert twin.count == pytest.approx(rate_per_s * duration_s, rel=0.35)
        assert twin.duration_s < duration_s


def test_a_long_twin_follows_the_day() -> None:
    """Recorded until the night: a day's twin has the day's rates all the same, and the mean that is asked for."""
    known = synthetic("diurnal", model="cars", rate_per_s=2, duration_s=2 * DAY_S).find("cars")
    for rate_per_s in (None, 5.0):
        twin = known.twin(seed=1, duration_s=DAY_S, rate_per_s=rate_per_s)
        hours = np.bincount((twin.instants_s // 3600).astype(np.int64), minlength=24)
        scale = (rate_per_s or 2) / 2
        assert hours == pytest.approx(known.arrivals.hour_of_day / 2 * scale, rel=0.25)
    morning = known.twin(seed=1, duration_s=DAY_S / 4)
    assert morning.count == pytest.approx(known.arrivals.hour_of_day[:6].sum() / 2, rel=0.15)


def test_rows_are_drawn_with_their_gaps() -> None:
    """Large requests come after long gaps, here and in the twin."""
    random = np.random.default_rng(0)
    gaps = random.exponential(0.01, 2000)
    source = Arrivals(np.cumsum(gaps) - gaps[0], np.where(gaps > 0.01, 100, 1))
    twin = profile(source).find("cars").twin(seed=0, duration_s=20)
    assert twin.rows.mean() == pytest.approx(source.rows.mean(), rel=0.1)
    after = np.diff(twin.instants_s)
    assert after[twin.rows[1:] == 100].min() > np.quantile(after[twin.rows[1:] == 1], 0.8)


def test_the_seed_decides() -> None:
    known = profile(poisson(50, 500)).find("cars")
    same = [known.twin(seed=4, duration_s=10) for _ in range(2)]
    assert np.array_equal(same[0].instants_s, same[1].instants_s)
    assert not np.array_equal(same[0].instants_s[:50], known.twin(seed=5, duration_s=10).instants_s[:50])


def test_two_arrivals_are_enough() -> None:
    twin = profile(poisson(1, 2)).find("cars").twin(seed=0, duration_s=100, rate_per_s=2)
    assert twin.count == pytest.approx(200, abs=2)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_figures_that_make_no_sense(wrong: float) -> None:
    known = profile(poisson(50, 500)).find("cars")
    with pytest.raises(ProfileError, match="duration_s: expected a number above 0"):
        known.twin(0, wrong)
    with pytest.raises(ProfileError, match="rate_per_s: expected a number above 0"):
        known.twin(0, 1.0, wrong)


def test_what_would_take_all_memory_is_refused() -> None:
    known = profile(poisson(50, 500)).find("cars")
    for figures in ((1.0, 1e12), (1e7, None)):
        with pytest.raises(ProfileError, match="expected at most 20,000,000 requests, got"):
            known.twin(0, *figures)
    with pytest.raises(ProfileError, match="seed: expected a whole number that is not negative"):
        known.twin(-1, 1.0)
