"""The processor's cores, and who gets one when.

Theory. Where more wants to run than there are cores, who comes first runs first. Work that lasts is interrupted by
who wakes, but often not at once: Linux (EEVDF, 6.6 and later) lets a task go on until it has had its fair share,
up to a tick of the scheduler. Measured on 6.18 with 250 ticks a second (``evidence.waits``, docs/tuning.md): of
two tasks on one core, in three of five cases the one that wakes waits until the other sleeps or has had some 4 ms;
in two of five it has the core at once, and so do all that wake later."""

from __future__ import annotations

import functools
import math
from collections import deque
from collections.abc import Callable
from typing import Final

from rapide.tuning.simulation.clock import Call, Clock

STANDS: Final = 0.6
"""How often who works is not interrupted until it has had a slice."""
SLICE_S: Final = 4e-3

Begin = Callable[[int, float], None]
"""Gets the core and the instant."""


class Cores:
    """Whoever asks is given a core in the order of asking, and says when it leaves it."""

    def __init__(self, clock: Clock, count: int) -> None:
        self._clock = clock
        self._free_s = [0.0] * count
        """From when on each is free; infinite while that is not known."""
        self._bursts: list[Burst | None] = [None] * count
        self._waiting: deque[Begin] = deque()

    def has_one(self, at_s: float) -> bool:
        """Whether who asks then need not wait."""
        return not self._waiting and min(self._free_s) <= at_s

    def ask(self, at_s: float, begin: Begin) -> None:
        """Has ``begin`` called when there is a core for it, now or later. It is to call ``leave``."""
        if not self._waiting:
            for core, free_s in enumerate(self._free_s):
                if free_s <= at_s:
                    self._give(core, at_s, begin)
                    return
            for core, burst in enumerate(self._bursts):
                if burst is not None and burst.yields_s <= at_s and self._free_s[core] < math.inf:
                    self._give(core, at_s, begin)
                    return
        self._waiting.append(begin)
        for core in range(len(self._free_s)):
            self._watch(core, at_s)

    def leave(self, core: int, until_s: float, burst: Burst | None = None) -> None:
        """``core`` is in use until then, by what may be interrupted if it is a ``burst``."""
        self._free_s[core], self._bursts[core] = until_s, burst
        if self._waiting:
            self._watch(core, 0.0)

    def borrow(self, at_s: float, lasts_s: float) -> float:
        """Uses another core for ``lasts_s`` as soon as one is free; its end. Where nobody knows when, that is
        after the one that asks has done its own part."""
        core = min(range(len(self._free_s)), key=self._free_s.__getitem__)
        starts_s = max(at_s, self._free_s[core])
        if starts_s == math.inf:
            return at_s + 2 * lasts_s
        self.leave(core, starts_s + lasts_s)
        return starts_s + lasts_s

    def _next_s(self, core: int) -> float:
        """From when on somebody who waits can have it."""
        burst, free_s = self._bursts[core], self._free_s[core]
        return free_s if burst is None else min(free_s, burst.began_s + SLICE_S)

    def _watch(self, core: int, at_s: float) -> None:
        if self._free_s[core] < math.inf:
            self._clock.at(max(at_s, self._next_s(core)), functools.partial(self._offer, core))

    def _offer(self, core: int, at_s: float) -> None:
        if self._waiting and self._free_s[core] < math.inf and self._next_s(core) <= at_s:
            self._give(core, at_s, self._waiting.popleft())

    def _give(self, core: int, at_s: float, begin: Begin) -> None:
        burst = self._bursts[core]
        if burst is not None and at_s < self._free_s[core]:
            burst.interrupt(at_s)
            self._waiting.append(burst.begin)
        self._free_s[core], self._bursts[core] = math.inf, None
        begin(core, at_s)


class Burst:
    """Work on a core that may be interrupted, and goes on when its turn comes again. ``ended`` is called at its
    end."""

    def __init__(self, clock: Clock, cores: Cores, lasts_s: float, ended: Call, *, stands: bool = True) -> None:
        self._clock, self._cores, self._ended = clock, cores, ended
        self._left_s, self._stands = lasts_s, stands
        self.first_began_s = self.began_s = math.inf
        self.yields_s = math.inf
        """From when on whoever wakes interrupts it."""
        self._ends_s = math.inf

    def begin(self, core: int, at_s: float) -> None:
        """On ``core``, or again."""
        if self._stands:
            self.yields_s = min(self.yields_s, at_s + SLICE_S)
        else:
            self.yields_s = at_s
        self.began_s, self._ends_s = at_s, at_s + self._left_s
        self.first_began_s = min(self.first_began_s, at_s)
        self._clock.at(self._ends_s, self._end)
        self._cores.leave(core, self._ends_s, self)

    def interrupt(self, at_s: float) -> None:
        """Somebody else has its core from ``at_s`` on."""
        self._left_s = self._ends_s - at_s
        self._ends_s = math.inf

    def _end(self, at_s: float) -> None:
        if at_s == self._ends_s:
            self._ended(at_s)
