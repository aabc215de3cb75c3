"""How long a loop stays awake, and when it gives way."""

from __future__ import annotations

import asyncio
import time

import pytest

from rapide.server.batching import BatchPolicy
from rapide.server.busy_poll import BusyPoll
from rapide.server.engine import Engine
from tests.server.engine_fakes import DOUBLER, FakeModel, FakeRecorder, HandClock, HandExecutor, HandLoop, rows_of

SPAN_S = 1e-3
FAST_US, SLOW_US = 5.0, 5000.0


class Bench:
    """Engines that share a loop that polls, in the test's hands. A turn of it takes a tenth of a millisecond."""

    def __init__(self, *run_us: float) -> None:
        self.clock = HandClock()
        self.loop = HandLoop(self.clock)
        self.executor = HandExecutor()
        loop = self.loop.as_loop()
        busy_poll = BusyPoll(loop, SPAN_S, self.clock)
        self.engines = [
            Engine(
                FakeModel(self.clock, DOUBLER, each_us),
                BatchPolicy(),
                executor=self.executor,
                recorder=FakeRecorder(),
                busy_poll=busy_poll,
                clock=self.clock,
            )
            for each_us in run_us
        ]
        for engine in self.engines:
            engine.start(loop)

    def submit(self, number: int = 0, answering_takes_s: float = 0.0) -> None:
        self.engines[number].submit(rows_of(1), float("inf"), lambda outcome: self.clock.lapse(answering_takes_s))

    def turns(self, most: int = 100) -> int:
        """Until the loop would sleep."""
        for turn in range(most):
            if not self.loop.ready_count:
                return turn
            self.loop.tick()
            self.clock.lapse(1e-4)
        return most


def test_it_stays_awake_after_an_answer_and_then_sleeps() -> None:
    bench = Bench(FAST_US)
    assert bench.turns() == 0, "a loop that nobody asked sleeps"
    bench.submit()
    assert bench.turns() == pytest.approx(11, abs=1)
    assert bench.turns() == 0


def test_every_answer_begins_the_span_anew_and_only_once() -> None:
    bench = Bench(FAST_US)
    for _ in range(5):
        bench.submit()
        bench.loop.tick()
        bench.clock.lapse(5e-4)
        assert bench.loop.ready_count == 1, "one callback polls, however many answers there were"
    assert bench.turns() == pytest.approx(5, abs=1)


def test_it_gives_way_to_a_thread_and_goes_on_after_its_answer() -> None:
    bench = Bench(SLOW_US)
    bench.submit()
    bench.loop.tick()
    assert len(bench.executor.jobs) == 1
    assert bench.turns() <= 1, "polls while a thread runs"
    bench.executor.work()
    assert bench.turns() == pytest.approx(11, abs=1)


def test_the_time_that_answering_takes_is_not_of_the_span() -> None:
    bench = Bench(FAST_US)
    bench.submit(answering_takes_s=2 * SPAN_S)
    assert bench.turns() == pytest.approx(11, abs=1)


def test_nobody_polls_while_anybody_is_on_a_thread() -> None:
    bench = Bench(SLOW_US, FAST_US)
    bench.submit(0)
    bench.loop.tick()
    bench.submit(1)
    assert bench.turns() <= 2, "the other model's answer made the loop poll"
    bench.executor.work()
    assert bench.turns() == pytest.approx(11, abs=1)


def test_a_real_loop_polls_and_sleeps() -> None:
    """What it uses of the processor: all of it while it polls, and then next to nothing."""

    async def spent_s(wait_s: float) -> float:
        begun_s = time.thread_time()
        await asyncio.sleep(wait_s)
        return time.thread_time() - begun_s

    async def both() -> tuple[float, float]:
        poll = BusyPoll(asyncio.get_running_loop(), 0.2)
        poll.answered(time.monotonic())
        return await spent_s(0.2), await spent_s(0.3)

    polling_s, after_s = asyncio.run(both())
    assert polling_s > 4 * after_s
