"""Admits requests, runs what waits together, and answers each with its own rows.

Theory. ``submit`` puts a request into the queue and asks the event loop to call ``_tick`` soon; whatever arrives
in the same tick of the loop, on any connection, is then one batch, and what comes in the next few ticks joins it
where requests come in company (``gathering.py``). While a batch runs on a thread the next one
gathers. A model that runs faster than a hop to a thread runs right on the loop (``dispatch.py``).

Invariants. All of it happens on the loop's thread, but for ``_work``. Each request's ``done`` is called exactly
once, never inside ``submit``, and never after ``Ticket.cancel`` said True. A request is finished by whoever comes
first: its answer, its deadline, its cancellation; the others see FINISHED and step back. No exception ends the
drain: a model's becomes its requests' error, a callback's is logged.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

from rapide.server.alarm import Alarm
from rapide.server.batching import FINISHED, Batch, BatchPolicy, BatchQueue, Reason
from rapide.server.busy_poll import BusyPoll
from rapide.server.dispatch import RunTimes
from rapide.server.errors import DeadlineExceeded, Internal, QueueFull, RapideError, Unavailable
from rapide.server.gathering import Gathering
from rapide.server.merging import Inputs, measure_of
from rapide.server.runs import Answer, BatchRecorder, Done, Outcome, Run, RunnableModel, Runner, Ticket
from rapide.server.tensors import Array

_log = logging.getLogger(__name__)


class Engine:
    """The queue and the runs of one model version, on one event loop."""

    _loop: asyncio.AbstractEventLoop
    _alarm: Alarm

    def __init__(
        self,
        model: RunnableModel,
        policy: BatchPolicy,
        *,
        executor: Executor,
        recorder: BatchRecorder,
        sessions: int = 1,
        inline_below_us: float = 75.0,
        busy_poll: BusyPoll | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``sessions``: runs that may be under way at the same time. ``busy_poll``: of the loop, if it is to stay
        awake between requests. ``start`` comes before ``submit``."""
        self._policy = policy
        self._executor = executor
        self._recorder = recorder
        self._busy_poll = busy_poll
        self._clock = clock
        self._title = f"model {model.name!r} version {model.version}"
        self._measure = measure_of(model.signature)
        self._runner = Runner(model, self._title, clock)
        self._times = RunTimes(model.run_us, model.row_us, inline_below_us)

        self._queue: BatchQueue[Ticket] = BatchQueue(policy)
        self._free = sessions
        self._on_threads: set[Batch[Ticket]] = set()
        self._is_woken = False
        self._gathering = Gathering()
        self._hurried = 0
        """Requests of this turn of the loop that ran before it was over."""
        self._reported_rows = 0
        self._alarm_s = math.inf
        self._is_closing = False
        self._idle = asyncio.Event()

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Binds the engine to ``loop``, or to the running one."""
        self._loop = loop or asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, self._on_alarm)

    # The hot path: submit … end of the tick → _tick → _drain → run → _claim → _deliver.

    def submit(self, inputs: Inputs, deadline_s: float, done: Done) -> Ticket:
        """Queues a request whose ``inputs`` were checked against the signature (``tensors.bind``).

        ``done`` gets its Answer or RapideError later, on the loop. ``deadline_s`` is an instant of the clock.
        Raises QueueFull, TooLarge, Unavailable.
        """
        if self._is_closing:
            raise Unavailable(f"{self._title} is being unloaded")
        now_s = self._clock()
        rows, key, size_bytes = self._measure(inputs)
        ticket = Ticket(rows, key, deadline_s, now_s, size_bytes, inputs, done, self)
        try:
            self._queue.put(ticket)
        except QueueFull as error:
            raise self._full(error) from None
        if not self._is_woken:
            self._wake()
        try:
            self._recorder.arrival(now_s, rows)
        except Exception:  # noqa: BLE001 - telemetry must not cost an answer
            _log.exception("recording an arrival at %s failed", self._title)
        return ticket

    def hurry(self) -> None:
        """Runs what has just come at once, where requests come alone. Doors call it when they have read, never
        inside ``submit``; who does not waits for the loop's next turn."""
        if self._is_woken and not self._hurried and self._gathering.is_alone:
            waiting = len(self._queue)
            self._drain()
            self._hurried = waiting - len(self._queue)

    def _tick(self) -> None:
        """Forms a batch of what has come; where more is likely to lie in the sockets, reads these first."""
        queue = self._queue
        if self._hurried:
            self._gathering.ends(self._hurried + len(queue))  # whether they came alone shows only now
            self._hurried = 0
            if not queue and not self._is_closing:
                self._is_woken = False
                return
        if queue.queued_rows < self._policy.max_batch_rows and self._gathering.goes_on(len(queue)):
            self._loop.call_soon(self._tick)
        else:
            self._drain()

    def _drain(self) -> None:
        """Starts all that can start now. On the loop that is one batch a tick, since sockets wait meanwhile."""
        self._is_woken = False
        queue = self._queue
        while True:
            now_s = self._clock()
            self._expire(now_s)
            batch = queue.take(now_s) if self._free else None
            if batch is None:
                break
            self._gathering.ends(len(batch.entries))
            if self._times.is_inline(batch.rows):
                self._run_inline(batch)
                if queue and not self._is_woken:
                    self._is_woken = True
                    self._loop.call_soon(self._drain)
                break
            self._run_on_thread(batch)
        if queue.queued_rows != self._reported_rows:
            self._report_waiting()
        if self._is_woken:
            return
        if queue or self._on_threads:
            self._set_alarm(now_s)
        elif self._is_closing:
            self._idle.set()

    def _claim(self, runs: list[Run]) -> list[tuple[Done, Outcome]]:
        """Finishes the requests of ``runs``; gives the outcomes that nobody was told yet."""
        outcomes: list[tuple[Done, Outcome]] = []
        for run in runs:
            if run.error is None:
                self._record(run)
            stop = 0
            for ticket in run.tickets:
                start, stop = stop, stop + ticket.rows
                if ticket.state is not FINISHED:
                    answer = run.error or Answer(run, start, stop, run.started_s - ticket.arrived_s)
                    outcomes.append((ticket.finish(), answer))
        return outcomes

    def _answer(self, runs: list[Run], outcomes: list[tuple[Done, Outcome]]) -> None:
        """Delivers, and records how long that took: doors that answer at once encode meanwhile."""
        begun_s = self._clock()
        self._deliver(outcomes)
        if len(runs) == 1 and runs[0].error is None:
            try:
                self._recorder.answered(runs[0].rows, self._clock() - begun_s)
            except Exception:  # noqa: BLE001 - telemetry must not cost an answer
                _log.exception("recording the answers of %s failed", self._title)

    def _deliver(self, outcomes: list[tuple[Done, Outcome]]) -> None:
        for done, outcome in outcomes:
            try:
                done(outcome)
            except Exception:  # noqa: BLE001 - a caller's bug must not reach the others
                _log.exception("a callback of %s failed; the others go on", self._title)

    # Where a batch runs.

    def _run_inline(self, batch: Batch[Ticket]) -> None:
        begun_s = self._clock()
        runs = self._runner.execute(batch, [ticket.inputs for ticket in batch.entries])
        ended_s = self._clock()
        self._learn(runs, ended_s - begun_s)
        self._answer(runs, self._claim(runs))
        self._expire(ended_s)  # who became too late for a retry
        if self._busy_poll is not None:
            self._busy_poll.answered(self._clock())

    def _run_on_thread(self, batch: Batch[Ticket]) -> None:
        if self._busy_poll is not None:
            self._busy_poll.thread_begins()
        self._free -= 1
        self._on_threads.add(batch)
        try:
            self._executor.submit(self._work, batch, [ticket.inputs for ticket in batch.entries])
        except RuntimeError:
            _log.exception("no thread for %s", self._title)
            if self._busy_poll is not None:
                self._busy_poll.thread_ends()
            self._free += 1
            self._on_threads.remove(batch)
            self._refuse(batch.entries, lambda _: Unavailable(f"{self._title} cannot run: the server is stopping"))

    def _work(self, batch: Batch[Ticket], parts: list[Inputs]) -> None:
        """On a thread. Dispatch learns from its processor time: waiting for the GIL says nothing of the model."""
        begun_s = time.thread_time()
        runs = self._runner.execute(batch, parts)
        took_s = time.thread_time() - begun_s
        try:
            self._loop.call_soon_threadsafe(self._land, batch, runs, took_s)
        except RuntimeError:
            _log.warning("a run of %s outlived its event loop", self._title)

    def _land(self, batch: Batch[Ticket], runs: list[Run], took_s: float) -> None:
        """A batch came back from its thread. The next one starts first, so that it runs while we answer."""
        self._free += 1
        self._on_threads.remove(batch)
        if self._busy_poll is not None:
            self._busy_poll.thread_ends()
        self._learn(runs, took_s)
        outcomes = self._claim(runs)
        self._drain()
        self._answer(runs, outcomes)
        if self._busy_poll is not None:
            self._busy_poll.answered(self._clock())

    def _learn(self, runs: list[Run], took_s: float) -> None:
        if len(runs) == 1 and runs[0].error is None and runs[0].reason is not Reason.RETRY:
            self._times.observe(runs[0].rows, took_s * 1e6)
            return
        failed = [run.error for run in runs if isinstance(run.error, Internal)]
        if failed:
            _log.error("%s failed for %d of %d requests", self._title, len(failed), len(runs), exc_info=failed[0])

    # Everything else.

    async def infer(self, arrays: list[Array], deadline_s: float = math.inf) -> Answer:
        """As ``submit``, awaited. Cancelling the task cancels the request. Raises RapideError."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        ticket = self.submit(arrays, deadline_s, functools.partial(_resolve, future))
        try:
            outcome = await future
        except asyncio.CancelledError:
            ticket.cancel()
            raise
        if isinstance(outcome, RapideError):
            raise outcome
        return outcome

    def limit(self, max_batch_rows: int, max_queue_rows: int) -> None:
        """Changes these limits while requests come and run. Nothing that waits is refused for it."""
        self._policy = replace(self._policy, max_batch_rows=max_batch_rows, max_queue_rows=max_queue_rows)
        self._queue.limit(self._policy)

    def cancel(self, ticket: Ticket) -> bool:
        """See ``Ticket.cancel``. What it held is let go at once."""
        is_cancelled = self._queue.cancel(ticket)
        if is_cancelled:
            ticket.finish()
        return is_cancelled

    async def close(self, drain_s: float) -> None:
        """Refuses new requests and finishes those it has; after ``drain_s`` seconds they get Unavailable."""
        self._is_closing = True
        self._queue.flush()
        try:
            if self._queue or self._on_threads:
                self._wake()
                async with asyncio.timeout(drain_s):
                    await self._idle.wait()
        except TimeoutError:
            self._abandon()
        finally:
            self._alarm.close()

    def _abandon(self) -> None:
        running = [
            ticket for batch in self._on_threads for ticket in batch.entries if ticket.state is not FINISHED
        ]
        message = f"{self._title} was unloaded before this request could be answered"
        self._refuse(self._queue.clear() + running, lambda _: Unavailable(message))

    def _expire(self, now_s: float) -> None:
        late = self._queue.expired(now_s, self._times.estimate_us(1) * 1e-6)
        if late:
            self._refuse(late, lambda ticket: self._too_late(ticket, now_s))
            if late[-1].deadline_s > now_s:
                self._times.doubt()

    def _refuse(self, tickets: list[Ticket], reason: Callable[[Ticket], RapideError]) -> None:
        self._deliver([(ticket.finish(), reason(ticket)) for ticket in tickets])

    def _too_late(self, ticket: Ticket, now_s: float) -> DeadlineExceeded:
        waited_ms = (now_s - ticket.arrived_s) * 1e3
        left_ms = (ticket.deadline_s - now_s) * 1e3
        if left_ms > 0:
            return DeadlineExceeded(
                f"{self._title} was not run: {left_ms:.3g} ms are left after {waited_ms:.3g} ms in the queue, "
                f"and a run takes about {self._times.estimate_us(1) * 1e-3:.3g} ms"
            )
        return DeadlineExceeded(f"the deadline passed {waited_ms:.3g} ms after the request reached {self._title}")

    def _full(self, error: QueueFull) -> QueueFull:
        """``error`` with the model's name and the time that the queue will take."""
        most = self._policy.max_batch_rows
        seconds = self._queue.queued_rows / most * self._times.estimate_us(most) * 1e-6
        return QueueFull(f"{self._title} is busy: {error.message}", retry_after_s=seconds)

    def _record(self, run: Run) -> None:
        queue_s = [run.started_s - ticket.arrived_s for ticket in run.tickets]
        try:
            self._recorder.batch(len(queue_s), run.rows, queue_s, run.compute_s, run.reason, run.input_s)
        except Exception:  # noqa: BLE001 - telemetry must not cost an answer
            _log.exception("recording a run of %s failed", self._title)

    def _report_waiting(self) -> None:
        self._reported_rows = self._queue.queued_rows
        try:
            self._recorder.waiting(len(self._queue), self._reported_rows)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("recording the queue of %s failed", self._title)

    def _wake(self) -> None:
        self._is_woken = True
        self._loop.call_soon(self._tick)

    def _set_alarm(self, now_s: float) -> None:
        """Sees to it that ``_drain`` is called at the next deadline, and when a delay is over."""
        when_s = self._queue.next_deadline_s()
        due_s = self._queue.due_s(now_s) if self._free else None
        if due_s is not None:
            when_s = min(when_s, due_s)
        if when_s < self._alarm_s:
            self._alarm_s = when_s
            self._alarm.set(when_s - now_s)

    def _on_alarm(self) -> None:
        self._alarm_s = math.inf
        self._drain()


def _resolve(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)
