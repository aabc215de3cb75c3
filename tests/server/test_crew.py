"""The crew: agreement of all or none, replacement, joining late, giving up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rapide.server.child import cause_of
from rapide.server.control import (
    Abort,
    Apply,
    Failed,
    Failure,
    LoadModel,
    Prepare,
    Prepared,
    ServerState,
    Start,
    VersionFailure,
)
from rapide.server.crew import MAX_FAILED_STARTS, Agreement, Crew
from rapide.server.restarts import Restarts
from tests.server.crew_fakes import Behaviour, FakeHost, FakeWorker, until, willing

ONE, TWO = ServerState({"models": ["one"]}), ServerState({"models": ["two"]})


@asynccontextmanager
async def running(
    host: FakeHost,
    size: int = 2,
    *,
    timeout_s: float = 10,
    commit_timeout_s: float = 10,
    has_reserve: bool = False,
    calls: list[Apply] | None = None,
) -> AsyncIterator[Crew]:
    crew = Crew(
        host.launch,
        [Start(slot, size, {}) for slot in range(size)],
        lambda worker, call: calls.append(call) if calls is not None else None,
        start_timeout_s=timeout_s,
        prepare_timeout_s=timeout_s,
        commit_timeout_s=commit_timeout_s,
        has_reserve=has_reserve,
    )
    crew.start()
    try:
        await crew.wait_for_members()
        yield crew
    finally:
        await crew.kill()


async def agree(crew: Crew, state: ServerState) -> Agreement:
    async with crew.changing:
        return await crew.agree(state)


def refusing(worker: FakeWorker, order: Prepare) -> Prepared:
    return Prepared(order.round, [VersionFailure("a", 3, "no such operator")])


def silent(worker: FakeWorker, order: Prepare) -> None:
    return None


def dying(worker: FakeWorker, order: Prepare) -> None:
    worker.die(-9)


def at_two(other: Behaviour) -> Behaviour:
    """Willing, but ``other`` when asked for state TWO."""
    return lambda worker, order: (other if order.state == TWO else willing)(worker, order)


async def test_all_workers_switch_together() -> None:
    host = FakeHost()
    async with running(host) as crew:
        assert (await agree(crew, ONE)).agreed
        assert (await agree(crew, TWO)).agreed
        assert [worker.served for worker in host.workers] == [[ONE, TWO], [ONE, TWO]]
        assert len(crew.serving) == 2


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (refusing, "a/3: no such operator"),
        (silent, "worker 1 was not ready within 0.5 s"),
        (dying, "worker 1 died while preparing"),
        (lambda worker, order: Prepared(order.round, [], Failure("NotFound", "no region x")), "no region x"),
    ],
    ids=["broken version", "silence", "death", "other failure"],
)
async def test_if_one_worker_cannot_switch_nobody_does(behaviour: Behaviour, words: str) -> None:
    host = FakeHost(willing, at_two(behaviour))
    async with running(host, timeout_s=0.5) as crew:
        assert (await agree(crew, ONE)).agreed
        outcome = await agree(crew, TWO)
        assert not outcome.agreed
        assert words in str(outcome)
        await until(lambda: any(isinstance(message, Abort) for message in host.workers[0].heard))
        assert all(worker.served == [ONE] for worker in host.workers[:2])
        assert crew.current is not None
        assert crew.current[1] == ONE


async def test_a_late_answer_to_an_aborted_round_counts_for_nothing() -> None:
    asked: list[Prepare] = []

    def slow_at_first(worker: FakeWorker, order: Prepare) -> Prepared | None:
        asked.append(order)
        return None if len(asked) == 1 else Prepared(asked[0].round)

    async with running(FakeHost(slow_at_first), 1, timeout_s=0.1) as crew:
        assert not (await agree(crew, ONE)).agreed
        assert not (await agree(crew, TWO)).agreed, "the answer to round 1 must not pass for one to round 2"


async def test_a_killed_worker_is_replaced_by_one_that_serves_the_state_in_force() -> None:
    host = FakeHost()
    async with running(host) as crew:
        await agree(crew, ONE)
        host.workers[0].kill()
        await until(lambda: len(host.workers) == 3 and len(crew.serving) == 2)
        assert host.workers[2].slot == 0
        assert host.workers[2].served == [ONE]
        assert host.workers[1].served == [ONE], "its sibling noticed nothing"


async def test_a_worker_that_joins_during_a_change_gets_the_newer_state() -> None:
    release = asyncio.Event()
    late: list[asyncio.Task[None]] = []

    def hesitating(worker: FakeWorker, order: Prepare) -> Prepared | None:
        async def answer() -> None:
            await release.wait()
            worker.prepared[order.round] = order.state
            worker.say(Prepared(order.round))

        late.append(asyncio.create_task(answer()))
        return None

    host = FakeHost(willing, willing, hesitating)
    async with running(host) as crew:
        await agree(crew, ONE)
        host.workers[0].kill()
        await until(lambda: len(late) == 1)
        assert (await agree(crew, TWO)).agreed, "a change does not wait for a worker that is still starting"
        release.set()
        await until(lambda: len(crew.serving) == 2)
        assert host.workers[2].served == [TWO]


async def test_a_worker_that_cannot_load_what_others_serve_takes_no_requests() -> None:
    host = FakeHost(willing, willing, refusing)
    async with running(host) as crew:
        await agree(crew, ONE)
        host.workers[0].kill()
        await until(lambda: len(host.workers) == 4 and len(crew.serving) == 2)
        assert host.workers[2].dead.is_set()
        assert host.workers[2].served == []
        assert host.workers[3].served == [ONE]


BOTH = ServerState({"models": [{"name": "a", "versions": [{}, {}]}]})
LACKING = [VersionFailure("a", 3, "model.onnx was changed after publishing")]


def lacking(worker: FakeWorker, order: Prepare) -> Prepared:
    return Prepared(order.round, lacking=LACKING)


async def test_a_worker_that_lacks_something_joins_and_tries_again_later(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    host = FakeHost(willing, willing, lacking)
    async with running(host) as crew:
        await agree(crew, BOTH)
        assert not any(order.is_in_force for order in host.workers[0].heard if isinstance(order, Prepare))
        host.workers[0].kill()
        await until(lambda: len(host.workers) == 3 and len(crew.serving) == 2)
        assert [order.is_in_force for order in host.workers[2].heard if isinstance(order, Prepare)] == [True]
        assert host.workers[2].served == [BOTH]
        assert crew.lacking == LACKING
        assert "worker 0 serves without a/3: model.onnx was changed after publishing" in caplog.text
        assert (await agree(crew, TWO)).agreed
        assert crew.lacking == LACKING
        host.workers[2].behaviour = willing
        assert (await agree(crew, BOTH)).agreed
        assert crew.lacking == []
        assert "worker 0 serves everything again" in caplog.text
        assert caplog.text.count("serves without") == 1


async def test_a_worker_that_lacks_everything_would_only_fail_requests() -> None:
    def lacking_all(worker: FakeWorker, order: Prepare) -> Prepared:
        return Prepared(order.round, lacking=[VersionFailure("a", version, "gone") for version in (1, 2)])

    host = FakeHost(willing, willing, lacking_all)
    async with running(host) as crew:
        await agree(crew, BOTH)
        host.workers[0].kill()
        await until(lambda: len(host.workers) == 4 and len(crew.serving) == 2)
        assert host.workers[2].served == []


async def test_the_first_of_all_replacements_does_not_settle_for_less() -> None:
    host = FakeHost(willing, lacking)
    async with running(host, 1) as crew:
        lost = asyncio.Event()
        crew.on_lost_state = lost.set
        await agree(crew, BOTH)
        host.workers[0].kill()
        await asyncio.wait_for(lost.wait(), 5)
        assert crew.current is None, "the repository may have a next best version"


async def test_when_nobody_can_load_the_state_in_force_any_more_it_is_given_up() -> None:
    host = FakeHost(willing, refusing)
    async with running(host, 1) as crew:
        lost = asyncio.Event()
        crew.on_lost_state = lost.set
        await agree(crew, ONE)
        host.workers[0].kill()
        await asyncio.wait_for(lost.wait(), 5)
        assert crew.current is None
        host.workers[1].behaviour = willing
        assert (await agree(crew, TWO)).agreed
        assert host.workers[1].served == [TWO]


async def test_a_worker_that_does_not_switch_in_time_is_replaced() -> None:
    host = FakeHost()
    async with running(host, commit_timeout_s=0.2) as crew:
        await agree(crew, ONE)
        host.workers[0].commits = False
        assert (await agree(crew, TWO)).agreed, "the others have switched: there is no way back"
        await until(lambda: len(host.workers) == 3 and len(crew.serving) == 2)
        assert host.workers[0].dead.is_set()
        assert host.workers[2].served == [TWO]


async def test_a_server_whose_workers_all_die_at_the_start_gives_up_with_the_reason() -> None:
    def failing(worker: FakeWorker, order: Prepare) -> None:
        worker.say(Failed(Failure("Internal", "no such library")))
        worker.die(1)

    host = FakeHost(*[failing] * 100)
    async with running(host, 1) as crew:
        async with asyncio.timeout(10):
            while not crew.gave_up.done():
                await crew.wait_for_members()
                await agree(crew, ONE)
                await until(lambda: not crew.members)
                if len(host.workers) >= MAX_FAILED_STARTS:
                    break
            failure = await crew.gave_up
        assert "died 5 times before it could serve: no such library" in failure.message


async def test_a_mistake_in_the_settings_is_not_tried_five_times() -> None:
    def misconfigured(worker: FakeWorker, order: Prepare) -> None:
        worker.say(Failed(Failure("SettingsError", "port 1 is in use", "Choose another.")))
        worker.die(1)

    host = FakeHost(misconfigured, misconfigured)
    async with running(host, 1) as crew:
        await agree(crew, ONE)
        failure = await asyncio.wait_for(crew.gave_up, 5)
        assert (failure.message, failure.hint) == ("port 1 is in use", "Choose another.")


async def test_draining_lets_workers_end_by_themselves() -> None:
    host = FakeHost()
    async with running(host) as crew:
        await agree(crew, ONE)
        assert await crew.drain(0, 1)
        assert not host.alive
        assert len(host.workers) == 2, "nobody is replaced"


async def test_a_process_in_reserve_takes_the_place_of_a_dead_worker_and_is_made_up_for() -> None:
    host = FakeHost()
    async with running(host, has_reserve=True) as crew:
        assert len(host.workers) == 2, "it must not compete with the first workers"
        await agree(crew, ONE)
        await until(lambda: len(host.workers) == 3)
        reserve = host.workers[2]
        assert reserve.heard == []
        host.workers[1].kill()
        await until(lambda: reserve.served == [ONE])
        assert reserve.slot == 1
        await until(lambda: len(host.workers) == 4)
        assert await crew.drain(0, 1)
        assert not host.alive, "the process in reserve ends, too"


async def test_a_process_in_reserve_that_died_is_not_given_work(caplog: pytest.LogCaptureFixture) -> None:
    host = FakeHost()
    async with running(host, has_reserve=True) as crew:
        await agree(crew, ONE)
        await until(lambda: len(host.workers) == 3)
        host.workers[2].kill()
        await host.workers[2].wait()
        host.workers[0].kill()
        await until(lambda: len(host.workers) == 5 and len(crew.serving) == 2)
        assert host.workers[3].served == [ONE]
        assert caplog.text.count("is gone") == 1, "the worker's death, not that of a replacement"


async def test_administrative_calls_reach_the_supervisor() -> None:
    calls: list[Apply] = []
    host = FakeHost()
    async with running(host, calls=calls) as crew:
        await agree(crew, ONE)
        host.workers[1].say(Apply(7, LoadModel("a")))
        await until(lambda: calls == [Apply(7, LoadModel("a"))])


def test_replacements_are_immediate_once_then_slower_and_slower() -> None:
    restarts = Restarts()
    assert [restarts.delay_s(None) for _ in range(12)] == [
        0,
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        6.4,
        12.8,
        25.6,
        30,
        30,
    ]
    assert restarts.failed_starts == 12
    assert restarts.delay_s(5.0) == 30, "it served, but not for long"
    assert restarts.failed_starts == 0
    assert restarts.delay_s(3600.0) == 0, "a healthy worker's death starts the count anew"
    assert restarts.delay_s(3.0) == 0
    assert restarts.delay_s(3.0) == 0.1


@pytest.mark.parametrize(
    ("code", "words"), [(-9, "SIGKILL (out of memory?)"), (-11, "SIGSEGV"), (3, "code 3"), (-64, "SIGRTMAX")]
)
def test_deaths_in_words(code: int, words: str) -> None:
    assert words in cause_of(code)
