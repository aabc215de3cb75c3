"""Fitting: a machine that is simulated is found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rapide.loadtests.replay.result import ReplayResult
from rapide.server.tuning_file import ModelTuning
from rapide.tuning.calibration import Observation, fit, misfits, nelder_mead, scenarios
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs
from rapide.tuning.served import Usage
from rapide.tuning.simulator import simulate
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
        compute_s = outcome.runs * CURVE.run_us(1) * 1e-6
        found.append(Observation(scenario, configuration, result, Usage(outcome.cpu_s, outcome.runs, compute_s)))
    return found


def test_the_costs_of_a_known_machine_are_found_again() -> None:
    observations = [*observed(0.0), *observed(1e6)]
    costs = fit(observations, CURVE, 2)
    for name, _, measured, simulated in misfits(observations, CURVE, costs, 2):
        assert simulated[2] == pytest.approx(measured[2], rel=0.15), name


def test_the_simplex_finds_a_valley() -> None:
    best, value = nelder_mead(
        lambda x: float((x[0] - 3) ** 2 + 10 * (x[1] + x[0]) ** 2), np.array([0.0, 0.0]), step=0.5, evaluations=200
    )
    assert value < 1e-3
    assert best == pytest.approx([3, -3], abs=0.1)
