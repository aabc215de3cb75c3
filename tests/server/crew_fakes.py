"""Worker processes that are tasks of the test: they speak the control protocol as told, and remember all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from rapide.server.channel import Channel, open_channel
from rapide.server.control import (
    Abort,
    Commit,
    Committed,
    Describe,
    Described,
    Drain,
    Message,
    Prepare,
    Prepared,
    ServerState,
    Start,
    Started,
)

Behaviour = Callable[["FakeWorker", Prepare], Prepared | None]
"""Answers a Prepare; None stays silent. May also call ``die``."""


def willing(worker: FakeWorker, order: Prepare) -> Prepared:
    return Prepared(order.round)


class FakeWorker:
    """One worker: also the process that the crew gets to see."""

    _last_pid = 0

    def __init__(self, end: socket.socket, behaviour: Behaviour, *, starts: bool = True) -> None:
        FakeWorker._last_pid += 1
        self.pid = FakeWorker._last_pid
        self.slot = -1
        self.behaviour = behaviour
        self.heard: list[Message] = []
        self.prepared: dict[int, ServerState] = {}
        self.served: list[ServerState] = []
        self.commits = True
        self.starts = starts
        self.dead = asyncio.Event()
        self._code = 0
        self._channel: Channel | None = None
        self._task = asyncio.create_task(self._run(end.dup()))

    def kill(self) -> None:
        self.die(-9)

    def die(self, code: int) -> None:
        if not self.dead.is_set():
            self._code = code
            self.dead.set()
            if self._channel is not None:
                self._channel.close()

    async def wait(self) -> int:
        await self.dead.wait()
        await self._task
        return self._code

    def say(self, message: Message) -> None:
        assert self._channel is not None
        self._channel.send(message)

    async def _run(self, end: socket.socket) -> None:
        self._channel = await open_channel(end)
        with contextlib.suppress(ConnectionError):
            while not self.dead.is_set() and (message := await self._channel.receive()) is not None:
                self.heard.append(message)
                self._react(message)
        self._channel.close()
        await self._channel.wait_closed()
        self.dead.set()

    def _react(self, message: Message) -> None:
        match message:
            case Prepare():
                answer = self.behaviour(self, message)
                if answer is not None and not self.dead.is_set():
                    self.prepared[message.round] = message.state
                    self.say(answer)
            case Commit():
                self.served.append(self.prepared[message.round])
                if self.commits:
                    self.say(Committed(message.round))
            case Abort():
                self.prepared.pop(message.round, None)
            case Describe():
                self.say(Described([]))
            case Drain():
                self.die(0)
            case Start():
                self.slot = message.slot
                if self.starts:
                    self.say(Started())


class FakeHost:
    """Launches FakeWorkers; ``behaviours`` are used up in order of launching, then everybody is willing."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.workers: list[FakeWorker] = []
        self.starts = True
        """Whether workers come so far that they could load anything."""
        self._behaviours = list(behaviours)

    async def launch(self, end: socket.socket) -> FakeWorker:
        behaviour = self._behaviours.pop(0) if self._behaviours else willing
        worker = FakeWorker(end, behaviour, starts=self.starts)
        self.workers.append(worker)
        return worker

    @property
    def alive(self) -> list[FakeWorker]:
        return [worker for worker in self.workers if not worker.dead.is_set()]


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Lets the loop run until ``condition`` holds; fails after a time that no working program needs."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)
