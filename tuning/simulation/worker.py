"""One worker of a server: an event loop, and the threads on which it runs the model."""

from __future__ import annotations

import bisect
import contextlib
import functools
import itertools
import math
from random import Random
from typing import Any, Final

import numpy as np

from rapide.server.batching import Batch, BatchPolicy, BatchQueue, Entry
from rapide.server.dispatch import RunTimes
from rapide.server.errors import QueueFull, TooLarge
from rapide.server.gathering import Gathering
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curve import Curve
from rapide.tuning.simulation.client import Callers, Client
from rapide.tuning.simulation.clock import Clock, Waking
from rapide.tuning.simulation.cores import Burst, Cores
from rapide.tuning.simulation.warmth import Warmth

FOLD_EVERY: Final = 1024
"""Entries of one of the recorder's rings (``server.telemetry.version_block``)."""
FACTORS: Final = 4096
"""Drawn for the turns of a loop; then they begin again."""
LOOK_US: Final = 3.0
"""What it takes to look for more in the sockets, warm."""


class Worker:
    """Reads what is delivered, and answers it."""

    def __init__(
        self,
        clock: Clock,
        cores: Cores,
        configuration: Configuration,
        curve: Curve,
        costs: Costs,
        key: Any,
        callers: Client | Callers,
        seed: int,
    ) -> None:
        """``key``: that of all requests, as a queue has it. ``callers`` get the answers."""
        tuning = configuration.tuning
        self._clock, self._cores, self._curve, self._costs = clock, cores, curve, costs
        self._key, self._callers = key, callers
        self._threads = configuration.knobs.threads
        self._cap = tuning.max_rows_per_run
        self._most_rows = tuning.max_batch_rows
        self._may_hurry = not tuning.max_delay_us
        self._is_left_over = False
        """After a batch on the loop something waits for the next turn."""
        self._queue: BatchQueue[Entry] = BatchQueue(
            BatchPolicy(
                max_batch_rows=tuning.max_batch_rows,
                max_queue_rows=tuning.max_queue_rows,
                max_delay_s=tuning.max_delay_us * 1e-6,
            )
        )
        run_us = curve.run_us(1)
        row_us = max(0.0, (curve.run_us(8) - run_us) / 7)
        self._times = RunTimes(run_us, row_us, tuning.inline_below_us)
        self._gathering = Gathering()
        self._warmth = Warmth(costs)
        # Of the turns to come: lognormal with a mean of 1.
        drawn = np.random.default_rng(seed).standard_normal(FACTORS)
        self._factors = itertools.cycle(np.exp(costs.spread * drawn - costs.spread**2 / 2).tolist())
        self._factor = 1.0
        self._random = Random(seed)  # noqa: S311 - a simulation
        self._stall_at_s, self._stall_s = 0.0, 0.0
        self._next_stall()
        self._stalled_s = 0.0
        self._unfolded = 0
        self._numbers: dict[Entry, int] = {}
        """Of the requests under way. Beside them, not in them: a compiled Entry cannot be extended here."""
        self._free = tuning.sessions
        self._starting: list[Burst] = []
        """Threads that were woken in this turn: they begin with the interpreter's lock."""
        self._landed: list[Batch[Entry]] = []
        self._running = 0
        self._ran_s = 0.0
        """Until then a thread kept caches and core warm."""
        self._there_s: list[float] = []
        self._asked: list[tuple[int, int]] = []
        self._next = 0
        """Of the two lists before, which hold all that was delivered: instants, and numbers with rows."""
        self._waking = Waking(clock, self._wake)
        self._is_awake = False
        self._slept_s = 0.0
        self._ends_s = 0.0
        """Of the last turn."""
        self.loop_s = self.inline_s = self.threads_s = 0.0
        self.computed_s = 0.0
        """Of all runs, from their beginning to their end."""
        self.runs = 0

    def deliver(self, number: int, rows: int, at_s: float) -> None:
        """Request ``number`` is in the socket from ``at_s`` on; later ones come later."""
        self._there_s.append(at_s)
        self._asked.append((number, rows))
        if not self._is_awake:
            self._waking.by(max(at_s, self._ends_s))

    # A turn of the loop.

    def _sleep(self, now_s: float) -> None:
        self._is_awake = False
        self._ends_s = self._slept_s = now_s
        if self._landed:
            self._waking.by(now_s)
        if self._next < len(self._there_s):
            self._waking.by(max(now_s, self._there_s[self._next]))
        if self._queue and self._free:
            due_s = self._queue.due_s(now_s)
            if due_s is not None:
                self._waking.by(max(now_s, due_s))

    def _wake(self, at_s: float) -> None:
        costs, slept_s = self._costs, at_s - self._slept_s
        if slept_s > 0:
            idle_s = 0.0 if self._running else at_s - max(self._slept_s, self._ran_s)
            self._warmth.slept(max(0.0, idle_s) * 1e6)
            self._stall_at_s += slept_s  # they come by time worked; what strikes a sleeper is a late waking
            self._slept_s = at_s
            # Late now and then, unless a thread keeps the core awake.
            if not self._running and self._random.random() < costs.late_share:
                at_s += self._random.choice(costs.late_waking_us) * 1e-6
                self._is_awake = True
                self._clock.at(at_s, self._ask)
                return
        self._is_awake = True
        self._ask(at_s)

    def _ask(self, at_s: float) -> None:
        self._cores.ask(at_s, self._turn)

    def _turn(self, core: int, begun_s: float) -> None:
        self._stall_at_s += max(0.0, begun_s - self._slept_s)
        now_s = begun_s
        self._factor = next(self._factors)
        answers, self._landed = self._landed, []
        for _ in answers:
            now_s += self._cost_s(self._costs.hop_us)
        now_s = self._take_in(begun_s, now_s, landed=bool(answers))
        if self._queue or answers:
            now_s = self._drain(now_s + self._cost_s(self._costs.tick_us))
        for batch in answers:
            now_s = self._answer(batch, self._through(now_s))
        now_s += self._cost_s(self._costs.after_us)
        now_s = self._fold(now_s)
        self.loop_s += now_s - begun_s - self._stalled_s
        self._stalled_s = 0.0
        self._cores.leave(core, now_s)
        for burst in self._starting:
            wakes_s = now_s + self._warmth.of(self._costs.thread_us) * 1e-6
            self._clock.at(wakes_s, functools.partial(self._cores.work, burst=burst))
        self._starting.clear()
        self._sleep(now_s)

    def _through(self, now_s: float) -> float:
        """``now_s``, or later if the machine took the core away before."""
        while self._stall_at_s < now_s:
            now_s += self._stall_s
            self._stalled_s += self._stall_s
            self._next_stall()
        return now_s

    def _next_stall(self) -> None:
        if not self._costs.stalls_per_s:
            self._stall_at_s = math.inf
            return
        self._stall_at_s += self._stall_s + self._random.expovariate(self._costs.stalls_per_s)
        self._stall_s = self._random.choice(self._costs.stall_us) * 1e-6

    def _fold(self, now_s: float) -> float:
        """Three of the recorder's rings fill by request, one by run; each is folded when it has enough."""
        if self._unfolded < FOLD_EVERY:
            return now_s
        self._unfolded -= FOLD_EVERY
        return now_s + self._cost_s(self._costs.fold_us)

    def _take_in(self, begun_s: float, now_s: float, *, landed: bool) -> float:
        """Reads what was there when the turn began, and perhaps, as the engine, what has come since. Who comes
        alone time after time runs before the others of its turn are read (over gRPC; that others do not matters
        little).

        ``landed``: what came back from threads decides in this turn, which neither looks nor hurries.
        """
        queue, gathering = self._queue, self._gathering
        until = bisect.bisect_right(self._there_s, begun_s, self._next)
        if until == self._next:
            return now_s
        if self._may_hurry and not landed and self._free and not queue and gathering.is_alone:
            now_s = self._read(self._next + 1, now_s)
            if queue:
                now_s = self._drain(now_s + self._cost_s(self._costs.tick_us))
                now_s = self._read(until, now_s)
                gathering.ends(1 + len(queue))
                return now_s
        looks = not landed and not self._is_left_over
        now_s = self._read(until, now_s)
        while looks and queue.queued_rows < self._most_rows and gathering.goes_on(len(queue)):
            now_s += self._cost_s(LOOK_US)
            self._callers.advance(now_s)
            now_s = self._read(bisect.bisect_right(self._there_s, now_s, self._next), now_s)
        return now_s

    def _read(self, until: int, now_s: float) -> float:
        """Admits requests. One that is refused gets no answer."""
        for number, rows in self._asked[self._next : until]:
            now_s += self._cost_s(self._costs.read_us)
            request = Entry(rows, self._key, math.inf, now_s)
            with contextlib.suppress(QueueFull, TooLarge):
                self._queue.put(request)
                self._numbers[request] = number
        self._next = until
        return now_s

    def _cost_s(self, warm_us: float) -> float:
        cost_us: float = self._warmth.of(warm_us) * self._factor
        self._warmth.worked(cost_us)
        return cost_us * 1e-6

    def _drain(self, now_s: float) -> float:
        """As the engine: inline one batch a tick, on threads all that are free."""
        self._is_left_over = False
        while self._free:
            batch = self._queue.take(now_s)
            if batch is None:
                break
            self.runs += 1
            self._gathering.ends(len(batch.entries))
            self._unfolded += 3 * len(batch.entries) + 1
            run_us = self._run_us(batch.rows) * self._factor
            is_inline = self._times.is_inline(batch.rows)
            self._times.observe(batch.rows, run_us)
            if is_inline:
                now_s = self._run(run_us, now_s)
                now_s = self._answer(batch, self._through(now_s))
                self._is_left_over = bool(self._queue)
                break
            self._start(batch, run_us)
            now_s += self._cost_s(self._costs.hop_us)
        return now_s

    def _run_us(self, rows: int) -> float:
        costs, cold = self._costs, self._warmth.cold
        warm_us = self._curve.run_us(rows, self._cap)
        return warm_us * (costs.run_scale + costs.cold_run * cold) + costs.cold_run_us * cold

    def _run(self, run_us: float, now_s: float) -> float:
        """On the loop, with as many cores as the model has threads."""
        self._warmth.worked(run_us)
        run_s = run_us * 1e-6
        self.inline_s += run_s
        ends_s = now_s + run_s
        for _ in range(self._threads - 1):
            ends_s = max(ends_s, self._cores.borrow(now_s, run_s))
        self.computed_s += ends_s - now_s
        self.loop_s -= ends_s - now_s
        return ends_s

    # Threads.

    def _start(self, batch: Batch[Entry], run_us: float) -> None:
        """On a thread, when this turn is over; with the help of others, if the model has them."""
        self._free -= 1
        self._running += 1
        run_s = run_us * 1e-6
        self.threads_s += run_s
        left = self._threads
        bursts: list[Burst] = []
        tells_s = self._warmth.of(self._costs.thread_us) * 1e-6

        def ended(at_s: float) -> None:
            nonlocal left
            left -= 1
            if left:
                return
            self._warmth.worked(run_us)
            self._ran_s = at_s
            self.computed_s += at_s - tells_s - min(burst.first_began_s for burst in bursts)
            # To tell the loop it needs the interpreter's lock, which the loop has in its turns.
            told_s = max(at_s, self._ends_s + tells_s)
            if told_s > at_s:
                self._clock.at(told_s, functools.partial(self._land, batch))
            else:
                self._land(batch, at_s)

        for _ in range(self._threads):
            lasts_s = run_s + self._stalls_s(run_s) + tells_s
            bursts.append(Burst(self._clock, self._cores, lasts_s, ended))
        self._starting += bursts

    def _land(self, batch: Batch[Entry], at_s: float) -> None:
        """The loop hears of it."""
        self._landed.append(batch)
        self._free += 1
        self._running -= 1
        if not self._is_awake:
            self._waking.by(max(at_s, self._ends_s))

    def _stalls_s(self, lasts_s: float) -> float:
        """For how long the machine takes the core from a thread that works for ``lasts_s``."""
        per_s, lost_s = self._costs.stalls_per_s, 0.0
        next_s = self._random.expovariate(per_s) if per_s else math.inf
        while next_s < lasts_s:
            lost_s += self._random.choice(self._costs.stall_us) * 1e-6
            next_s += self._random.expovariate(per_s)
        return lost_s

    def _answer(self, batch: Batch[Entry], now_s: float) -> float:
        for request in batch.entries:
            now_s += self._cost_s(self._costs.answer_us)
            self._callers.answer(self._numbers.pop(request), now_s)
        return now_s
