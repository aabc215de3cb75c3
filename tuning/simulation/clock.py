"""The time of a simulation: what is to happen, in order."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable

Call = Callable[[float], None]
"""Gets the instant at which it is called, in seconds."""


class Clock:
    """Calls what was asked for at its instant; at the same instant, in the order of asking."""

    def __init__(self) -> None:
        self._calls: list[tuple[float, int, Call]] = []
        self._serial = itertools.count()

    def at(self, at_s: float, call: Call) -> None:
        """Has ``call`` called then. Never from inside ``at``, even where ``at_s`` is past."""
        heapq.heappush(self._calls, (at_s, next(self._serial), call))

    def run(self) -> None:
        """Until nothing is left to happen."""
        calls = self._calls
        while calls:
            at_s, _, call = heapq.heappop(calls)
            call(at_s)


class Waking:
    """When one process is to wake: of all that was asked for, the earliest."""

    def __init__(self, clock: Clock, call: Call) -> None:
        self._clock = clock
        self._call = call
        self.at_s = math.inf

    def by(self, at_s: float) -> None:
        """At ``at_s``, unless sooner."""
        if at_s < self.at_s:
            self.at_s = at_s
            self._clock.at(at_s, self._ring)

    def ring(self) -> None:
        """Before the clock comes to it."""
        self._ring(self.at_s)

    def _ring(self, at_s: float) -> None:
        if at_s == self.at_s:
            self.at_s = math.inf
            self._call(at_s)
