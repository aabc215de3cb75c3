"""No change is called stable, a change that matters is seen, and little data says nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from rapide.server.telemetry import bins
from rapide.server.telemetry.bins import Counts, Floats
from rapide.server.telemetry.drift import (
    Distance,
    Usage,
    drift,
    mix_drift,
    stability_index,
    verdict,
)

EDGES = np.array(bins.ROW_EDGES)


def histogram(values: Counts | Floats) -> Counts:
    return np.bincount(bins.bin_of(EDGES, np.asarray(values, float)), minlength=len(EDGES) + 1)


def usage(instants: Floats, rows: Counts, span_s: float, workers: int = 1) -> Usage:
    """What ``workers`` recorded among which requests were dealt out at random."""
    owner = np.random.default_rng(9).integers(workers, size=len(instants))
    windows = {
        width_s: sum(
            histogram(np.unique(np.floor(instants[owner == worker] / width_s), return_counts=True)[1])
            for worker in range(workers)
        )
        for width_s in (0.1, 1.0)
    }
    return Usage(len(instants), span_s, workers, histogram(rows), float(rows.sum()), windows)  # type: ignore[arg-type]


def poisson(
    seed: int,
    *,
    rate_per_s: float = 50,
    span_s: float = 120,
    most_rows: int = 8,
    workers: int = 1,
    swing: Callable[[Floats], Floats] = np.ones_like,
) -> Usage:
    """``swing`` moves the rate over time, between 0 and 2."""
    random = np.random.default_rng(seed)
    instants = np.sort(random.uniform(0, span_s, random.poisson(2 * rate_per_s * span_s)))
    instants = instants[random.uniform(0, 2, len(instants)) < swing(instants)]
    return usage(instants, random.integers(1, most_rows + 1, len(instants)), span_s, workers)


def by_name(tuned: Usage, live: Usage) -> dict[str, Distance]:
    return {one.name: one for one in drift(tuned, live)}


def on_and_off(instants: Floats) -> Floats:
    return 2.0 * (np.floor(instants / 0.5) % 2)


def test_no_change_is_stable() -> None:
    """The floors hold: of 300 figures without any change, hardly any is above its floor."""
    above = drifted = 0
    for seed in range(100):
        for one in drift(poisson(2 * seed), poisson(2 * seed + 1)):
            above += one.distance > one.floor
            drifted += one.has_drifted
    assert above <= 12
    assert drifted == 0


def test_no_change_in_bursts_is_stable_either() -> None:
    for seed in range(20):
        distances = drift(poisson(2 * seed, swing=on_and_off), poisson(2 * seed + 1, swing=on_and_off))
        assert verdict(distances) == "stable", distances


def test_the_floor_of_the_stability_index_is_its_99_percent_quantile() -> None:
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.ones(20))
    above = 0
    for _ in range(2000):
        before, now = (dict(enumerate(random.multinomial(count, shares).tolist())) for count in (2000, 500))
        one = mix_drift({str(key): n for key, n in before.items()}, {str(key): n for key, n in now.items()})
        above += one.distance > one.floor
    assert above / 2000 < 0.02


CHANGES: dict[str, tuple[dict[str, object], set[str]]] = {
    "rate up": ({"rate_per_s": 80}, {"rate"}),
    "rate down": ({"rate_per_s": 30}, {"rate"}),
    "rows": ({"most_rows": 32}, {"rows"}),
    "bursts": ({"swing": on_and_off}, {"burstiness"}),
    "another number of workers": ({"workers": 3}, set()),
    "a little more": ({"rate_per_s": 55}, set()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_is_named(name: str) -> None:
    change, expected = CHANGES[name]
    found = by_name(poisson(1), poisson(2, **change))  # type: ignore[arg-type]
    assert {one.name for one in found.values() if one.has_drifted} == expected
    assert verdict(list(found.values())) == ("drifted" if expected else "stable")


def test_burstiness_is_that_of_the_rate() -> None:
    """On and off in turn: the rate's own coefficient of variation is 1, however fast requests come."""
    for rate_per_s in (20, 200):
        bursty = poisson(1, rate_per_s=rate_per_s, swing=on_and_off, workers=2)
        assert bursty.burstiness == pytest.approx(1.0, abs=0.1)
        assert poisson(1, rate_per_s=rate_per_s).burstiness < 0.25


def test_few_requests_say_nothing() -> None:
    distances = drift(poisson(1), poisson(2, rate_per_s=500, span_s=0.2))
    assert not any(one.is_known for one in distances)
    assert not any(one.has_drifted for one in distances)
    assert verdict(distances) == "too few requests"


def test_nothing_at_all() -> None:
    nothing = usage(np.empty(0), np.empty(0, np.int64), 0.0)
    for distances in (drift(nothing, nothing), drift(poisson(1), nothing), drift(nothing, poisson(1))):
        assert verdict(distances) == "too few requests"
        assert all(math.isfinite(one.distance) and math.isfinite(one.floor) for one in distances)


def test_the_mix() -> None:
    assert mix_drift({"a": 500, "b": 500}, {"a": 480, "b": 520}).has_drifted is False
    moved = mix_drift({"a": 500, "b": 500}, {"a": 900, "c": 100})
    assert moved.has_drifted
    assert (moved.tuned, moved.live) == (2, 2)
    assert mix_drift({}, {"a": 500}).is_known is False


def test_the_stability_index() -> None:
    assert stability_index(np.array([50, 50]), np.array([100, 100])) == pytest.approx(0, abs=1e-4)
    assert stability_index(np.array([9000, 1000]), np.array([5000, 5000])) == pytest.approx(
        (0.9 - 0.5) * math.log(0.9 / 0.5) + (0.1 - 0.5) * math.log(0.1 / 0.5), rel=1e-2
    )
