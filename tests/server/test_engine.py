"""The engine on a loop, threads and a clock driven by hand; then under generated schedules; then for real."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import uvloop
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rapide.server.batching import BatchPolicy
from rapide.server.engine import Engine
from rapide.server.errors import DeadlineExceeded, Internal, InvalidRequest, QueueFull, TooLarge, Unavailable
from rapide.server.gathering import TURNS_ALONE
from rapide.server.runs import Answer, Outcome, Ticket
from rapide.server.signature import Signature
from rapide.server.tensors import Array
from tests.server.engine_fakes import (
    ALONE,
    DOUBLER,
    POISON,
    SEQUENCES,
    FakeModel,
    FakeRecorder,
    HandClock,
    HandExecutor,
    HandLoop,
    rows_of,
)

ON_LOOP_US = 5.0
ON_THREAD_US = 2000.0


class Bench:
    """An engine with everything around it in the test's hands."""

    def __init__(
        self, *, run_us: float = ON_LOOP_US, signature: Signature = DOUBLER, sessions: int = 1, **policy: float
    ) -> None:
        self.clock = HandClock()
        self.loop = HandLoop(self.clock)
        self.executor = HandExecutor()
        self.model = FakeModel(self.clock, signature, run_us)
        self.recorder = FakeRecorder()
        self.engine = Engine(
            self.model,
            BatchPolicy(**policy),  # type: ignore[arg-type]
            executor=self.executor,
            recorder=self.recorder,
            sessions=sessions,
            clock=self.clock,
        )
        self.engine.start(self.loop.as_loop())
        self.outcomes: list[tuple[str, Outcome]] = []

    def submit(self, name: str, arrays: list[Array], within_s: float = math.inf) -> Ticket:
        return self.engine.submit(
            arrays, self.clock.now_s + within_s, lambda outcome: self.outcomes.append((name, outcome))
        )

    def work(self) -> None:
        """The oldest thread's job, and the loop's part after it."""
        self.executor.work()
        self.loop.settle()

    @property
    def told(self) -> dict[str, object]:
        """Everybody's outcome: the first value of each row of an answer, or the class of an error."""
        assert len({name for name, _ in self.outcomes}) == len(self.outcomes), "somebody was told twice"
        return {name: summary(outcome) for name, outcome in self.outcomes}


def summary(outcome: Outcome) -> object:
    if isinstance(outcome, Answer):
        (output,) = outcome.outputs
        return [float(row[0]) for row in output] if output.shape[1] else [math.nan] * len(output)
    return type(outcome)


def test_a_lone_request_runs_in_the_next_tick_on_the_loop() -> None:
    bench = Bench()
    bench.submit("a", rows_of(1, 2))
    assert bench.outcomes == [], "answered inside submit"
    bench.loop.tick()
    assert bench.told == {"a": [2, 4]}
    assert bench.executor.jobs == []


def test_what_one_tick_received_is_one_batch_and_everybody_gets_their_own_rows() -> None:
    bench = Bench()
    for name, values in (("a", (1,)), ("b", (2, 3)), ("c", ()), ("d", (4,))):
        bench.submit(name, rows_of(*values))
    bench.loop.tick()
    assert bench.model.batches == [[1, 2, 3, 4]]
    assert bench.told == {"a": [2], "b": [4, 6], "c": [], "d": [8]}
    assert bench.recorder.arrivals == [1, 2, 0, 1]
    assert bench.recorder.batches == [(4, 4, "ready")]


def test_one_batch_a_tick_runs_on_the_loop() -> None:
    bench = Bench(max_batch_rows=2)
    for name in "abc":
        bench.submit(name, rows_of(1))
    bench.loop.tick()
    assert list(bench.told) == ["a", "b"]
    bench.loop.tick()
    assert list(bench.told) == ["a", "b", "c"]


def test_after_a_batch_with_company_the_sockets_are_read_again_before_the_next() -> None:
    bench = Bench()
    for name in "ab":
        bench.submit(name, rows_of(1))
    bench.loop.tick()
    bench.submit("c", rows_of(3))
    bench.loop.tick()
    bench.submit("d", rows_of(4))
    bench.loop.settle()
    assert bench.model.batches == [[1, 1], [3, 4]]


def alone(bench: Bench) -> None:
    """Requests that come one at a time, for as long as it takes to know that."""
    for turn in range(TURNS_ALONE):
        bench.submit(f"before {turn}", rows_of(0))
        bench.engine.hurry()
        bench.loop.settle()
        bench.loop.advance(0.01)
    bench.outcomes.clear()
    bench.model.batches.clear()


def test_who_comes_alone_is_answered_when_it_is_read() -> None:
    bench = Bench()
    bench.submit("first", rows_of(1))
    bench.engine.hurry()
    assert bench.outcomes == [], "nobody knows yet that it comes alone"
    bench.loop.settle()
    alone(bench)
    bench.submit("a", rows_of(1))
    assert bench.outcomes == [], "answered inside submit"
    bench.engine.hurry()
    assert bench.told == {"a": [2]}
    bench.loop.settle()
    assert bench.told == {"a": [2]}


def test_company_is_found_out_and_gathered_from_the_next_turn_on() -> None:
    bench = Bench()
    alone(bench)
    for turn in range(2):
        for name in "abc":
            bench.submit(f"{name}{turn}", rows_of(turn))
            bench.engine.hurry()
        bench.loop.settle()
    assert bench.model.batches == [[0], [0, 0], [1, 1, 1]]


def test_hurrying_waits_for_a_batch_that_is_to_wait() -> None:
    bench = Bench(max_delay_s=0.005)
    alone(bench)
    bench.submit("a", rows_of(1))
    bench.engine.hurry()
    bench.loop.tick()
    assert bench.outcomes == []
    bench.loop.advance(0.006)
    assert bench.told == {"a": [2]}


@pytest.mark.parametrize("run_us", [ON_LOOP_US, ON_THREAD_US])
def test_what_answering_takes_is_told_once_a_run(run_us: float) -> None:
    bench = Bench(run_us=run_us)
    for rows in (1, 2):
        bench.engine.submit(rows_of(*[1.0] * rows), math.inf, lambda _: bench.clock.lapse(0.25))
    bench.loop.settle()
    if run_us == ON_THREAD_US:
        bench.work()
    assert bench.recorder.answers == [(3, pytest.approx(0.5))]


def test_what_telling_of_a_failure_takes_is_not_told() -> None:
    bench = Bench()
    bench.submit("a", rows_of(POISON))
    bench.loop.settle()
    assert bench.recorder.answers == []


def test_an_answer_knows_its_times_and_its_place() -> None:
    bench = Bench()
    bench.submit("a", rows_of(1))
    bench.clock.now_s += 0.5
    bench.submit("b", rows_of(2, 3))
    bench.loop.tick()
    answers = [outcome for _, outcome in bench.outcomes if isinstance(outcome, Answer)]
    assert [answer.queue_s for answer in answers] == pytest.approx([0.5, 0.0])
    assert [answer.compute_s for answer in answers] == pytest.approx([5e-6, 5e-6])
    assert [(answer.start, answer.stop, answer.batch_rows) for answer in answers] == [(0, 1, 3), (1, 3, 3)]
    assert bench.recorder.queue_s == pytest.approx([0.5, 0.0])


def test_requests_of_different_shapes_are_not_merged() -> None:
    bench = Bench(signature=SEQUENCES)
    for name, width in (("a", 2), ("b", 3), ("c", 2), ("d", 0)):
        bench.submit(name, rows_of(1, width=width))
    bench.loop.settle()
    assert [len(batch) for batch in bench.model.batches] == [2, 1, 1]
    assert bench.told["a"] == bench.told["b"] == bench.told["c"] == [2]
    assert np.isnan(bench.told["d"]).all()  # type: ignore[call-overload]


def test_a_model_that_may_not_be_batched_runs_each_request_alone() -> None:
    bench = Bench(signature=ALONE)
    bench.submit("a", rows_of(1))
    bench.submit("b", rows_of(2))
    bench.loop.settle()
    assert bench.model.batches == [[1], [2]]


class TestThreads:
    def test_the_next_batch_gathers_while_one_runs(self) -> None:
        bench = Bench(run_us=ON_THREAD_US)
        bench.submit("a", rows_of(1))
        bench.loop.tick()
        bench.submit("b", rows_of(2))
        bench.loop.tick()
        bench.submit("c", rows_of(3))
        bench.loop.tick()
        assert len(bench.executor.jobs) == 1
        assert bench.recorder.waits == [(1, 1), (2, 2)]
        bench.work()
        assert bench.told == {"a": [2]}
        bench.work()
        assert bench.told == {"a": [2], "b": [4], "c": [6]}
        assert bench.model.batches == [[1], [2, 3]]
        assert bench.recorder.waits[-1] == (0, 0)

    def test_the_next_batch_is_started_before_the_last_one_is_answered(self) -> None:
        bench = Bench(run_us=ON_THREAD_US)
        jobs_at_answer: list[int] = []
        bench.engine.submit(rows_of(1), math.inf, lambda _: jobs_at_answer.append(len(bench.executor.jobs)))
        bench.loop.tick()
        bench.submit("b", rows_of(2))
        bench.loop.tick()
        bench.work()
        assert jobs_at_answer == [1]

    def test_as_many_batches_run_as_there_are_sessions(self) -> None:
        bench = Bench(run_us=ON_THREAD_US, sessions=2, max_batch_rows=1)
        for name in "abc":
            bench.submit(name, rows_of(1))
        bench.loop.tick()
        assert len(bench.executor.jobs) == 2
        bench.work()
        assert len(bench.executor.jobs) == 2
        bench.work()
        bench.work()
        assert list(bench.told) == ["a", "b", "c"]

    def test_a_big_request_to_a_small_model_runs_on_a_thread(self) -> None:
        bench = Bench()
        bench.model.row_us = 1.0
        engine = Engine(
            bench.model, BatchPolicy(), executor=bench.executor, recorder=bench.recorder, clock=bench.clock
        )
        engine.start(bench.loop.as_loop())
        engine.submit(rows_of(*range(2000)), math.inf, lambda _: None)
        bench.loop.tick()
        assert len(bench.executor.jobs) == 1

    def test_without_threads_requests_are_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        bench = Bench(run_us=ON_THREAD_US)
        bench.executor.is_shut_down = True
        for name in "ab":
            bench.submit(name, rows_of(1))
            bench.loop.settle()
        assert bench.told == {"a": Unavailable, "b": Unavailable}
        assert "no thread" in caplog.text


class TestRefusals:
    def test_a_full_queue_says_so_and_estimates_when_to_come_back(self) -> None:
        bench = Bench(run_us=ON_THREAD_US, max_batch_rows=4, max_queue_rows=8)
        bench.submit("running", rows_of(1))
        bench.loop.tick()
        bench.submit("waiting", rows_of(*range(8)))
        with pytest.raises(QueueFull, match=r"model 'doubler' version 3 is busy: 8 rows are waiting") as caught:
            bench.submit("refused", rows_of(1))
        assert caught.value.retry_after_s == pytest.approx(2 * ON_THREAD_US * 1e-6)
        assert bench.recorder.arrivals == [1, 8]

    def test_what_the_queue_could_never_hold_is_too_large(self) -> None:
        bench = Bench(max_queue_rows=4)
        with pytest.raises(TooLarge, match="5 rows; at most 4"):
            bench.submit("a", rows_of(*range(5)))

    def test_above_the_cap_a_request_runs_alone(self) -> None:
        bench = Bench(max_batch_rows=2)
        bench.submit("a", rows_of(1))
        bench.submit("b", rows_of(2, 3, 4))
        bench.loop.settle()
        assert bench.model.batches == [[1], [2, 3, 4]]


class TestDeadlines:
    def test_a_request_that_is_late_already_is_not_run(self) -> None:
        bench = Bench()
        bench.submit("late", rows_of(1), within_s=-1.0)
        bench.submit("fine", rows_of(2))
        bench.loop.settle()
        assert bench.told == {"late": DeadlineExceeded, "fine": [4]}
        assert bench.model.batches == [[2]]

    def test_a_request_that_cannot_be_answered_in_time_is_not_run(self) -> None:
        bench = Bench(run_us=ON_THREAD_US)
        bench.submit("hopeless", rows_of(1), within_s=ON_THREAD_US * 1e-6 / 2)
        bench.loop.settle()
        assert bench.executor.jobs == []
        ((_, error),) = bench.outcomes
        assert isinstance(error, DeadlineExceeded)
        assert "was not run: 1 ms are left after 0 ms in the queue, and a run takes about 2 ms" in str(error)

    def test_an_estimate_that_was_wrong_does_not_refuse_for_ever(self) -> None:
        bench = Bench(run_us=1e6)
        for number in range(200):
            bench.submit(f"{number}", rows_of(1), within_s=0.01)
            bench.loop.settle()
            if bench.executor.jobs:
                break
        assert len(bench.executor.jobs) == 1

    def test_waiting_for_a_session_ends_at_the_deadline(self) -> None:
        bench = Bench(run_us=ON_THREAD_US)
        bench.submit("running", rows_of(1))
        bench.loop.tick()
        bench.submit("waiting", rows_of(2), within_s=1.0)
        bench.loop.tick()
        bench.loop.advance(0.999)
        assert bench.told == {}
        bench.loop.advance(0.002)
        assert bench.told == {"waiting": DeadlineExceeded}
        bench.work()
        assert bench.told == {"waiting": DeadlineExceeded, "running": [2]}
        assert bench.executor.jobs == []

    def test_running_past_its_deadline_a_request_is_answered_then_and_the_rest_of_the_batch_later(self) -> None:
        bench = Bench(run_us=ON_THREAD_US)
        bench.submit("hasty", rows_of(1), within_s=1.0)
        bench.submit("patient", rows_of(2))
        bench.loop.tick()
        bench.loop.advance(1.0)
        assert bench.told == {"hasty": DeadlineExceeded}
        bench.work()
        assert bench.told == {"hasty": DeadlineExceeded, "patient": [4]}

    def test_an_answer_that_lands_late_is_still_an_answer(self) -> None:
        """Nobody was told before, so the work that was done is not thrown away."""
        bench = Bench(run_us=ON_THREAD_US)
        bench.submit("a", rows_of(1), within_s=1.0)
        bench.loop.tick()
        bench.clock.now_s += 2.0
        bench.work()
        assert bench.told == {"a": [2]}

    def test_an_earlier_deadline_moves_the_timer(self) -> None:
        bench = Bench(run_us=ON_THREAD_US)
        bench.submit("running", rows_of(1), within_s=9.0)
        bench.loop.tick()
        bench.submit("waiting", rows_of(2), within_s=1.0)
        bench.loop.tick()
        bench.loop.advance(1.5)
        assert bench.told == {"waiting": DeadlineExceeded}
        bench.loop.advance(9.0)
        assert bench.told == {"waiting": DeadlineExceeded, "running": DeadlineExceeded}


class TestCancel:
    def test_waiting_it_never_runs(self) -> None:
        bench = Bench()
        gone = bench.submit("gone", rows_of(1))
        bench.submit("stays", rows_of(2))
        assert gone.cancel()
        assert gone.inputs == []
        bench.loop.tick()
        assert bench.told == {"stays": [4]}
        assert bench.model.batches == [[2]]

    def test_running_it_harms_nobody(self) -> None:
        bench = Bench(run_us=ON_THREAD_US)
        gone = bench.submit("gone", rows_of(1))
        bench.submit("stays", rows_of(2))
        bench.loop.tick()
        assert gone.cancel()
        bench.work()
        assert bench.told == {"stays": [4]}

    def test_after_the_answer_it_is_too_late(self) -> None:
        bench = Bench()
        ticket = bench.submit("a", rows_of(1))
        bench.loop.tick()
        assert not ticket.cancel()

    def test_by_another_ones_callback_it_still_counts(self) -> None:
        bench = Bench(max_batch_rows=1)
        later: list[Ticket] = []
        bench.engine.submit(rows_of(1), math.inf, lambda _: later[0].cancel())
        later.append(bench.submit("gone", rows_of(2)))
        bench.loop.settle()
        assert bench.told == {}
        assert bench.model.batches == [[1]]


class TestFailures:
    @pytest.mark.parametrize("run_us", [ON_LOOP_US, ON_THREAD_US])
    def test_a_poisonous_request_fails_alone(self, run_us: float) -> None:
        bench = Bench(run_us=run_us)
        for name, value in (("a", 1.0), ("poison", POISON), ("b", 2.0)):
            bench.submit(name, rows_of(value))
        bench.loop.settle()
        if bench.executor.jobs:
            bench.work()
        assert bench.told == {"a": [2], "poison": InvalidRequest, "b": [4]}
        assert bench.model.batches == [[1, POISON, 2], [1], [POISON], [2]]
        assert bench.recorder.batches == [(1, 1, "retry"), (1, 1, "retry")]

    @pytest.mark.parametrize("run_us", [ON_LOOP_US, ON_THREAD_US])
    def test_retrying_skips_who_is_gone_or_late_by_then(self, run_us: float) -> None:
        bench = Bench(run_us=run_us)
        gone = bench.submit("gone", rows_of(1))
        bench.submit("late", rows_of(2), within_s=1.0)
        bench.submit("poison", rows_of(POISON))
        bench.submit("fine", rows_of(3))

        def meanwhile() -> None:
            gone.cancel()
            bench.clock.now_s += 2.0

        bench.model.before_run = meanwhile
        bench.loop.settle()
        if bench.executor.jobs:
            bench.work()
        assert bench.model.batches == [[1, 2, POISON, 3], [POISON], [3]]
        assert bench.told == {"late": DeadlineExceeded, "poison": InvalidRequest, "fine": [6]}

    @pytest.mark.parametrize("run_us", [ON_LOOP_US, ON_THREAD_US])
    def test_a_batch_that_fails_when_all_of_it_is_late_is_told_so(self, run_us: float) -> None:
        bench = Bench(run_us=run_us)
        bench.submit("a", rows_of(POISON), within_s=1.0)
        bench.submit("b", rows_of(1), within_s=1.0)

        def meanwhile() -> None:
            bench.clock.now_s += 2.0

        bench.model.before_run = meanwhile
        bench.loop.settle()
        if bench.executor.jobs:
            bench.work()
        assert bench.told == {"a": DeadlineExceeded, "b": DeadlineExceeded}
        assert len(bench.model.batches) == 1

    def test_a_bug_in_the_model_is_internal_and_says_nothing_private(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench = Bench()

        def bug() -> None:
            raise ZeroDivisionError("secret detail")

        bench.model.before_run = bug
        bench.submit("a", rows_of(1))
        bench.submit("b", rows_of(1))
        bench.loop.settle()
        assert bench.told == {"a": Internal, "b": Internal}
        assert "secret" not in str(bench.outcomes[0][1])
        assert caplog.text.count("secret detail") >= 1
        assert len(caplog.records) == 1, "one line a batch, however many requests failed"

    def test_a_model_that_loses_rows_is_never_answered_from_a_merged_run(self) -> None:
        bench = Bench()
        run = bench.model.run
        bench.model.run = lambda arrays: [run(arrays)[0][:1]]  # type: ignore[method-assign]
        bench.submit("a", rows_of(1))
        bench.submit("b", rows_of(2))
        bench.loop.settle()
        assert bench.told == {"a": [2], "b": [4]}
        assert bench.model.batches == [[1, 2], [1], [2]]

    def test_a_bug_in_a_callback_is_logged_and_others_go_on(self, caplog: pytest.LogCaptureFixture) -> None:
        bench = Bench()

        def bug(_: Outcome) -> None:
            raise KeyError("bug")

        bench.engine.submit(rows_of(1), math.inf, bug)
        bench.submit("b", rows_of(2))
        bench.loop.settle()
        bench.submit("c", rows_of(3))
        bench.loop.settle()
        assert bench.told == {"b": [4], "c": [6]}
        assert "a callback of model 'doubler' version 3 failed" in caplog.text

    def test_a_bug_in_the_recorder_costs_no_answer(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench = Bench(run_us=ON_THREAD_US)

        def bug(*_: object) -> None:
            raise ValueError("full")

        for method in ("arrival", "batch", "answered", "waiting"):
            monkeypatch.setattr(bench.recorder, method, bug)
        bench.submit("a", rows_of(1))
        bench.loop.settle()
        bench.submit("b", rows_of(2))
        bench.loop.settle()
        bench.work()
        bench.work()
        assert bench.told == {"a": [2], "b": [4]}
        assert {record.levelno for record in caplog.records} == {logging.ERROR}


class TestDelay:
    def test_a_batch_waits_for_company_until_the_delay_is_over(self) -> None:
        bench = Bench(max_delay_s=0.005)
        bench.submit("a", rows_of(1))
        bench.loop.settle()
        bench.loop.advance(0.004)
        bench.submit("b", rows_of(2))
        bench.loop.settle()
        assert bench.told == {}
        bench.loop.advance(0.001)
        assert bench.told == {"a": [2], "b": [4]}
        assert bench.recorder.batches == [(2, 2, "delay")]

    def test_a_full_batch_does_not_wait(self) -> None:
        bench = Bench(max_delay_s=0.005, max_batch_rows=2)
        bench.submit("a", rows_of(1))
        bench.submit("b", rows_of(2))
        bench.loop.settle()
        assert bench.told == {"a": [2], "b": [4]}


class TestMemory:
    """Whatever becomes of a request, nothing of it is kept."""

    @pytest.mark.parametrize("run_us", [ON_LOOP_US, ON_THREAD_US])
    @pytest.mark.parametrize("end", ["answered", "cancelled", "late", "failed"])
    def test_a_finished_request_is_let_go(self, run_us: float, end: str) -> None:
        bench = Bench(run_us=run_us)
        (array,) = rows_of(POISON if end == "failed" else 1.0)
        held = weakref.ref(array)
        ticket = bench.submit("a", [array], within_s=-1.0 if end == "late" else 1000.0)
        del array
        if end == "cancelled":
            ticket.cancel()
        del ticket
        bench.loop.settle()
        while bench.executor.jobs:
            bench.work()
        bench.outcomes.clear()
        gc.collect()
        assert held() is None


VALUES = st.one_of(st.just(POISON), st.integers(0, 1000).map(float))


class EngineMachine(RuleBasedStateMachine):
    """Whatever arrives, is cancelled, is late, fails, or lands when: each request gets its own rows, once."""

    @initialize(
        run_us=st.sampled_from([ON_LOOP_US, ON_THREAD_US]),
        signature=st.sampled_from([DOUBLER, SEQUENCES, ALONE]),
        sessions=st.integers(1, 3),
        max_batch_rows=st.sampled_from([6, 3, 1]),
        max_delay_s=st.sampled_from([0.0, 0.0, 0.01]),
        stall_s=st.sampled_from([0.03, 0.0, 0.0015]),
    )
    def begin(
        self,
        run_us: float,
        signature: Signature,
        sessions: int,
        max_batch_rows: int,
        max_delay_s: float,
        stall_s: float,
    ) -> None:
        """``stall_s``: so much longer than expected every run takes; deadlines pass while it is under way."""
        self.bench = Bench(
            run_us=run_us,
            signature=signature,
            sessions=sessions,
            max_batch_rows=max_batch_rows,
            max_queue_rows=20,
            max_delay_s=max_delay_s,
        )
        self.bench.model.before_run = lambda: self.bench.clock.lapse(stall_s)
        self.sent: dict[str, list[float]] = {}
        self.tickets: dict[str, Ticket] = {}
        self.deadlines: dict[str, float] = {}
        self.cancelled: set[str] = set()

    @rule(
        burst=st.lists(st.lists(VALUES, max_size=4), min_size=1, max_size=4),
        width=st.integers(1, 2),
        within_s=st.sampled_from([0.02, math.inf, 0.001, 0.0]),
        is_ticked=st.booleans(),
    )
    def submit(self, burst: list[list[float]], width: int, within_s: float, is_ticked: bool) -> None:
        for values in burst:
            self._submit(values, width, within_s)
        if is_ticked:
            self.bench.loop.tick()

    def _submit(self, values: list[float], width: int, within_s: float) -> None:
        name = f"request {len(self.sent)}"
        if self.bench.model.signature is not SEQUENCES:
            width = 2
        try:
            self.tickets[name] = self.bench.submit(name, rows_of(*values, width=width), within_s)
        except QueueFull:
            return
        self.sent[name] = values
        self.deadlines[name] = self.bench.clock.now_s + within_s

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.sent:
            name = data.draw(st.sampled_from(sorted(self.sent)))
            was_open = name not in self.bench.told and name not in self.cancelled
            assert self.tickets[name].cancel() == was_open
            if was_open:
                self.cancelled.add(name)

    @rule()
    def tick(self) -> None:
        self.bench.loop.tick()

    @rule()
    def work(self) -> None:
        if self.bench.executor.jobs:
            self.bench.executor.work()

    @rule(seconds=st.sampled_from([0.0005, 0.01, 0.05]))
    def advance(self, seconds: float) -> None:
        self.bench.loop.advance(seconds)

    @invariant()
    def everybody_gets_their_own_rows_once(self) -> None:
        if not hasattr(self, "bench"):
            return
        for name, outcome in self.bench.told.items():
            assert name not in self.cancelled, "cancelled, and told nevertheless"
            values = self.sent[name]
            if outcome is InvalidRequest:
                assert POISON in values, "failed for another one's poison"
            elif outcome is DeadlineExceeded:
                assert self.deadlines[name] < math.inf
            else:
                assert outcome == [2 * value for value in values]

    @invariant()
    def an_idle_engine_owes_nobody_an_answer(self) -> None:
        if hasattr(self, "bench"):
            bench = self.bench
            is_idle = not bench.loop._ready and not bench.executor.jobs
            if is_idle and not bench.engine._policy.max_delay_s:
                assert bench.told.keys() | self.cancelled == self.sent.keys()

    @invariant()
    def no_session_is_idle_while_something_waits(self) -> None:
        """Work conservation, once the loop has had its turn."""
        if hasattr(self, "bench"):
            engine = self.bench.engine
            is_settled = not self.bench.loop._ready
            if is_settled and engine._queue and not engine._policy.max_delay_s:
                assert engine._free == 0

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        bench = self.bench
        bench.loop.advance(1.0)
        while bench.executor.jobs or bench.loop._ready:
            bench.loop.settle()
            if bench.executor.jobs:
                bench.work()
            bench.loop.advance(1.0)
        assert bench.told.keys() | self.cancelled == self.sent.keys(), "somebody was never told"
        assert bench.engine._queue.queued_rows == 0


TestEngineMachine = EngineMachine.TestCase
TestEngineMachine.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)


class TestOnARealLoop:
    @pytest.fixture(params=[ON_LOOP_US, ON_THREAD_US], ids=["inline", "thread"])
    async def bench(self, request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
        """As Bench, on the running loop and a real thread."""
        bench = Bench(run_us=request.param)
        with ThreadPoolExecutor(1) as executor:
            bench.engine = Engine(bench.model, BatchPolicy(), executor=executor, recorder=bench.recorder)
            bench.engine.start()
            yield bench
            await bench.engine.close(5.0)

    async def test_infer_answers(self, bench: Bench) -> None:
        answers = await asyncio.gather(*[bench.engine.infer(rows_of(value)) for value in range(5)])
        assert [summary(answer) for answer in answers] == [[2 * value] for value in range(5)]

    async def test_infer_raises(self, bench: Bench) -> None:
        fine, poison = await asyncio.gather(
            bench.engine.infer(rows_of(1)), bench.engine.infer(rows_of(POISON)), return_exceptions=True
        )
        assert isinstance(fine, Answer)
        assert isinstance(poison, InvalidRequest)

    async def test_cancelling_the_task_harms_nobody(self, bench: Bench) -> None:
        gone = asyncio.create_task(bench.engine.infer(rows_of(1)))
        stays = asyncio.create_task(bench.engine.infer(rows_of(2)))
        await asyncio.sleep(0)
        gone.cancel()
        assert summary(await stays) == [4]
        with pytest.raises(asyncio.CancelledError):
            await gone

    async def test_close_answers_what_waits_and_refuses_what_comes(self, bench: Bench) -> None:
        assert summary(await bench.engine.infer(rows_of(0))) == [0]
        waiting = asyncio.create_task(bench.engine.infer(rows_of(1)))
        await asyncio.sleep(0)
        closing = asyncio.create_task(bench.engine.close(5.0))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="model 'doubler' version 3 is being unloaded"):
            await bench.engine.infer(rows_of(2))
        await closing
        assert len(bench.recorder.batches) == 2, "closed before everything had run"
        assert summary(await waiting) == [2]


def test_on_uvloop_a_delay_of_less_than_a_millisecond_is_kept() -> None:
    bench = Bench()

    async def waits_s() -> list[float]:
        waits_s = []
        with ThreadPoolExecutor(1) as executor:
            policy = BatchPolicy(max_delay_s=0.0003)
            engine = Engine(bench.model, policy, executor=executor, recorder=bench.recorder)
            engine.start()
            for number in range(40):
                begun_s = time.monotonic()
                await engine.infer(rows_of(number))
                waits_s.append(time.monotonic() - begun_s)
            await engine.close(5.0)
        return waits_s

    waits_s = uvloop.run(waits_s())
    assert min(waits_s) >= 0.0003
    assert min(waits_s) < 0.001, "a timer of whole milliseconds could have done that"


@pytest.mark.parametrize("is_busy", [False, True], ids=["idle", "given up"])
async def test_a_closed_engine_holds_no_file(is_busy: bool) -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    bench = Bench(run_us=ON_THREAD_US)
    release = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(lambda: None).result()
        before = files()
        engine = Engine(bench.model, BatchPolicy(max_delay_s=0.001), executor=executor, recorder=bench.recorder)
        engine.start()
        await engine.infer(rows_of(1))
        assert files() == before + 1
        if is_busy:
            bench.model.before_run = lambda: release.wait(10.0) and None
            running = asyncio.create_task(engine.infer(rows_of(2)))
            await asyncio.sleep(0.01)
        await engine.close(0.01)
        assert files() == before
        release.set()
        if is_busy:
            with pytest.raises(Unavailable):
                await running


def test_on_uvloop_delays_and_deadlines_cross_and_everybody_is_answered() -> None:
    bench = Bench()

    async def main() -> list[object]:
        with ThreadPoolExecutor(2) as executor:
            engine = Engine(
                bench.model,
                BatchPolicy(max_delay_s=0.0015),
                executor=executor,
                recorder=bench.recorder,
                sessions=2,
            )
            engine.start()
            soon = time.monotonic() + 0.0007
            calls = [engine.infer(rows_of(number), soon if number % 3 == 0 else math.inf) for number in range(30)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
            await engine.close(5.0)
        return list(answers)

    answers = uvloop.run(main())
    for number, answer in enumerate(answers):
        if isinstance(answer, DeadlineExceeded):
            assert number % 3 == 0
        else:
            assert isinstance(answer, Answer)
            assert summary(answer) == [2 * number]


async def test_close_gives_up_when_its_time_is_over() -> None:
    bench = Bench(run_us=ON_THREAD_US)
    release = threading.Event()
    bench.model.before_run = lambda: release.wait(10.0) and None
    with ThreadPoolExecutor(1) as executor:
        engine = Engine(bench.model, BatchPolicy(), executor=executor, recorder=bench.recorder)
        engine.start()
        running = asyncio.create_task(engine.infer(rows_of(1)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = asyncio.create_task(engine.infer(rows_of(2)))
        await asyncio.sleep(0)
        await engine.close(0.0)
        for task in (running, waiting):
            with pytest.raises(Unavailable, match="was unloaded before this request could be answered"):
                await task
        release.set()


async def test_cancelling_the_task_takes_the_request_out_of_the_queue() -> None:
    bench = Bench()
    engine = Engine(bench.model, BatchPolicy(max_delay_s=100.0), executor=bench.executor, recorder=bench.recorder)
    engine.start()
    gone = asyncio.create_task(engine.infer(rows_of(1)))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await engine.close(5.0)
    assert bench.model.batches == []


async def test_close_ends_a_delay() -> None:
    bench = Bench()
    engine = Engine(bench.model, BatchPolicy(max_delay_s=100.0), executor=bench.executor, recorder=bench.recorder)
    engine.start()
    waiting = asyncio.create_task(engine.infer(rows_of(1)))
    await asyncio.sleep(0)
    await engine.close(5.0)
    assert summary(await waiting) == [2]


async def test_a_run_may_outlive_its_loop(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(run_us=ON_THREAD_US)
    loop = asyncio.new_event_loop()
    bench.engine.start(loop)
    bench.engine.submit(rows_of(1), math.inf, lambda _: None)
    bench.engine._drain()
    loop.close()
    bench.executor.work()
    assert "outlived its event loop" in caplog.text
