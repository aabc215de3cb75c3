"""A worker process: does what the supervisor says over the control channel, and answers requests meanwhile.

``python -m rapide.server.worker FD``, with the control channel's descriptor. It ends, with code 0, when it is told
to drain, gets SIGTERM, or its supervisor is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from typing import Any, Protocol

import uvloop

from rapide.server.app import App
from rapide.server.channel import Channel, open_channel
from rapide.server.control import (
    Abort,
    Applied,
    Apply,
    Change,
    Commit,
    Committed,
    Describe,
    Described,
    Drain,
    Failed,
    Failure,
    Message,
    Prepare,
    Prepared,
    ServedModel,
    ServerState,
    Start,
    Started,
)
from rapide.server.departure import Departure
from rapide.server.errors import RapideError, SettingsError, Unavailable
from rapide.server.settings import Settings
from rapide.server.unix_sockets import inherited

logger = logging.getLogger(__name__)

ORPHAN_DRAIN_S = 5.0
"""How long a worker without a supervisor may take to finish: its ports are wanted by the server's next start."""


class SupervisorAdmin:
    """Administrative calls, handed to the supervisor (``administration.Admin``)."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._calls = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Failure | None]] = {}

    async def apply(self, change: Change) -> None:
        """Returns when ``change`` holds in all workers. Raises the RapideError that says why it holds in none."""
        call = next(self._calls)
        answer = self._waiting[call] = asyncio.get_running_loop().create_future()
        self._channel.send(Apply(call, change))
        try:
            failure = await answer
        finally:
            del self._waiting[call]
        if failure is not None:
            raise failure.to_error()

    def applied(self, answer: Applied) -> None:
        waiting = self._waiting.get(answer.call)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer.failure)

    def supervisor_is_gone(self) -> None:
        lost = Failure(Unavailable.__name__, "the server is shutting down; whether the change was made is unknown")
        for call in list(self._waiting):
            self.applied(Applied(call, lost))


class Served(Protocol):
    """What a worker needs of its rooms (``app.App`` has it)."""

    def start(self) -> None: ...

    async def prepare(self, round_: int, state: ServerState, *, is_in_force: bool) -> Prepared: ...

    def commit(self, round_: int, state: ServerState) -> None: ...

    def abort(self, round_: int) -> None: ...

    async def open(self) -> None: ...

    def unready(self) -> None: ...

    async def close(self, drain_s: float) -> None: ...

    async def hurry(self, drain_s: float) -> None: ...

    def describe(self) -> list[ServedModel]: ...


class Worker:
    """The state machine between the control channel and the App."""

    def __init__(self, channel: Channel, settings: Settings, app: Served, admin: SupervisorAdmin) -> None:
        self._channel = channel
        self._settings = settings
        self._admin = admin
        self._app = app
        self._departure = Departure()
        self._pending: tuple[int, ServerState] | None = None
        """What was prepared last, or is being prepared, and not committed yet."""
        self._is_open = False
        self._failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Obeys until it has left; returns the exit code."""
        try:
            self._app.start()
        except Exception as error:  # noqa: BLE001 - whatever it is, the supervisor hears why
            self._fail(error)
        else:
            self._channel.send(Started())
            self._spawn(self._obey())
            leaving = asyncio.create_task(self._leave())
            ends: list[asyncio.Future[Any]] = [leaving, self._failed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return 1 if self._failed.done() else 0

    def leave(self) -> None:
        """As told by a signal: with the grace and time to finish that the settings give."""
        self._departure.no_later_than(self._settings.grace_s, self._settings.drain_s)

    async def _obey(self) -> None:
        while (message := await self._channel.receive()) is not None:
            self._do(message)
        if not self._departure.is_wanted:
            logger.error("the supervisor is gone; finishing what is under way")
        self._admin.supervisor_is_gone()
        self._departure.no_later_than(0.0, ORPHAN_DRAIN_S)

    def _do(self, order: Message) -> None:
        match order:
            case Prepare():
                self._spawn(self._prepare(order))
            case Commit():
                self._spawn(self._commit(order))
            case Abort():
                self._abort()
            case Applied():
                self._admin.applied(order)
            case Describe():
                self._channel.send(Described(self._app.describe()))
            case Drain():
                self._departure.no_later_than(order.grace_s, order.drain_s)

    async def _prepare(self, order: Prepare) -> None:
        self._abort()
        self._pending = order.round, order.state
        try:
            report = await self._app.prepare(order.round, order.state, is_in_force=order.is_in_force)
        except RapideError as error:
            report = Prepared(order.round, [], Failure.of(error))
        except Exception as error:
            logger.exception("preparing failed")
            report = Prepared(order.round, [], Failure.of(error))
        if self._pending is not None and self._pending[0] == order.round:
            self._channel.send(report)

    async def _commit(self, order: Commit) -> None:
        if self._pending is None or self._pending[0] != order.round:
            raise ValueError(f"told to commit round {order.round}, which was not prepared")
        _, state = self._pending
        self._pending = None
        self._app.commit(order.round, state)
        if self._departure.is_wanted:
            self._app.unready()
        elif not self._is_open:
            self._is_open = True
            await self._open()
        self._channel.send(Committed(order.round))

    def _abort(self) -> None:
        if self._pending is not None:
            self._app.abort(self._pending[0])
            self._pending = None

    async def _open(self) -> None:
        try:
            await self._app.open()
        except OSError as error:
            raise SettingsError(f"a worker cannot listen on {self._settings.host}: {error}.") from error

    async def _leave(self) -> None:
        departure = self._departure
        await departure.wanted()
        self._app.unready()
        await departure.closing()
        sooner = departure.sooner
        closing = asyncio.create_task(self._app.close(departure.drain_s))
        while not closing.done():
            hurried = asyncio.create_task(sooner.wait())
            await asyncio.wait([closing, hurried], return_when=asyncio.FIRST_COMPLETED)
            if hurried.done():
                sooner = departure.sooner
                await self._app.hurry(departure.drain_s)
            hurried.cancel()
        await closing

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Tells the supervisor why, and ends."""
        if not isinstance(error, RapideError):
            logger.error("the worker cannot go on", exc_info=error)
        self._channel.send(Failed(Failure.of(error)))
        if not self._failed.done():
            self._failed.set_result(error)


async def work(end: socket.socket) -> int:
    """A worker on ``end`` of a control channel, until it has left; returns the exit code."""
    channel = await open_channel(end)
    start = await channel.receive()
    code = 0
    if isinstance(start, Start):  # otherwise the supervisor changed its mind, or is gone
        code = await _work_as(start, channel)
    channel.close()
    await channel.wait_closed()
    return code


async def _work_as(start: Start, channel: Channel) -> int:
    settings, admin = Settings.from_json(start.settings), SupervisorAdmin(channel)
    try:
        app = App(settings, start.slot, admin, inherited(start.unix))
    except Exception as error:
        logger.exception("a worker cannot be put together")
        channel.send(Failed(Failure.of(error)))
        return 1
    worker = Worker(channel, settings, app, admin)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the supervisor's business
    return await worker.run()


def main() -> None:
    """Ends the process."""
    code = uvloop.run(work(socket.socket(fileno=int(sys.argv[1]))))
    sys.stderr.flush()
    # A model that is still running on a thread must not hold us up: Python would wait for its thread.
    os._exit(code)


if __name__ == "__main__":
    main()
