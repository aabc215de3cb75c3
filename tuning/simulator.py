"""What latencies a configuration would give under given arrivals: the server's own queue and policy, on a clock
of ours.

Theory. Each worker is one event loop. It sleeps until something comes, reads what has come, and perhaps looks for
more, forms a batch with the server's own ``BatchQueue`` (time is its argument), and runs it: inline, when nothing
else happens meanwhile, or on a thread, when the next batch gathers. ``Gathering`` and ``RunTimes``, the server's
own, decide that. A thread needs the interpreter's lock to begin and to tell that it has ended, and gets it when
the loop's turn is over. What all of it costs is ``Costs`` and the model's ``Curve``. Connections are spread over
workers as the kernel does it, by chance, and requests over connections in turn. Where more wants to run than there
are cores, everything takes longer by the expected share.

Nothing here knows real time: 4,000 requests take some 30 ms to simulate.
"""

from __future__ import annotations

import bisect
import contextlib
import heapq
import itertools
import math
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.server.batching import Batch, BatchPolicy, BatchQueue, Entry
from rapide.server.dispatch import RunTimes
from rapide.server.errors import QueueFull, TooLarge
from rapide.server.gathering import Gathering
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs, Warmth
from rapide.tuning.curve import Curve

Floats = np.ndarray[Any, np.dtype[np.float64]]
FOLD_EVERY: Final = 1024
"""Entries of one of the recorder's rings (``server.telemetry.version_block``)."""
CONNECTIONS: Final = 16
"""As the replay opens them over gRPC."""
FACTORS: Final = 4096
"""Drawn for the turns of a loop; then they begin again."""
AWAKE_S: Final = 30e-6
"""What comes so soon after another finds the generator awake."""
LOOK_US: Final = 3.0
"""What it takes to look for more in the sockets, warm."""
_ONE: Final = ()
"""The key of requests that may be merged."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``latency_s``: of each request, infinite where it was refused. ``busy``: share of the time for which the
    busiest place was (a loop, its threads, all cores); near 1 it cannot keep up."""

    latency_s: Floats
    cpu_s: float
    """Of all workers, the model's threads included."""
    busy: float
    runs: int


def simulate(
    arrivals: Arrivals,
    configuration: Configuration,
    curve: Curve,
    costs: Costs,
    *,
    cores: int,
    seed: int = 0,
    batchable: bool = True,
    client: bool = True,
) -> Outcome:
    """``client``: whether the load generator's own delays are part of it (a replay on this machine), or not (what
    callers elsewhere would see, the network as here)."""
    random = np.random.default_rng(seed)
    count = arrivals.count
    sent_s = _sent_s(arrivals.instants_s, costs, random) if client else arrivals.instants_s
    there_s = sent_s + costs.network_us / 2e6
    of_connection = random.integers(0, configuration.workers, CONNECTIONS)
    of_request = of_connection[np.arange(count) % CONNECTIONS]
    runs = configuration.knobs.threads * configuration.tuning.sessions
    stretch = following = 1.0
    shared = _shared(configuration.workers, runs, cores)
    competes = client and not costs.client_apart
    crowding = 1.0 + costs.crowding if is_crowded(configuration, costs, cores, client=client) else 1.0
    for _ in range(2 if configuration.workers * runs + competes > cores else 1):
        stretch, done_s = following, np.full(count, np.inf)
        works = []
        for number in range(configuration.workers):
            chosen = np.flatnonzero(of_request == number)
            key = _ONE if batchable else None
            worker = _Worker(configuration, curve, costs, stretch, crowding, shared, random, key)
            worker.run(there_s[chosen].tolist(), arrivals.rows[chosen].tolist())
            done_s[chosen] = worker.done_s
            works.append(worker)
        span_s = max(1e-6, arrivals.duration_s)
        shares = [
            min(1.0, (worker.loop_us + worker.inline_us + worker.thread_us) * 1e-6 / span_s) for worker in works
        ]
        client_share = (
            min(1.0, 2 * (costs.send_us + costs.receive_us) * 1e-6 * count / span_s) if competes else 0.0
        )
        following = _stretch(shares, client_share, configuration.knobs.threads, cores)
    back_s = done_s + costs.network_us / 2e6
    if client:
        back_s = _in_turn(_woken_s(back_s, costs, random), costs.receive_us * 1e-6)
    threads, sessions = configuration.knobs.threads, configuration.tuning.sessions
    busy_us = sum(worker.loop_us + (worker.inline_us + worker.thread_us) * threads for worker in works)
    cpu_s = busy_us * 1e-6 / stretch  # who waits for a core does not use it
    loops = [worker.loop_us + worker.inline_us for worker in works]
    runners = [worker.thread_us / sessions for worker in works]
    busy = max(max(loops + runners) * 1e-6 / span_s, (cpu_s / span_s + client_share) / cores)
    return Outcome(back_s - arrivals.instants_s, cpu_s, busy, sum(worker.runs for worker in works))


def is_crowded(configuration: Configuration, costs: Costs, cores: int, *, client: bool = True) -> bool:
    """Whether workers and load generator are more than the cores that they share."""
    return configuration.workers + (client and not costs.client_apart) > cores


class _Worker:
    """One worker's loop; ``done_s`` has the instants at which answers leave."""

    def __init__(
        self,
        configuration: Configuration,
        curve: Curve,
        costs: Costs,
        stretch: float,
        crowding: float,
        shared: float,
        random: np.random.Generator,
        key: Any,
    ) -> None:
        """``stretch``: of all that runs; ``crowding``: of the loop's turns. ``shared``: of the loop's work, what
        is time that a thread of the model cannot have."""
        tuning = configuration.tuning
        self._shared = shared
        self._curve, self._costs, self._stretch, self._key = curve, costs, stretch, key
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
        drawn = np.exp(costs.spread * random.standard_normal(FACTORS) - costs.spread**2 / 2)
        self._factors = itertools.cycle((stretch * crowding * drawn).tolist())
        self._factor = 1.0
        self._random = Random(int(random.integers(1 << 30)))  # noqa: S311 - a simulation
        self._stall_at_s, self._stall_s = 0.0, 0.0
        self._next_stall()
        self._unfolded = 0
        self._numbers: dict[Entry, int] = {}
        """Of the requests under way. Beside them, not in them: a compiled Entry cannot be extended here."""
        self._free = tuning.sessions
        self._landing: list[tuple[float, int, Batch[Entry], bool, float]] = []
        self.done_s: list[float] = []
        self.loop_us = self.inline_us = self.thread_us = 0.0
        self._stalled_s = 0.0
        self.runs = 0

    def run(self, there_s: list[float], rows: list[int]) -> None:
        """All requests, by arrival at the socket, until the last is answered."""
        self.done_s = [math.inf] * len(there_s)
        queue, count, number, now_s = self._queue, len(there_s), 0, 0.0
        while number < count or queue or self._landing:
            next_s = there_s[number] if number < count else math.inf
            if queue and self._free:
                due_s = queue.due_s(now_s)
                next_s = next_s if due_s is None else min(next_s, due_s)
            next_s = min(next_s, self._told_s(now_s, next_s))
            if next_s > now_s:
                now_s = self._sleep(now_s, next_s, alone=not self._landing)
            begun_s = now_s = self._through(now_s, now_s)
            self._factor = next(self._factors)
            answers = self._land(now_s)
            for _ in answers:
                now_s += self._cost_s(self._costs.hop_us)
            number, now_s = self._take_in(there_s, rows, number, begun_s, now_s, landed=bool(answers))
            if queue or answers:
                now_s = self._drain(now_s + self._cost_s(self._costs.tick_us), begun_s)
            for batch in answers:
                now_s = self._answer(batch, self._through(begun_s, now_s))
            now_s += self._cost_s(self._costs.after_us)
            now_s = self._fold(now_s)
            self._hold_up(begun_s, now_s)
            self.loop_us += (now_s - begun_s - self._stalled_s) * 1e6
            self._stalled_s = 0.0

    def _through(self, begun_s: float, now_s: float) -> float:
        """``now_s``, or later if the machine took the core away: what a stall interrupts since ``begun_s`` takes
        as much longer, and what it slept through begins at its end."""
        while self._stall_at_s < now_s:
            if self._stall_at_s > begun_s:
                now_s += self._stall_s
                self._stalled_s += self._stall_s
            else:
                now_s = max(now_s, self._stall_at_s + self._stall_s)
            self._next_stall()
        return now_s

    def _next_stall(self) -> None:
        if not self._costs.stalls_per_s:
            self._stall_at_s = math.inf
            return
        self._stall_at_s += self._stall_s + self._random.expovariate(self._costs.stalls_per_s)
        self._stall_s = self._random.choice(self._costs.stall_us) * 1e-6

    def _hold_up(self, begun_s: float, now_s: float) -> None:
        """Runs that are under way on threads stand still while the loop works, where both share a core; those that
        were started in this turn also where they do not: they begin with the interpreter's lock."""
        landing = self._landing
        if landing:
            for place, (ends_s, serial, batch, has_lock, since_s) in enumerate(landing):
                if not has_lock:
                    share = 1.0 if since_s >= begun_s else self._shared
                    ends_s += share * (now_s - max(begun_s, since_s))  # noqa: PLW2901 - the same, later
                    landing[place] = ends_s, serial, batch, has_lock, since_s
            heapq.heapify(landing)

    def _fold(self, now_s: float) -> float:
        """Three of the recorder's rings fill by request, one by run; each is folded when it has enough."""
        if self._unfolded < FOLD_EVERY:
            return now_s
        self._unfolded -= FOLD_EVERY
        return now_s + self._cost_s(self._costs.fold_us)

    def _told_s(self, now_s: float, until_s: float) -> float:
        """When the loop hears of the next run on a thread, as far as that is before ``until_s``. To tell it a
        thread needs the interpreter's lock, which the loop, whose turn is over at ``now_s``, has let go of."""
        landing = self._landing
        while landing and landing[0][0] < until_s and not landing[0][3]:
            ends_s, serial, batch, _, since_s = landing[0]
            told_s = max(ends_s, now_s) + self._warmth.of(self._costs.thread_us) * 1e-6
            heapq.heapreplace(landing, (told_s, serial, batch, True, since_s))
        return landing[0][0] if landing else math.inf

    def _land(self, now_s: float) -> list[Batch[Entry]]:
        """What the loop has heard of until now."""
        landing = self._landing
        told = [one for one in landing if one[3] and one[0] <= now_s]
        if told:
            self._landing = [one for one in landing if not (one[3] and one[0] <= now_s)]
            heapq.heapify(self._landing)
            self._free += len(told)
        return [one[2] for one in sorted(told)]

    def _take_in(
        self, there_s: list[float], rows: list[int], number: int, begun_s: float, now_s: float, *, landed: bool
    ) -> tuple[int, float]:
        """Reads what was there when the turn began, and perhaps, as the engine, what has come since. Who comes
        alone time after time runs before the others of its turn are read (over gRPC; that others do not matters
        little).

        ``landed``: what came back from threads decides in this turn, which neither looks nor hurries.
        """
        queue, gathering = self._queue, self._gathering
        until = bisect.bisect_right(there_s, begun_s, number)
        if until == number:
            return number, now_s
        if self._may_hurry and not landed and self._free and not queue and gathering.is_alone:
            now_s = self._read(range(number, number + 1), rows, now_s)
            if queue:
                now_s = self._drain(now_s + self._cost_s(self._costs.tick_us), begun_s)
                now_s = self._read(range(number + 1, until), rows, now_s)
                gathering.ends(1 + len(queue))
                return until, now_s
            number += 1
        looks = not landed and not self._is_left_over
        now_s = self._read(range(number, until), rows, now_s)
        while looks and queue.queued_rows < self._most_rows and gathering.goes_on(len(queue)):
            now_s += self._cost_s(LOOK_US)
            number, until = until, bisect.bisect_right(there_s, now_s, until)
            now_s = self._read(range(number, until), rows, now_s)
        return until, now_s

    def _read(self, numbers: range, rows: list[int], now_s: float) -> float:
        """Admits requests. One that is refused gets no answer: its latency stays infinite."""
        for number in numbers:
            now_s += self._cost_s(self._costs.read_us)
            request = Entry(rows[number], self._key, math.inf, now_s)
            with contextlib.suppress(QueueFull, TooLarge):
                self._queue.put(request)
                self._numbers[request] = number
        return now_s

    def _sleep(self, now_s: float, until_s: float, *, alone: bool) -> float:
        """Until it is awake, which is a little late now and then, unless a thread keeps the core awake."""
        self._warmth.slept((until_s - now_s) * 1e6)
        self._stall_at_s += until_s - now_s  # they come by time worked; what strikes a sleeper is a late waking
        if alone and self._random.random() < self._costs.late_share:
            until_s += self._random.choice(self._costs.late_waking_us) * 1e-6
        return until_s

    def _cost_s(self, warm_us: float) -> float:
        cost_us: float = self._warmth.of(warm_us) * self._factor
        self._warmth.worked(cost_us)
        return cost_us * 1e-6

    def _drain(self, now_s: float, begun_s: float) -> float:
        """As the engine: inline one batch a tick, on threads all that are free."""
        self._is_left_over = False
        while self._free:
            batch = self._queue.take(now_s)
            if batch is None:
                break
            self.runs += 1
            self._gathering.ends(len(batch.entries))
            self._unfolded += 3 * len(batch.entries) + 1
            run_us = self._curve.run_us(batch.rows, self._cap)
            cold_us = self._costs.cold_run_us * self._warmth.cold
            is_inline = self._times.is_inline(batch.rows)
            self._times.observe(batch.rows, run_us + cold_us)
            if is_inline:
                took_us = (run_us + cold_us) * self._stretch
                self._warmth.worked(took_us)
                self.inline_us += took_us
                now_s += took_us * 1e-6
                self.loop_us -= took_us
                now_s = self._answer(batch, self._through(begun_s, now_s))
                self._is_left_over = bool(self._queue)
                break
            now_s = self._start(batch, run_us + cold_us, now_s)
        return now_s

    def _start(self, batch: Batch[Entry], run_us: float, now_s: float) -> float:
        """On a thread. The hop costs the loop time both ways: a thread that runs Python holds the loop up."""
        self._free -= 1
        now_s += self._cost_s(self._costs.hop_us)
        wake_s = self._warmth.of(self._costs.thread_us) * 1e-6
        took_us = run_us * self._stretch
        self.thread_us += took_us
        ends_s = now_s + wake_s + took_us * 1e-6 + self._stalls_s(took_us)
        heapq.heappush(self._landing, (ends_s, self.runs, batch, False, now_s))
        return now_s

    def _stalls_s(self, us: float) -> float:
        """For how long the machine takes the core from a thread that works for ``us``."""
        per_s, lost_s = self._costs.stalls_per_s, 0.0
        next_s = self._random.expovariate(per_s) if per_s else math.inf
        while next_s < us * 1e-6:
            lost_s += self._random.choice(self._costs.stall_us) * 1e-6
            next_s += self._random.expovariate(per_s)
        return lost_s

    def _answer(self, batch: Batch[Entry], now_s: float) -> float:
        for request in batch.entries:
            now_s += self._cost_s(self._costs.answer_us)
            self.done_s[self._numbers.pop(request)] = now_s
        return now_s


def _sent_s(due_s: Floats, costs: Costs, random: np.random.Generator) -> Floats:
    """When the generator sends what is due: late by chance, and one after another."""
    late_s = random.choice(np.array(costs.late_us), len(due_s)) * 1e-6
    return _in_turn(_woken_s(due_s + late_s, costs, random), costs.send_us * 1e-6)


def _woken_s(instants_s: Floats, costs: Costs, random: np.random.Generator) -> Floats:
    """When the generator gets to what is there at ``instants_s``: it wakes for each that does not come right after
    another, sometimes late, and what comes meanwhile waits, too."""
    order = np.argsort(instants_s, kind="stable")
    there_s = instants_s[order]
    there_s = there_s[np.isfinite(there_s)]
    if not len(there_s):
        return instants_s
    sleeps = np.diff(there_s, prepend=-1.0) > AWAKE_S
    is_late = sleeps & (random.random(len(there_s)) < costs.late_share)
    starts_s = there_s[is_late]
    if not len(starts_s):
        return instants_s
    late_s = random.choice(np.array(costs.late_waking_us), len(starts_s)) * 1e-6
    ends_s = np.maximum.accumulate(starts_s + late_s)
    last = np.searchsorted(starts_s, instants_s, side="right") - 1
    return np.where(last >= 0, np.maximum(instants_s, ends_s[last]), instants_s)


def _in_turn(ready_s: Floats, each_s: float) -> Floats:
    """When each is through a place that takes ``each_s`` for one and takes them as they are ready."""
    finite = np.isfinite(ready_s)
    order = np.argsort(ready_s, kind="stable")
    order = order[finite[order]]
    steps = np.arange(len(order)) * each_s
    through = np.full(len(ready_s), np.inf)
    # max over j ≤ i of (ready_j − j·each) + i·each: the busy periods of a single server with constant times.
    through[order] = np.maximum.accumulate(ready_s[order] - steps) + steps + each_s
    return through


def _shared(workers: int, threads: int, cores: int) -> float:
    """The share of a loop's work that takes a core from one of its ``threads``, if all of them work."""
    wanting = workers * (1 + threads)
    return min(1.0, max(0.0, (wanting - cores) / (workers * threads)))


def _stretch(shares: list[float], client_share: float, threads: int, cores: int) -> float:
    """How much longer a worker takes because others run, too: the mean over how many of them do."""
    if not shares:
        return 1.0
    mean = sum(shares) / len(shares)
    others = len(shares) - 1
    total = 0.0
    for busy in range(others + 1):
        chance = math.comb(others, busy) * mean**busy * (1 - mean) ** (others - busy)
        for client, share in ((0, 1 - client_share), (1, client_share)):
            total += chance * share * max(1.0, ((1 + busy) * threads + client) / cores)
    return total
