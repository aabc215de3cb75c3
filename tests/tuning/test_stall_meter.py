from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from rapide.profiles.arrivals import Arrivals
from rapide.server.tuning_file import ModelTuning
from rapide.tuning.calibration import suffering
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs
from rapide.tuning.simulator import simulate
from rapide.tuning.stall_meter import NONE, Stalls, measure, together
from tests.tuning.curves_of import curve_of


def test_a_process_that_is_stopped_sees_it() -> None:
    """As a host stops a virtual machine: the process does not run, and its clock goes on."""
    command = [sys.executable, "-c", "from rapide.tuning.stall_meter import watch; print(watch(1.5, rest_s=0))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as meter:
        time.sleep(0.8)
        meter.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        meter.send_signal(signal.SIGCONT)
        printed, _ = meter.communicate(timeout=30)
    looked_s, lengths_us = eval(printed)
    assert looked_s == pytest.approx(1.5, rel=0.5)
    assert max(lengths_us) == pytest.approx(300_000, rel=0.5)


def test_all_processors_are_watched_at_once() -> None:
    begun_s = time.monotonic()
    found = measure(sorted(os.sched_getaffinity(0)), 0.3)
    span_s = 0.3 * len(os.sched_getaffinity(0))
    assert len(found.lengths_us) <= found.per_s * span_s, "it looks for a part of the time"
    assert all(length >= 100 for length in found.lengths_us)
    assert time.monotonic() - begun_s < 20


def test_watches_are_put_together() -> None:
    assert together([Stalls(2.0, (100.0, 200.0)), NONE]) == Stalls(1.0, (100.0, 200.0))


def test_stalls_make_the_end_of_a_distribution_and_not_its_middle() -> None:
    arrivals = Arrivals(np.arange(1, 4000) * 1e-3, np.ones(3999, int))
    curve = curve_of(lambda rows: 10.0 + rows)
    calm = Costs(extra_cold=0.0)
    shaken = suffering(calm, Stalls(10.0, (5000.0,)))

    def ends_s(costs: Costs, *, client: bool) -> tuple[float, float]:
        configuration = Configuration(1, ModelTuning())
        outcome = simulate(arrivals, configuration, curve, costs, cores=2, client=client)
        return float(np.quantile(outcome.latency_s, 0.5)), float(np.quantile(outcome.latency_s, 0.99))

    for client in (False, True):
        (middle, end), (shaken_middle, shaken_end) = (
            ends_s(calm, client=client),
            ends_s(shaken, client=client),
        )
        assert shaken_middle == pytest.approx(middle, rel=0.1)
        assert 3e-3 < shaken_end < 8e-3
        assert end < 1e-3
