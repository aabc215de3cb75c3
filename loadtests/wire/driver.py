"""Keeps lanes busy and times every request.

Closed loop: a fixed number of requests is in flight; the next one leaves when an answer comes. It measures what a
server can do, and hides its stalls: while nothing is answered, nothing is asked.

Open loop: requests leave at the times of a Poisson process, whatever comes back, and each is timed from the moment
at which it *should* have left, so that a stall is felt by everybody who would have come meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rapide.loadtests.wire.lane import Lane, OpenLane

PAUSE_AFTER_FAILURE_S = 0.01
"""A closed loop asks a failing server again only so soon; else it would count thousands of failures a second."""
ANSWERS_WITHIN_S = 10.0
"""How long an open loop waits for what is still in flight at its end; then it counts as failed."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run found. Times are microseconds; percentiles are exact, over all answered requests."""

    requests: int
    failures: int
    duration_s: float
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    p99_by_second_us: float = 0.0
    """Open loop: the median of what each second's own p99 was. A stall of the whole machine spoils one second."""
    late_p99_us: float = 0.0
    """Open loop: how late the generator itself sent; where this nears ``p99_us``, it measured itself."""

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.duration_s


def summary(
    times_s: Sequence[float], failures: int, duration_s: float, late_s: Sequence[float] = (0.0,)
) -> Measurement:
    """The figures of a run from the times of its answered requests."""
    times_us = np.array(times_s or [np.nan]) * 1e6
    p50, p90, p99, p999 = (float(value) for value in np.percentile(times_us, [50, 90, 99, 99.9]))
    return Measurement(
        requests=len(times_s),
        failures=failures,
        duration_s=duration_s,
        mean_us=float(times_us.mean()),
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        p999_us=p999,
        max_us=float(times_us.max()),
        late_p99_us=float(np.percentile(np.array(late_s), 99) * 1e6),
    )


class ClosedLoop:
    """``depth`` requests in flight on each of ``lanes``, from ``start`` until ``stop``."""

    def __init__(self, lanes: Sequence[Lane], depth: int) -> None:
        self._lanes = lanes
        self._depth = depth
        self._sent_s: list[float] = []
        self._lane_of: list[Lane] = []
        self._running = True
        self.times_s: list[float] = []
        self.failures = 0

    def start(self) -> None:
        for lane in self._lanes:
            lane.answered = self._answered
            for _ in range(self._depth):
                self._send(lane)

    def forget(self) -> None:
        """Ends the warm-up."""
        self.times_s.clear()
        self.failures = 0

    def stop(self) -> None:
        """Nothing more is sent or counted."""
        self._running = False

    def _send(self, lane: Lane) -> None:
        self._lane_of.append(lane)
        self._sent_s.append(time.perf_counter())
        lane.send(len(self._sent_s) - 1)

    def _answered(self, number: int, well: bool) -> None:
        if not self._running:
            return
        lane = self._lane_of[number]
        if well:
            self.times_s.append(time.perf_counter() - self._sent_s[number])
            self._send(lane)
        else:
            self.failures += 1
            asyncio.get_running_loop().call_later(PAUSE_AFTER_FAILURE_S, self._send, lane)


class OpenLoop:
    """Requests at the times ``due_s`` (seconds from the start), each on the lane with the fewest in flight."""

    def __init__(
        self, lanes: Sequence[Lane], due_s: Sequence[float], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._lanes = lanes
        self._due_s = due_s
        self._clock = clock
        self._sent = 0
        self._open = len(due_s)
        self._start_s = 0.0
        self._loop = asyncio.get_running_loop()
        self.finished = self._loop.create_future()
        self.times_s: list[float | None] = [None] * len(due_s)
        """By request; None for one that failed or was not answered in time."""
        self.late_s: list[float] = []

    def start(self) -> None:
        for lane in self._lanes:
            lane.answered = self._answered
        self._start_s = self._clock()
        self._tick()

    def _tick(self) -> None:
        now_s = self._clock() - self._start_s
        while self._sent < len(self._due_s) and self._due_s[self._sent] <= now_s:
            self.late_s.append(now_s - self._due_s[self._sent])
            number, self._sent = self._sent, self._sent + 1
            min(self._lanes, key=lambda lane: lane.in_flight).send(number)
        if self._sent < len(self._due_s):
            # Turning without rest: timers of event loops are a millisecond wide, longer than what is measured.
            self._loop.call_soon(self._tick)

    def _answered(self, number: int, well: bool) -> None:
        if well:
            self.times_s[number] = self._clock() - self._start_s - self._due_s[number]
        self._open -= 1
        if not self._open and not self.finished.done():
            self.finished.set_result(None)


async def closed_loop(
    open_lane: OpenLane, *, lanes: int, depth: int, warm_up_s: float, duration_s: float
) -> Measurement:
    """``lanes × depth`` requests in flight for ``duration_s``, after a warm-up that is not counted."""
    opened = [await open_lane() for _ in range(lanes)]
    loop = ClosedLoop(opened, depth)
    loop.start()
    await asyncio.sleep(warm_up_s)
    loop.forget()
    start_s = time.perf_counter()
    await asyncio.sleep(duration_s)
    took_s = time.perf_counter() - start_s
    loop.stop()
    for lane in opened:
        lane.close()
    return summary(loop.times_s, loop.failures, took_s)


async def open_loop(
    open_lane: OpenLane, *, lanes: int, rate_per_s: float, warm_up_s: float, duration_s: float, seed: int
) -> Measurement:
    """Poisson arrivals at ``rate_per_s``, the same for the same ``seed``; the first ``warm_up_s`` do not count."""
    opened = [await open_lane() for _ in range(lanes)]
    gaps_s = np.random.default_rng(seed).exponential(
        1 / rate_per_s, size=int(rate_per_s * (warm_up_s + duration_s))
    )
    due_s = np.cumsum(gaps_s).tolist()
    loop = OpenLoop(opened, due_s)
    gc.disable()  # a collection in the middle would be the server's latency
    try:
        loop.start()
        await asyncio.wait([loop.finished], timeout=due_s[-1] + ANSWERS_WITHIN_S)
    finally:
        gc.enable()
    for lane in opened:
        lane.close()
    first = int(np.searchsorted(due_s, warm_up_s))
    counted = loop.times_s[first:]
    answered_s = [time_s for time_s in counted if time_s is not None]
    found = summary(answered_s, len(counted) - len(answered_s), due_s[-1] - due_s[first], loop.late_s[first:])
    return replace(found, p99_by_second_us=p99_by_second(due_s[first:], counted) * 1e6)


def p99_by_second(due_s: Sequence[float], times_s: Sequence[float | None]) -> float:
    """The median over the seconds in which requests were due of each one's 99th percentile, in seconds; failed
    requests do not count. NaN where there is none."""
    answered = np.array([(due, time) for due, time in zip(due_s, times_s, strict=True) if time is not None])
    if not len(answered):
        return float("nan")
    seconds = (answered[:, 0] - due_s[0]).astype(int)
    return float(np.median([np.percentile(answered[seconds == second, 1], 99) for second in np.unique(seconds)]))
