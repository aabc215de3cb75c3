"""The simulator against what must hold, whatever the machine. Against reality: ``rapide.tuning.evidence``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapide.profiles.arrivals import Arrivals
from rapide.server.tuning_file import ModelTuning
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs
from rapide.tuning.simulator import Outcome, simulate
from tests.tuning.curves_of import curve_of

FAST = curve_of(lambda rows: 5 + 0.1 * rows)
SLOW = curve_of(lambda rows: 1000 + 500 * rows)
QUIET = Costs(
    network_us=0, send_us=0, receive_us=0, extra_cold=0, cold_run_us=0, spread=0, run_scale=1, cold_run=0
)


def arrivals_of(*instants_s: float, rows: int = 1) -> Arrivals:
    return Arrivals(np.array(instants_s), np.full(len(instants_s), rows))


def outcome_of(
    arrivals: Arrivals, curve=FAST, workers: int = 1, costs: Costs = QUIET, **tuning: object
) -> Outcome:  # type: ignore[no-untyped-def]
    configuration = Configuration(workers, ModelTuning(**tuning))  # type: ignore[arg-type]
    return simulate(arrivals, configuration, curve, costs, cores=2)


def test_a_lone_request_costs_the_sum_of_its_parts() -> None:
    latency_us = outcome_of(arrivals_of(0.1)).latency_s[0] * 1e6
    assert latency_us == pytest.approx(QUIET.read_us + QUIET.tick_us + 5.1 + QUIET.answer_us)


def test_a_thread_costs_hops_and_the_loop_goes_on_meanwhile() -> None:
    alone_us = outcome_of(arrivals_of(0.1), SLOW).latency_s[0] * 1e6
    hops_us = 2 * QUIET.hop_us + 2 * QUIET.thread_us
    turns_us = QUIET.read_us + 2 * QUIET.tick_us + QUIET.answer_us
    until_lock_us = QUIET.after_us  # the thread begins when the first turn is over
    assert alone_us == pytest.approx(turns_us + until_lock_us + hops_us + 1500)
    two = outcome_of(arrivals_of(0.1, 0.1005, 0.1006), SLOW)
    assert two.runs == 2, "what came while it ran is one batch"


def test_two_runs_on_one_core_come_one_after_the_other() -> None:
    """Two sessions, so that only cores are short: the second run begins at once beside the first, or after it."""

    def second_us(cores: int) -> float:
        configuration = Configuration(1, ModelTuning(sessions=2))
        outcome = simulate(arrivals_of(0.1, 0.1005), configuration, SLOW, QUIET, cores=cores, client=False)
        return float(outcome.latency_s[1]) * 1e6

    assert second_us(1) - second_us(3) == pytest.approx(1500 - 500, abs=150)


def test_a_thread_tells_only_when_the_loop_lets_go_of_the_lock() -> None:
    """A crowd comes just before the run ends. Its reading is shorter than the telling, which begins after it."""
    costs, crowd, sooner_us = replace(QUIET, thread_us=500.0), 40, 20
    begins_us = costs.read_us + costs.tick_us + costs.hop_us
    ends_us = begins_us + costs.after_us + costs.thread_us + 1500
    crowd_s = 0.1 + (ends_us - sooner_us) * 1e-6
    alone_s = outcome_of(arrivals_of(0.1), SLOW, costs=costs).latency_s[0]
    delayed_s = outcome_of(arrivals_of(0.1, *[crowd_s] * crowd), SLOW, costs=costs).latency_s[0]
    reading_us = crowd * costs.read_us + costs.tick_us + costs.after_us
    assert (delayed_s - alone_s) * 1e6 == pytest.approx(reading_us - sooner_us + costs.hop_us)


def test_what_a_turn_does_behind_its_answers_delays_only_what_comes_next() -> None:
    costs = replace(QUIET, after_us=1000.0)
    pair = arrivals_of(0.1, 0.1002)
    usual, delayed = outcome_of(pair), outcome_of(pair, costs=costs)
    assert delayed.latency_s[0] == usual.latency_s[0]
    assert delayed.latency_s[1] == pytest.approx(usual.latency_s[1] + 0.001 - 0.0002, abs=1e-4)
    assert delayed.cpu_s > usual.cpu_s + 1e-3


def test_who_comes_in_company_is_looked_for() -> None:
    """Groups of four, 5 µs apart: the server sees the first one alone, and reads on as it has learnt to."""
    groups = [start + 5e-6 * place for start in np.arange(1, 101) * 0.01 for place in range(4)]
    assert 100 <= outcome_of(arrivals_of(*groups)).runs < 110


def test_who_comes_alone_time_after_time_runs_before_the_others_of_its_turn_are_read() -> None:
    lone, pair = [0.1, 0.2, 0.3], [0.4, 0.4]
    assert outcome_of(arrivals_of(*lone, *pair)).runs == 3 + 2
    assert outcome_of(arrivals_of(*pair)).runs == 1, "nobody knows yet that they come alone"


def test_a_generator_with_cores_of_its_own_does_not_slow_the_server() -> None:
    arrivals = arrivals_of(*np.arange(1, 2001) * 1e-3)
    costs = replace(QUIET, send_us=100.0, receive_us=100.0)

    def outcome(apart: float) -> Outcome:
        known = replace(costs, client_apart=apart)
        return simulate(arrivals, Configuration(1, ModelTuning()), FAST, known, cores=1)

    assert outcome(1.0).busy < 0.8 * outcome(0.0).busy
    assert np.median(outcome(1.0).latency_s) < np.median(outcome(0.0).latency_s)


def test_a_stall_strikes_threads_too() -> None:
    arrivals = arrivals_of(*np.arange(1, 1001) * 0.01)
    stalled = outcome_of(arrivals, SLOW, costs=replace(QUIET, stalls_per_s=100.0, stall_us=(5000.0,)))
    usual = outcome_of(arrivals, SLOW)
    share = float((stalled.latency_s > usual.latency_s + 0.004).mean())
    expected = 1 - np.exp(-100.0 * 1.5e-3)  # one within 1.5 ms of running; the loop's own are some more
    assert expected - 0.03 < share < expected + 0.06
    assert stalled.cpu_s == pytest.approx(usual.cpu_s, rel=0.05), "who is stopped does not work"


def test_what_comes_together_runs_together() -> None:
    assert outcome_of(arrivals_of(*[0.1] * 10)).runs == 1
    assert outcome_of(arrivals_of(*[0.1] * 10), max_batch_rows=4).runs == 3


def test_a_delay_gathers_company() -> None:
    pair = arrivals_of(0.1, 0.1004)
    assert outcome_of(pair).runs == 2
    delayed = outcome_of(pair, max_delay_us=1000.0)
    assert delayed.runs == 1
    assert delayed.latency_s[0] > 1e-3


def test_what_does_not_fit_the_queue_is_refused() -> None:
    outcome = outcome_of(arrivals_of(*[0.1] * 100), SLOW, max_batch_rows=8, max_queue_rows=10)
    assert 0 < np.isfinite(outcome.latency_s).sum() < 40


def test_a_cap_on_rows_is_simulated_as_it_is_run() -> None:
    cliff = curve_of(lambda rows: rows * (1.0 if rows <= 64 else 4.0))
    big = arrivals_of(0.1, rows=256)
    whole, parts = outcome_of(big, cliff), outcome_of(big, cliff, max_rows_per_run=64)
    assert parts.latency_s[0] < whole.latency_s[0] - 500e-6


def test_two_workers_share_a_load_that_one_cannot_bear() -> None:
    random = np.random.default_rng(0)
    busy = arrivals_of(*np.cumsum(random.exponential(1 / 6000, 3000)))
    medium = curve_of(lambda rows: 60 + 60 * rows)
    one, two = (outcome_of(busy, medium, workers, inline_below_us=1e6) for workers in (1, 2))
    assert two.busy < one.busy
    assert np.quantile(two.latency_s, 0.99) < np.quantile(one.latency_s, 0.99)


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.floats(0, 2e-3), min_size=1, max_size=60),
    rows=st.integers(1, 20),
    workers=st.integers(1, 3),
    threaded=st.booleans(),
    most=st.integers(1, 64),
    delay=st.sampled_from([0.0, 500.0]),
)
def test_every_request_is_answered_once_and_not_before_it_could(
    gaps: list[float], rows: int, workers: int, threaded: bool, most: int, delay: float
) -> None:
    arrivals = Arrivals(np.cumsum(gaps), np.full(len(gaps), rows))
    tuning = ModelTuning(
        max_batch_rows=most, max_delay_us=delay, inline_below_us=0.0 if threaded else 1e6, sessions=1 + threaded
    )
    outcome = simulate(arrivals, Configuration(workers, tuning), FAST, Costs(), cores=2)
    least_s = (Costs().network_us + FAST.run_us(rows)) * 1e-6
    assert np.isfinite(outcome.latency_s).all()
    assert (outcome.latency_s > least_s).all()
    assert 1 <= outcome.runs <= len(gaps)
    again = simulate(arrivals, Configuration(workers, tuning), FAST, Costs(), cores=2)
    assert np.array_equal(again.latency_s, outcome.latency_s), "the same seed, the same answer"


def test_a_turn_of_the_loop_takes_now_more_and_now_less() -> None:
    lone = arrivals_of(*np.arange(1, 400) * 0.01)
    steady, moody = outcome_of(lone), outcome_of(lone, costs=replace(QUIET, spread=0.5))
    assert np.ptp(steady.latency_s) < 1e-9
    assert np.std(np.log(moody.latency_s)) == pytest.approx(0.5, rel=0.2)
    assert moody.latency_s.mean() == pytest.approx(steady.latency_s.mean(), rel=0.1), "and on average as much"


@pytest.mark.parametrize(("client", "wakings"), [(False, 1), (True, 3)])
def test_whoever_sleeps_is_woken_late_now_and_then(client: bool, wakings: int) -> None:
    """The server by the request, and the generator when it is to send and when the answer is back."""
    lone = arrivals_of(*np.arange(1, 4000) * 0.01)
    drowsy = replace(QUIET, late_share=0.02, late_waking_us=(1500.0,))
    outcome = simulate(lone, Configuration(1, ModelTuning()), FAST, drowsy, cores=2, client=client)
    assert (outcome.latency_s > 1.5e-3).mean() == pytest.approx(0.02 * wakings, rel=0.3)
    assert np.median(outcome.latency_s) < 0.5e-3


def test_what_comes_while_a_worker_is_woken_late_waits_too() -> None:
    together = arrivals_of(0.01, 0.0105, 0.011, 0.02)
    drowsy = replace(QUIET, late_share=1.0, late_waking_us=(2000.0,))
    outcome = simulate(together, Configuration(1, ModelTuning()), FAST, drowsy, cores=2, client=False)
    assert outcome.runs == 2
    assert outcome.latency_s[:3] * 1e3 == pytest.approx([2.0, 1.5, 1.0], abs=0.2)


def test_a_run_takes_more_than_its_curve_says_and_more_on_a_cold_worker() -> None:
    costs = replace(QUIET, run_scale=1.5, cold_run=1.0, cold_run_us=20.0, warms_us=1e6)
    lone = outcome_of(arrivals_of(0.1), costs=costs)
    assert lone.compute_s * 1e6 == pytest.approx(5.1 * (1.5 + 1.0) + 20.0, rel=0.01)
    arrivals = arrivals_of(*np.arange(1, 3001) * 1e-5)
    flood = outcome_of(arrivals, costs=replace(costs, warms_us=1.0), max_batch_rows=1)
    assert flood.compute_s / flood.runs * 1e6 == pytest.approx(5.1 * 1.5, rel=0.05)


def test_a_run_on_a_thread_keeps_its_worker_warm() -> None:
    """Runs that follow upon each other, on the loop or on a thread, cost the same."""
    costs = replace(QUIET, cold_run_us=500.0, cools_us=2000.0, warms_us=500.0)
    busy = arrivals_of(*np.arange(1, 400) * 2e-3)
    inline, threaded = (
        outcome_of(busy, SLOW, costs=costs, inline_below_us=below_us).compute_s for below_us in (1e6, 0.0)
    )
    assert threaded == pytest.approx(inline, rel=0.02)
