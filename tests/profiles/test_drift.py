"""Profiles are compared as a server compares them."""

from __future__ import annotations

import pytest

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.document import Profile
from rapide.profiles.drift import compare, proven_usage, replayed_usage
from rapide.profiles.synthetic import synthetic
from tests.profiles.recorded import poisson, profile


def test_the_same_usage_has_not_drifted() -> None:
    found = compare(profile(poisson(50, 1000)), profile(poisson(50, 1000, seed=1)))
    assert not found.has_drifted
    assert [one.verdict for one in found.models] == ["stable"]


def test_a_burst_is_a_drift_of_burstiness() -> None:
    steady, burst = (synthetic(kind, model="cars", rate_per_s=100, duration_s=300) for kind in ("steady", "burst"))
    (found,) = compare(steady, burst).models
    assert {one.name for one in found.distances if one.has_drifted} == {"burstiness"}
    assert found.verdict == "drifted"


def test_the_mix_counts_all_versions_together() -> None:
    before = profile(poisson(50, 600), "1").merge([profile(poisson(50, 600), "2")])
    now = profile(poisson(50, 1200), "2")
    found = compare(before, now)
    assert not found.mix.has_drifted
    assert found.models[0].versions == ("1", "2")


def test_models_come_and_go() -> None:
    cars = profile(poisson(50, 600))
    bikes = synthetic("steady", model="bikes", rate_per_s=10, duration_s=60)
    found = compare(cars, bikes)
    assert (found.appeared, found.vanished, found.models) == (("bikes",), ("cars",), ())
    assert found.has_drifted


@pytest.mark.parametrize("empty", [True, False])
def test_nothing_to_compare(empty: bool) -> None:
    nothing = Profile(1, (), ())
    assert not compare(nothing, nothing if empty else profile(poisson(50, 600))).has_drifted


def test_what_was_replayed_is_what_a_server_saw() -> None:
    arrivals = poisson(50, 1000)
    replayed, seen = replayed_usage(arrivals), proven_usage(profile(arrivals).find("cars"), 1)
    assert {key: replayed[key] for key in ("requests", "workers", "rows", "rows_sum")} == {
        key: seen[key] for key in ("requests", "workers", "rows", "rows_sum")
    }
    assert replayed["span_s"] == pytest.approx(seen["span_s"], rel=1e-5)
    assert replayed_usage(Arrivals(arrivals.instants_s[:0], arrivals.rows[:0]))["windows"] == []
