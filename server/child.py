"""One worker process as the supervisor sees it: what it is told, and what it answers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from rapide.server.channel import Channel
from rapide.server.control import (
    Apply,
    Committed,
    Described,
    Failed,
    Failure,
    Order,
    Prepared,
    Report,
    Started,
    VersionFailure,
)

_EXIT_TIMEOUT_S = 10.0
"""From the end of its channel to the end of the process; beyond it, something hangs."""


class Process(Protocol):
    """What the crew needs of a child process (``asyncio.subprocess.Process`` has it)."""

    pid: int

    def kill(self) -> None: ...

    async def wait(self) -> int: ...


Launch = Callable[[socket.socket], Awaitable[Process]]
"""Starts a worker process, handing it its end of the control channel."""


class Child:
    """One worker process as the supervisor sees it."""

    def __init__(self, slot: int, process: Process, channel: Channel) -> None:
        self.slot = slot
        self.process = process
        self.member = False
        self.has_started = False
        """Whether it came so far that it could load anything."""
        self.serving_since_s: float | None = None
        self.failure: Failure | None = None
        self.lacking: list[VersionFailure] = []
        """What the others serve and this one could not load."""
        self.prepared_without: list[VersionFailure] = []
        """The same of the state that it prepared last, once that is committed."""
        self._channel = channel
        self._awaited: tuple[type[Report], int | None, asyncio.Future[Report | None]] | None = None
        self.gone = False

    def tell(self, order: Order) -> None:
        self._channel.send(order)

    async def ask(
        self, order: Order, kind: type[Report], timeout_s: float, round_: int | None = None
    ) -> Report | None:
        """The report that answers ``order``, or None if the worker dies. Raises TimeoutError."""
        if self.gone:
            return None
        future: asyncio.Future[Report | None] = asyncio.get_running_loop().create_future()
        self._awaited = (kind, round_, future)
        self.tell(order)
        async with asyncio.timeout(timeout_s):
            return await future

    async def listen(self, on_apply: Callable[[Child, Apply], None]) -> None:
        """Hands out what the worker says until its end of the channel closes."""
        while (message := await self._channel.receive()) is not None:
            if isinstance(message, Apply):
                on_apply(self, message)
            elif isinstance(message, Started):
                self.has_started = True
            elif isinstance(message, Failed):
                self.failure = message.failure
            elif isinstance(message, Prepared | Committed | Described):
                self._resolve(message)
        self.gone = True
        self._channel.close()
        if self._awaited is not None and not self._awaited[2].done():
            self._awaited[2].set_result(None)

    def kill(self) -> None:
        kill(self.process)

    async def exit_code(self) -> int:
        """Waits for the process, and not for ever if it closed its channel but does not end."""
        await self._channel.wait_closed()
        try:
            async with asyncio.timeout(_EXIT_TIMEOUT_S):
                return await self.process.wait()
        except TimeoutError:
            self.kill()
            return await self.process.wait()

    def _resolve(self, report: Prepared | Committed | Described) -> None:
        if self._awaited is None:
            return
        kind, round_, future = self._awaited
        # An answer to a round that was given up must not pass for one to the next.
        if isinstance(report, kind) and getattr(report, "round", None) == round_ and not future.done():
            future.set_result(report)


def kill(process: Process) -> None:
    """Ends ``process`` now, if it has not ended already."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def cause_of(code: int) -> str:
    """A process's return code in words."""
    if code >= 0:
        return f"it exited with code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"it was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
