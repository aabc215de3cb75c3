"""Fitting: a machine that is simulated is found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rapide.loadtests.replay.result import ReplayResult
from rapide.profiles.arrivals import Arrivals
from rapide.server.tuning_file import ModelTuning
from rapide.tuning.calibration import PROFILE, Observation, Scenario, scenarios
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs
from rapide.tuning.errors import TuningError
from rapide.tuning.fitting import (
    PROFILE_REQUESTS,
    QUANTILES,
    _likeliest,
    _piece,
    _robust,
    _struck_as_often,
    _Target,
    _targets,
    _weights,
    fit,
    suffering,
)
from rapide.tuning.served import Usage
from rapide.tuning.simulator import simulate
from rapide.tuning.slo import percentile, percentiles
from rapide.tuning.stall_meter import Stalls
from tests.tuning.curves_of import curve_of

CURVE = curve_of(lambda rows: 20 + 2.0 * rows)
TRUE = replace(
    Costs(), network_us=90.0, tick_us=70.0, read_us=30.0, answer_us=20.0, cold_run_us=0.0, stalls_per_s=1e-3
)


def observed(inline_below_us: float) -> list[Observation]:
    configuration = Configuration(1, ModelTuning(inline_below_us=inline_below_us))
    found = []
    for scenario in scenarios(CURVE, 1, effort=0.3):
        outcome = simulate(scenario.arrivals, configuration, CURVE, TRUE, cores=2)
        count = scenario.arrivals.count
        result = ReplayResult(
            scenario.arrivals.instants_s,
            outcome.latency_s,
            np.zeros(count),
            np.zeros(count, np.int16),
            scenario.arrivals.rows,
            np.zeros(count, np.int64),
            ["m"],
            [0.1],
        )
        usage = Usage(outcome.cpu_s, outcome.runs, outcome.compute_s)
        found.append(Observation(scenario, configuration, result, usage))
    return found


def test_the_costs_of_a_known_machine_are_found_again() -> None:
    observations = [*observed(0.0), *observed(1e6)]
    costs = fit(observations, CURVE, 2)
    for each in observations:
        outcome = simulate(each.scenario.arrivals, each.configuration, CURVE, costs, cores=2)
        measured_s = each.percentiles_s([50.0])[0]
        assert percentile(outcome.latency_s, 50) == pytest.approx(measured_s, rel=0.2), each.scenario.name
        assert outcome.cpu_s == pytest.approx(each.usage.cpu_s, rel=0.25), each.scenario.name
        assert outcome.compute_s / outcome.runs == pytest.approx(each.run_s, rel=0.25), each.scenario.name


def profile_of(costs: Costs) -> Observation:
    """The profile under the defaults, on a machine that is simulated."""
    arrivals = Arrivals(np.cumsum(np.random.default_rng(1).exponential(1 / 2000, 4000)), np.full(4000, 1))
    configuration = Configuration(1, ModelTuning())
    outcome = simulate(arrivals, configuration, CURVE, costs, cores=2)
    result = replace(
        observed(0.0)[0].result,
        intended_s=arrivals.instants_s,
        latency_s=outcome.latency_s,
        lateness_s=np.zeros(arrivals.count),
        codes=np.zeros(arrivals.count, np.int16),
        rows=arrivals.rows,
    )
    return Observation(Scenario(PROFILE, arrivals), configuration, result, Usage(outcome.cpu_s, outcome.runs, 1.0))


def test_how_often_stalls_strike_is_seen_at_the_end_of_the_profile() -> None:
    """Twice as often as the meter saw; and a later look at the machine does not forget it."""
    met = Stalls(10.0, (3000.0,), 0.0, ())
    seen = profile_of(suffering(replace(TRUE, stall_scale=2.0), met))
    found = _struck_as_often(TRUE, met, [seen], CURVE, 2)
    assert 1.4 < found.stall_scale < 2.8
    assert suffering(found, met).stalls_per_s == found.stalls_per_s == pytest.approx(10.0 * found.stall_scale)
    assert _struck_as_often(TRUE, Stalls(), [seen], CURVE, 2).stall_scale == 1.0


def test_a_machine_that_was_slower_meanwhile_is_not_one_with_more_stalls() -> None:
    met = Stalls(10.0, (3000.0,), 0.0, ())
    seen = profile_of(suffering(TRUE, met))
    slower = replace(seen, result=replace(seen.result, latency_s=1.5 * seen.result.latency_s))
    scales = [_struck_as_often(TRUE, met, [each], CURVE, 2).stall_scale for each in (seen, slower)]
    assert scales[0] == scales[1]


@pytest.mark.parametrize(("per_scale", "expected"), [(2.0, 2.0), (0.5, 1.8), (0.1, 1.15), (0.0, 1.0)], ids=str)
def test_an_end_that_stalls_hardly_move_says_little_of_them(per_scale: float, expected: float) -> None:
    """What is measured is that of stalls twice as often, where the end is longer by so much of the logarithm."""
    logarithms = np.linspace(-1.4, 1.4, 5)
    simulated = [per_scale * each for each in logarithms]
    measured = float(np.exp(per_scale * np.log(2.0)))
    assert _likeliest(logarithms, simulated, measured) == pytest.approx(expected, abs=0.1)


def test_the_profile_counts_twice_all_else_however_often_each_was_asked() -> None:
    profile, others = profile_of(TRUE), observed(0.0)
    targets = _targets([profile, profile, *others, *others, *others])
    assert len(targets) == 1 + len(others)
    assert _weights(targets) == pytest.approx([24.0, *[12 / len(others)] * len(others)])


def test_costs_are_fitted_to_the_median_of_what_was_asked_again() -> None:
    """A machine that was slow during one of three replays is not a slow machine."""
    seen = profile_of(TRUE)
    slow = replace(seen, result=replace(seen.result, latency_s=3 * seen.result.latency_s))
    (once,), (thrice,) = (_targets(each) for each in ([seen], [seen, slow, seen]))
    assert thrice.quantiles_s.tolist() == once.quantiles_s.tolist()


def test_a_profile_that_begins_with_a_burst_is_fitted_to_by_a_piece_with_its_share_of_quiet() -> None:
    """The burst's answers say nothing of the requests after it, nor the whole's answers of the burst's."""
    gaps_s = np.concatenate([np.full(2000, 1e-4), np.full(2000, 9e-4)])
    arrivals = Arrivals(np.cumsum(gaps_s), np.full(4000, 1))
    piece = _piece(arrivals, PROFILE_REQUESTS)
    span_s = arrivals.instants_s[piece.stop - 1] - arrivals.instants_s[piece.start]
    assert PROFILE_REQUESTS / span_s == pytest.approx(arrivals.rate_per_s, rel=0.05)
    seen = profile_of(TRUE)
    latency_s = np.where(gaps_s < 5e-4, 0.001, 0.003)
    burst = replace(seen, scenario=Scenario(PROFILE, arrivals), result=replace(seen.result, latency_s=latency_s))
    target = _Target.of([burst])
    assert target.arrivals.count == PROFILE_REQUESTS
    assert target.quantiles_s.tolist() == percentiles(latency_s[piece], QUANTILES)
    assert set(target.quantiles_s) == {0.001, 0.003}


def test_a_simulated_server_that_refuses_some_is_not_one_without_stalls() -> None:
    """A percentile of refusals has no logarithm."""
    met = Stalls(60.0, (30_000.0,), 0.0, ())
    seen = profile_of(suffering(TRUE, met))
    short = replace(seen, configuration=Configuration(1, ModelTuning(max_batch_rows=8, max_queue_rows=8)))
    assert _struck_as_often(TRUE, met, [short], CURVE, 2).stall_scale > 0.3


def test_one_error_that_is_far_off_counts_less_than_its_square() -> None:
    errors = _robust(np.array([0.1, -0.5, 2.0, -8.0]))
    assert errors[:2] == pytest.approx([0.1, -0.5])
    assert errors[2:] ** 2 == pytest.approx([0.5 * (2 * 2 - 0.5), 0.5 * (2 * 8 - 0.5)])
    assert errors[3] < 0


def test_a_calibration_without_answers_says_so() -> None:
    refused = [replace(each, result=replace(each.result, codes=each.result.codes + 8)) for each in observed(0.0)]
    with pytest.raises(TuningError, match="no answers"):
        fit(refused, CURVE, 2)
