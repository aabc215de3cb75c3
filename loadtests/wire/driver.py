"""Keeps lanes busy: a fixed number of requests is in flight, and the next one leaves when an answer comes.

Such a closed loop measures what a server can do, and hides its stalls: while nothing is answered, nothing is
asked. For latency there is the replay's generator (``loadtests/replay``), which asks whatever comes back.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rapide.loadtests.wire.lane import Lane, OpenLane

PAUSE_AFTER_FAILURE_S = 0.01
"""A failing server is asked again only so soon; else thousands of failures a second would be counted."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What one run found; ``mean_us`` is NaN where nothing was answered."""

    requests: int
    failures: int
    duration_s: float
    mean_us: float

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.duration_s


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


async def closed_loop(
    open_lane: OpenLane, *, lanes: int, depth: int, warm_up_s: float, duration_s: float
) -> Throughput:
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
    mean_s = statistics.fmean(loop.times_s) if loop.times_s else float("nan")
    return Throughput(len(loop.times_s), loop.failures, took_s, mean_s * 1e6)
