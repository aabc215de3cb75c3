"""How long who wakes waits for a core on which somebody works: measured, and by ``simulation.cores``.

One process works for a while and sleeps for about as long, again and again; the other, on the same core, sleeps
for a millisecond on average and works for 50 µs, as the loop of a server does. What is measured is by how much
later it wakes than it usually does alone."""

from __future__ import annotations

import functools
import multiprocessing
import os
import time
from random import Random
from typing import Any, Final

import numpy as np

from rapide.tuning.simulation.clock import Clock
from rapide.tuning.simulation.cores import STANDS, Burst, Cores

Floats = np.ndarray[Any, np.dtype[np.float64]]

BURSTS_S: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.020)
SLEEPS_S: Final = 0.001
WORKS_S: Final = 50e-6
LASTS_S: Final = 6.0
LONG_S: Final = 200e-6
"""Who waits for longer is counted."""
WARM_UP_S: Final = 0.3


def measure(core: int) -> list[dict[str, float]]:
    """By the length of what the other does: the share of wakings that wait for long, and p99."""
    usual_s = float(np.median(_woken_s(core, None)))
    return [
        {
            "burst_ms": burst_s * 1e3,
            **_figures("measured", _woken_s(core, burst_s) - usual_s),
            **_figures("simulated", simulated_s(burst_s, LASTS_S * 5)),
        }
        for burst_s in BURSTS_S
    ]


def simulated_s(burst_s: float, lasts_s: float, seed: int = 0) -> Floats:
    """The waits by the simulator."""
    random, clock, waits_s = Random(seed), Clock(), []  # noqa: S311 - a simulation
    cores = Cores(clock, 1)

    def work(at_s: float) -> None:
        cores.ask(at_s, Burst(clock, cores, burst_s, pause, stands=random.random() < STANDS).begin)

    def pause(at_s: float) -> None:
        if at_s < lasts_s:
            clock.at(at_s + random.expovariate(1 / burst_s), work)

    def sleep(at_s: float) -> None:
        if at_s < lasts_s:
            clock.at(at_s + random.expovariate(1 / SLEEPS_S), wake)

    def wake(at_s: float) -> None:
        cores.ask(at_s, functools.partial(turn, at_s))

    def turn(woken_s: float, core: int, at_s: float) -> None:
        waits_s.append(at_s - woken_s)
        cores.leave(core, at_s + WORKS_S)
        sleep(at_s + WORKS_S)

    work(0.0)
    sleep(0.0)
    clock.run()
    return np.array(waits_s)


def _figures(name: str, waits_s: Floats) -> dict[str, float]:
    return {
        f"{name}_share": round(float((waits_s > LONG_S).mean()), 3),
        f"{name}_p99_ms": round(float(np.quantile(waits_s, 0.99)) * 1e3, 2),
    }


def _woken_s(core: int, burst_s: float | None) -> Floats:
    """How late a process wakes beside one that works, or alone."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    sleeper = context.Process(target=_sleep, args=(core, queue))
    worker = context.Process(target=_work, args=(core, burst_s), daemon=True)
    try:
        if burst_s is not None:
            worker.start()
        sleeper.start()
        return np.array(queue.get(timeout=LASTS_S + 60))
    finally:
        if burst_s is not None:
            worker.kill()
            worker.join()
        sleeper.join()


def _work(core: int, burst_s: float) -> None:
    os.sched_setaffinity(0, {core})
    random = Random(1)  # noqa: S311 - a load
    while True:
        _spin(burst_s)
        time.sleep(random.expovariate(1 / burst_s))


def _sleep(core: int, queue: Any) -> None:
    os.sched_setaffinity(0, {core})
    random, late_s = Random(2), []  # noqa: S311 - a load
    time.sleep(WARM_UP_S)
    ends_s = time.perf_counter() + LASTS_S
    while (now_s := time.perf_counter()) < ends_s:
        sleeps_s = random.expovariate(1 / SLEEPS_S)
        time.sleep(sleeps_s)
        late_s.append(time.perf_counter() - now_s - sleeps_s)
        _spin(WORKS_S)
    queue.put(late_s)


def _spin(lasts_s: float) -> None:
    ends_s = time.perf_counter() + lasts_s
    while time.perf_counter() < ends_s:
        pass
