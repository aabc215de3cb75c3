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
from rapide.tuning import stall_meter
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs
from rapide.tuning.errors import TuningError
from rapide.tuning.fitting import suffering
from rapide.tuning.simulator import simulate
from rapide.tuning.stall_meter import (
    AWAKE_S,
    LOOK_S,
    NAPS_S,
    NONE,
    SLEEP_S,
    STARTS_WITHIN_S,
    Stalls,
    Watch,
    measure,
    together,
)
from tests.tuning.curves_of import curve_of


def test_a_process_that_is_stopped_sees_it() -> None:
    """As a host stops a virtual machine: the process does not run, and its clock goes on. It may look or sleep."""
    watching = "from rapide.tuning.stall_meter import watch; print('watching', flush=True); print(watch(6.0))"
    with subprocess.Popen([sys.executable, "-c", watching], stdout=subprocess.PIPE, text=True) as meter:
        assert meter.stdout is not None
        assert meter.stdout.readline() == "watching\n"
        time.sleep(0.1)
        meter.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        time.sleep(0.5)
        stopped_s = time.monotonic() - stopped_s
        meter.send_signal(signal.SIGCONT)
        printed, _ = meter.communicate(timeout=30)
    seen: Watch = eval(printed)
    assert max(seen.pauses_us + seen.late_waking_us) >= 0.9e6 * stopped_s


def test_all_processors_are_watched_at_once() -> None:
    """One after the other it would take as many spans as there are."""
    begun_s, span_s = time.monotonic(), 4.0
    measure(sorted(os.sched_getaffinity(0)) * 2, span_s)
    assert time.monotonic() - begun_s < STARTS_WITHIN_S + 1.5 * span_s


def test_a_meter_waits_until_all_have_started() -> None:
    begun_s = time.monotonic()
    meter = [sys.executable, "-P", "-m", "rapide.tuning.stall_meter"]
    cpu = str(min(os.sched_getaffinity(0)))
    subprocess.run([*meter, cpu, "0.05", str(begun_s + 0.8)], check=True, stdout=subprocess.DEVNULL)
    assert time.monotonic() - begun_s >= 0.85


class Clock:
    """Goes on by a step whenever it is looked at, and once, at ``pauses_at_s``, by a pause."""

    def __init__(self, step_s: float, pauses_at_s: float, pause_s: float) -> None:
        self.now_s = 0.0
        self._step_s, self._pauses_at_s, self._pause_s = step_s, pauses_at_s, pause_s

    def monotonic(self) -> float:
        self.sleep(self._step_s)
        return self.now_s

    def sleep(self, span_s: float) -> None:
        before_s, self.now_s = self.now_s, self.now_s + span_s
        if before_s <= self._pauses_at_s < self.now_s:
            self.now_s += self._pause_s


@pytest.mark.parametrize(
    ("pauses_at_s", "pauses_us", "late_waking_us"),
    [(AWAKE_S / 2, [4010.0], []), (AWAKE_S + SLEEP_S / 2, [], [4000.0]), (1e9, [], [])],
    ids=["awake", "asleep", "never"],
)
def test_it_sees_pauses_and_late_wakings(
    pauses_at_s: float, pauses_us: list[float], late_waking_us: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall_meter, "time", Clock(10e-6, pauses_at_s, 4e-3))
    seen = stall_meter.watch(1.0)
    assert seen.pauses_us == pytest.approx(pauses_us)
    assert seen.late_waking_us == pytest.approx(late_waking_us, abs=0.1)
    napping_s = NAPS_S / (AWAKE_S + NAPS_S)
    assert seen.looked_s == pytest.approx(1 - napping_s + napping_s * LOOK_S / (LOOK_S + SLEEP_S), rel=0.15)
    assert seen.wakings == pytest.approx(napping_s / (LOOK_S + SLEEP_S), rel=0.15)


def test_watches_are_put_together() -> None:
    one = Stalls(2.0, (100.0, 200.0), 0.5, (300.0,))
    assert together([one, NONE]) == Stalls(1.0, (100.0, 200.0), 0.25, (300.0,))


def test_stalls_and_late_wakings_make_the_end_of_a_distribution_and_not_its_middle() -> None:
    """A host that takes the core away ten times a second for 5 ms, from whoever sleeps or works."""
    arrivals = Arrivals(np.arange(1, 4000) * 1e-3, np.ones(3999, int))
    curve = curve_of(lambda rows: 10.0 + rows)
    calm = Costs(extra_cold=0.0, spread=0.0)
    shaken = suffering(calm, Stalls(10.0, (5000.0,), 0.01, (5000.0,)))

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


def test_what_takes_the_core_from_a_sleeper_is_not_counted_twice() -> None:
    """The meter calls it a late waking, so pauses of those that work do not go on while a worker sleeps."""
    arrivals = Arrivals(np.arange(1, 4000) * 1e-2, np.ones(3999, int))  # it works for a hundredth of the time
    curve = curve_of(lambda rows: 10.0 + rows)
    costs = suffering(Costs(extra_cold=0.0, spread=0.0), Stalls(2.0, (5000.0,)))
    outcome = simulate(arrivals, Configuration(1, ModelTuning()), curve, costs, cores=2, client=False)
    assert (outcome.latency_s > 1e-3).mean() < 0.002


def test_a_processor_that_cannot_be_watched_is_told() -> None:
    with pytest.raises(TuningError, match="processor 9999 could not be watched"):
        measure([9999], 0.1)
