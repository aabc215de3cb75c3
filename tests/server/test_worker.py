"""A worker's side of the agreement, with rooms that are fakes and a supervisor that is the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from rapide.server.channel import Channel, open_channel
from rapide.server.control import (
    Abort,
    Applied,
    Apply,
    Commit,
    Committed,
    Describe,
    Described,
    Drain,
    Failed,
    Failure,
    LoadModel,
    Message,
    Order,
    Prepare,
    Prepared,
    ServedModel,
    ServerState,
    Started,
    VersionFailure,
)
from rapide.server.departure import Departure
from rapide.server.errors import Conflict, NotFound, SettingsError, Unavailable
from rapide.server.settings import Settings
from rapide.server.worker import SupervisorAdmin, Worker
from tests.server.crew_fakes import until

ONE, TWO = ServerState({"models": ["one"]}), ServerState({"models": ["two"]})


@dataclass
class FakeRooms:
    """Notes what it is told. ``held`` holds rounds up, ``preparing`` fails them; closing waits for ``closing``."""

    told: list[str] = field(default_factory=list)
    preparing: Callable[[int], object] = lambda round_: None
    opening: Callable[[], None] = lambda: None
    starting: Callable[[], None] = lambda: None
    held: dict[int, asyncio.Event] = field(default_factory=dict)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        self.starting()

    async def prepare(self, round_: int, state: ServerState, *, is_in_force: bool) -> Prepared:
        self.told.append(f"prepare {round_}" + (" in force" if is_in_force else ""))
        if round_ in self.held:
            await self.held[round_].wait()
        failures = self.preparing(round_)
        return Prepared(round_, failures if isinstance(failures, list) else [])

    def commit(self, round_: int, state: ServerState) -> None:
        self.told.append(f"commit {round_} {state.plan['models'][0]}")

    def abort(self, round_: int) -> None:
        self.told.append(f"abort {round_}")

    async def open(self) -> None:
        self.told.append("open")
        self.opening()

    def unready(self) -> None:
        self.told.append("unready")

    async def close(self, drain_s: float) -> None:
        self.told.append("close")
        await self.closing.wait()

    async def hurry(self, drain_s: float) -> None:
        self.told.append("hurry")
        self.closing.set()

    def describe(self) -> list[ServedModel]:
        return [ServedModel("m", [1], [])]


class Supervisor:
    """The other end of the channel."""

    def __init__(
        self, channel: Channel, running: asyncio.Task[int], admin: SupervisorAdmin, worker: Worker
    ) -> None:
        self.channel = channel
        self.running = running
        self.admin = admin
        self.worker = worker

    def tell(self, *orders: Order) -> None:
        for order in orders:
            self.channel.send(order)

    async def hear(self) -> Message | None:
        async with asyncio.timeout(5):
            message = await self.channel.receive()
            return await self.channel.receive() if message == Started() else message

    async def ask(self, order: Order) -> Message | None:
        self.tell(order)
        return await self.hear()

    async def code(self) -> int:
        async with asyncio.timeout(5):
            return await self.running


@asynccontextmanager
async def working(rooms: FakeRooms, **settings: float) -> AsyncIterator[Supervisor]:
    ours, theirs = socket.socketpair()
    channel, far = await open_channel(ours), await open_channel(theirs)
    admin = SupervisorAdmin(far)
    worker = Worker(far, Settings(**settings), rooms, admin)  # type: ignore[arg-type] # seconds
    running = asyncio.create_task(worker.run())
    try:
        yield Supervisor(channel, running, admin, worker)
    finally:
        rooms.closing.set()
        for end in (channel, far):
            end.close()
            await end.wait_closed()
        async with asyncio.timeout(5):
            await running


async def test_the_doors_open_with_the_first_commit_only() -> None:
    rooms = FakeRooms()
    async with working(rooms) as supervisor:
        assert await supervisor.ask(Prepare(1, ONE)) == Prepared(1)
        assert rooms.told == ["prepare 1"]
        assert await supervisor.ask(Commit(1)) == Committed(1)
        assert await supervisor.ask(Prepare(2, TWO)) == Prepared(2)
        assert await supervisor.ask(Commit(2)) == Committed(2)
        assert rooms.told == ["prepare 1", "commit 1 one", "open", "prepare 2", "commit 2 two"]
        assert await supervisor.ask(Describe()) == Described([ServedModel("m", [1], [])])


async def test_a_worker_that_joins_others_is_told_that_they_serve_already() -> None:
    rooms = FakeRooms()
    async with working(rooms) as supervisor:
        assert await supervisor.ask(Prepare(4, ONE, is_in_force=True)) == Prepared(4)
        assert rooms.told == ["prepare 4 in force"]


async def test_failures_are_reported_and_leave_the_worker_working() -> None:
    broken = [VersionFailure("m", 2, "no such operator")]

    def failing(round_: int) -> object:
        if round_ == 2:
            raise NotFound("no region")
        if round_ == 3:
            raise KeyError("a bug")
        return broken if round_ == 1 else None

    rooms = FakeRooms(preparing=failing)
    async with working(rooms) as supervisor:
        assert await supervisor.ask(Prepare(1, ONE)) == Prepared(1, broken)
        supervisor.tell(Abort(1))
        assert await supervisor.ask(Prepare(2, ONE)) == Prepared(2, [], Failure("NotFound", "no region"))
        found = await supervisor.ask(Prepare(3, ONE))
        assert isinstance(found, Prepared)
        assert found.failure is not None
        assert found.failure.error == "Internal"
        assert await supervisor.ask(Prepare(4, ONE)) == Prepared(4)
        assert "abort 1" in rooms.told


async def test_an_aborted_round_is_not_reported_any_more() -> None:
    rooms = FakeRooms(held={1: asyncio.Event(), 2: asyncio.Event()})
    async with working(rooms) as supervisor:
        supervisor.tell(Prepare(1, ONE), Abort(1), Prepare(2, TWO), Prepare(3, ONE))
        assert await supervisor.hear() == Prepared(3)
        rooms.held[1].set()
        rooms.held[2].set()
        assert await supervisor.ask(Commit(3)) == Committed(3)
        assert rooms.told == [
            "prepare 1",
            "abort 1",
            "prepare 2",
            "abort 2",
            "prepare 3",
            "commit 3 one",
            "open",
        ]


async def test_leaving_is_unready_then_closed_and_exit_code_0() -> None:
    rooms = FakeRooms()
    async with working(rooms) as supervisor:
        await supervisor.ask(Prepare(1, ONE))
        await supervisor.ask(Commit(1))
        supervisor.tell(Drain(0, 5))
        await until(lambda: rooms.told[-1] == "close")
        assert rooms.told[-2:] == ["unready", "close"]
        rooms.closing.set()
        assert await supervisor.code() == 0


async def test_while_leaving_a_new_state_is_taken_but_the_worker_stays_unready() -> None:
    rooms = FakeRooms()
    async with working(rooms, grace_s=600) as supervisor:
        await supervisor.ask(Prepare(1, ONE))
        await supervisor.ask(Commit(1))
        supervisor.worker.leave()
        await until(lambda: rooms.told[-1] == "unready")
        await supervisor.ask(Prepare(2, TWO))
        assert await supervisor.ask(Commit(2)) == Committed(2)
        assert rooms.told[-2:] == ["commit 2 two", "unready"]
        supervisor.tell(Drain(0, 5))
        await until(lambda: rooms.told[-1] == "close")


async def test_being_told_the_same_again_does_not_hurry_but_less_time_does() -> None:
    rooms = FakeRooms()
    async with working(rooms) as supervisor:
        supervisor.tell(Drain(0, 100))
        await until(lambda: rooms.told[-1:] == ["close"])
        supervisor.tell(Drain(0, 200), Drain(600, 600))
        assert isinstance(await supervisor.ask(Describe()), Described)
        assert rooms.told[-1] == "close"
        supervisor.tell(Drain(0, 1))
        assert await supervisor.code() == 0
        assert rooms.told.count("hurry") == 1


async def test_a_worker_without_its_supervisor_leaves() -> None:
    rooms = FakeRooms()
    async with working(rooms, grace_s=600) as supervisor:
        await supervisor.ask(Prepare(1, ONE))
        await supervisor.ask(Commit(1))
        waiting = asyncio.create_task(supervisor.admin.apply(LoadModel("m")))
        assert await supervisor.hear() == Apply(1, LoadModel("m"))
        supervisor.channel.close()
        await until(lambda: rooms.told[-1] == "close")
        with pytest.raises(Unavailable, match="shutting down"):
            await waiting
        rooms.closing.set()
        assert await supervisor.code() == 0


async def test_doors_that_cannot_open_end_the_worker_with_the_reason() -> None:
    def taken() -> None:
        raise OSError(98, "Address already in use")

    rooms = FakeRooms(opening=taken)
    async with working(rooms) as supervisor:
        await supervisor.ask(Prepare(1, ONE))
        found = await supervisor.ask(Commit(1))
        assert isinstance(found, Failed)
        assert found.failure.error == SettingsError.__name__
        assert "Address already in use" in found.failure.message
        assert await supervisor.code() == 1


async def test_rooms_that_cannot_start_end_the_worker_with_the_reason() -> None:
    def refuse() -> None:
        raise SettingsError("the extra rapide[otel] is not installed")

    async with working(FakeRooms(starting=refuse)) as supervisor:
        assert await supervisor.hear() == Failed(
            Failure("SettingsError", "the extra rapide[otel] is not installed")
        )
        assert await supervisor.code() == 1


async def test_administrative_calls_wait_for_their_own_answer() -> None:
    async with working(FakeRooms()) as supervisor:
        first = asyncio.create_task(supervisor.admin.apply(LoadModel("a")))
        second = asyncio.create_task(supervisor.admin.apply(LoadModel("b")))
        assert await supervisor.hear() == Apply(1, LoadModel("a"))
        assert await supervisor.hear() == Apply(2, LoadModel("b"))
        supervisor.tell(Applied(2, Failure("Conflict", "control is watch")), Applied(9), Applied(1))
        await first
        with pytest.raises(Conflict, match="control is watch"):
            await second


async def test_instants_of_leaving_only_move_closer() -> None:
    now_s = 100.0
    departure = Departure(lambda: now_s)
    assert not departure.is_wanted
    departure.no_later_than(10, 20)
    await departure.wanted()
    assert departure.drain_s == 20
    departure.no_later_than(50, 50)
    assert departure.drain_s == 20
    departure.no_later_than(5, 100)
    assert departure.drain_s == 25, "closed sooner, gone when it was said before"
    now_s = 115.0
    await departure.closing()
    assert departure.drain_s == 15
    departure.no_later_than(0, 1)
    assert departure.drain_s == 1
    departure.no_later_than(0, 100)
    assert departure.drain_s == 1
    now_s = 1000.0
    assert departure.drain_s == 0
