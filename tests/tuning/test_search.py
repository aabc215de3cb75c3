from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.synthetic import synthetic_arrivals
from rapide.tuning.configuration import default_configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curve import Curve
from rapide.tuning.knobs import Knobs
from rapide.tuning.reasons import reasons
from rapide.tuning.search import SPEEDS, Objective, Setting, configurations, highest_speed, search, window
from rapide.tuning.slo import Slo
from tests.tuning.curves_of import curve_of

DEFAULT = default_configuration(2)


def setting_of(*curves: Curve, rows: int = 1, rate: float = 500, objective: Objective = "latency") -> Setting:
    arrivals = synthetic_arrivals("steady", rate_per_s=rate, duration_s=2, rows=rows)
    return Setting(curves, Costs(), arrivals, Slo.parse("p99<20ms"), objective, 2)


def steps(_text: str, share: float) -> None:
    assert 0 <= share <= 1


def test_hundreds_are_considered_and_none_needs_more_cores_than_there_are() -> None:
    cliff = curve_of(lambda rows: rows * (20.0 if rows <= 64 else 60.0))
    two = curve_of(lambda rows: 30 + 10.0 * rows, Knobs(threads=2))
    found = configurations(setting_of(cliff, two))
    assert found[0] == DEFAULT
    assert len(found) == len(set(found)) > 200
    assert all(one.workers * one.knobs.threads <= 2 for one in found)


def test_the_row_cap_is_found_by_itself_where_one_pays() -> None:
    cliff = curve_of(lambda rows: 10 + rows * (2.0 if rows <= 64 else 5.0))
    best, _ = search(setting_of(cliff, rows=256, rate=300), steps)
    assert best[0].configuration.tuning.max_rows_per_run == 64
    chosen = dict(reasons(best[0].configuration, setting_of(cliff, rows=256, rate=300)))
    assert any(choice.startswith("max_rows_per_run = 64") for choice in chosen)


def test_where_nothing_helps_the_defaults_are_best() -> None:
    straight = curve_of(lambda rows: 5 + 0.02 * rows)
    setting = setting_of(straight, rate=200)
    best, _ = search(setting, steps)
    assert best[0].configuration.tuning == DEFAULT.tuning
    assert [choice for choice, _ in reasons(DEFAULT, setting)] == ["defaults"]


def test_when_time_is_over_the_default_has_been_judged() -> None:
    best, simulated = search(setting_of(curve_of(lambda rows: 10_000.0 * rows), rate=20), steps, over=lambda: True)
    assert simulated == 1
    assert [one.configuration for one in best] == [DEFAULT]


def test_two_threads_win_for_a_lone_heavy_request() -> None:
    one = curve_of(lambda rows: 10_000.0 * rows)
    two = curve_of(lambda rows: 5_500.0 * rows, Knobs(threads=2))
    best, _ = search(replace(setting_of(one, two, rate=20), slo=Slo.parse("p50<20ms")), steps)
    assert (best[0].configuration.workers, best[0].configuration.knobs.threads) == (1, 2)


def test_the_objectives_differ() -> None:
    model = curve_of(lambda rows: 300 + 10.0 * rows)
    cheap, _ = search(setting_of(model, rate=1500, objective="cost"), steps)
    quick, _ = search(setting_of(model, rate=1500), steps)
    assert cheap[0].outcome.cpu_s < quick[0].outcome.cpu_s
    assert cheap[0].percentile_s(99) > quick[0].percentile_s(99)


def test_more_load_fits_where_runs_are_cheaper() -> None:
    slow, fast = (curve_of(lambda rows, us=us: us + us * rows / 8) for us in (800.0, 200.0))
    speeds = [highest_speed(DEFAULT, setting_of(curve, rate=300)) for curve in (slow, fast)]
    assert speeds[1] > 1.5 * speeds[0]


def test_the_busiest_window_is_taken() -> None:
    instants = np.concatenate([np.arange(50) * 0.1, 5 + np.arange(50) * 0.001, 6 + np.arange(50) * 0.1])
    chosen = window(Arrivals(instants, np.ones(150, int)), 50)
    assert chosen.count == 50
    assert chosen.duration_s < 0.1
    whole = Arrivals(instants, np.ones(150, int))
    assert window(whole, 200) is whole


def test_requests_beyond_what_is_simulated_are_left_out() -> None:
    setting = replace(setting_of(curve_of(lambda rows: 5.0)), most_requests=100)
    assert setting.traffic.count == 100


def test_a_search_that_is_cut_goes_by_what_it_has_found() -> None:
    """In the first stage, and in a later one, which then counts for nothing."""
    one = curve_of(lambda rows: 10_000.0 * rows)
    two = curve_of(lambda rows: 5_500.0 * rows, Knobs(threads=2))
    setting = replace(setting_of(one, two, rate=20), slo=Slo.parse("p50<20ms"))
    all_of_them = len(configurations(setting))
    for most in (all_of_them - 2, all_of_them + 5):
        asked = itertools.count()
        best, simulated = search(setting, steps, over=lambda: next(asked) >= most)  # noqa: B023 - called at once
        assert simulated == min(most + 1, all_of_them)
        assert best[0].configuration.knobs.threads == 2
        assert len(best) > 1


@pytest.mark.parametrize("us", [0.2, 3000.0, 1e6])
def test_the_highest_load_is_found_however_far_from_the_recorded_one(us: float) -> None:
    """Of two curves the one that is a hundred times as fast bears more."""
    curves = [curve_of(lambda rows, factor=factor: us * factor * rows) for factor in (1.0, 100.0)]
    fast, slow = (highest_speed(DEFAULT, setting_of(curve, rate=5), steps=8) for curve in curves)
    assert fast > slow or us > 1e5
    if us > 1e5:  # a run takes a second, of an SLO of 20 ms
        assert fast < SPEEDS[0]
