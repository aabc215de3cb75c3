"""Who asks the server: the load generator of a replay, or callers elsewhere."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from rapide.tuning.costs import Costs
from rapide.tuning.simulation.clock import Clock, Waking
from rapide.tuning.simulation.cores import Cores

AWAKE_S: Final = 30e-6
"""Who slept for less is not woken late."""


class Client:
    """The load generator: one process, one loop (``loadtests.replay.generator``). Sends what is due, and takes the
    answers. ``ended_s``: by request, when its answer was read; infinite where none came."""

    def __init__(
        self,
        clock: Clock,
        cores: Cores | None,
        costs: Costs,
        due_s: Sequence[float],
        deliver: Callable[[int, float], None],
        random: Random,
    ) -> None:
        """``cores``: those that it shares with the server, if it has none of its own. ``deliver`` gets a request
        and the instant at which it is with the server."""
        self._cores, self._costs, self._random = cores, costs, random
        self._due_s, self._deliver = due_s, deliver
        self._send_s, self._receive_s = costs.send_us * 1e-6, costs.receive_us * 1e-6
        self._away_s = costs.network_us / 2e6
        self._next = 0
        self._answers: list[tuple[float, int]] = []
        self._waking = Waking(clock, self._wake)
        self._ends_s = 0.0
        """Of the last turn."""
        self._is_late = False
        self._is_awake = False
        self.ended_s = [math.inf] * len(due_s)
        self.busy_s = 0.0

    def begin(self) -> None:
        """Sends the first, and then goes on."""
        self._sleep(0.0)

    def answer(self, number: int, at_s: float) -> None:
        """The server answers request ``number``."""
        heapq.heappush(self._answers, (at_s + self._away_s, number))
        if not self._is_awake:
            self._waking.by(max(at_s + self._away_s, self._ends_s))

    def advance(self, until_s: float) -> None:
        """Lets it do what it does before then, as far as it does not wait for a core: somebody's turn, in whose
        middle the clock stands still, looks for what has come meanwhile."""
        while (at_s := self._waking.at_s) <= until_s and (self._cores is None or self._cores.has_one(at_s)):
            self._waking.ring()

    def _sleep(self, now_s: float) -> None:
        self._is_awake = False
        self._ends_s = now_s
        if self._next < len(self._due_s):
            late_s = self._random.choice(self._costs.late_us) * 1e-6
            self._waking.by(max(now_s, self._due_s[self._next] + late_s))
        if self._answers:
            self._waking.by(max(now_s, self._answers[0][0]))

    def _wake(self, at_s: float) -> None:
        costs, has_slept = self._costs, at_s - self._ends_s > AWAKE_S
        is_late = has_slept and not self._is_late and self._random.random() < costs.late_share
        self._is_late, self._is_awake = is_late, True
        if is_late:
            self._waking.by(at_s + self._random.choice(costs.late_waking_us) * 1e-6)
            return
        if self._cores is None:
            self._turn(0, at_s)
        else:
            self._cores.ask(at_s, self._turn)

    def _turn(self, core: int, begun_s: float) -> None:
        """Until there is nothing to do."""
        due_s, answers, now_s, count = self._due_s, self._answers, begun_s, len(self._due_s)
        while True:
            before_s = now_s
            while self._next < count and due_s[self._next] <= now_s:
                now_s += self._send_s
                self._deliver(self._next, now_s + self._away_s)
                self._next += 1
            while answers and answers[0][0] <= now_s:
                now_s += self._receive_s
                self.ended_s[heapq.heappop(answers)[1]] = now_s
            if now_s == before_s:
                break
        self.busy_s += now_s - begun_s
        if self._cores is not None:
            self._cores.leave(core, now_s)
        self._sleep(now_s)


class Callers:
    """Many, on other machines, each of which does nothing else: what ``Client`` is, without what it takes."""

    busy_s = 0.0

    def __init__(
        self,
        _clock: Clock,
        _cores: Cores | None,
        costs: Costs,
        due_s: Sequence[float],
        deliver: Callable[[int, float], None],
        _random: Random,
    ) -> None:
        self._due_s, self._deliver = due_s, deliver
        self._away_s = costs.network_us / 2e6
        self.ended_s = [math.inf] * len(due_s)

    def begin(self) -> None:
        """Sends all of it, each at its time."""
        for number, due_s in enumerate(self._due_s):
            self._deliver(number, due_s + self._away_s)

    def answer(self, number: int, at_s: float) -> None:
        """The server answers request ``number``."""
        self.ended_s[number] = at_s + self._away_s

    def advance(self, _until_s: float) -> None:
        """All of it is sent."""
