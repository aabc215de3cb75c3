"""A worker process started ahead of need: interpreter up, everything imported, waiting to be told who it is.

Starting a process takes half a second of a core, and much longer when the cores are busy with the very load that a
killed worker leaves to the others. One process in reserve makes a replacement a matter of loading models. It is
started when nothing is urgent, and costs the memory of an idle worker.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from rapide.server.channel import Channel, open_channel
from rapide.server.child import Launch, Process, kill
from rapide.server.control import Drain


@dataclass(slots=True)
class Started:
    """A process that has not been told anything yet, and the channel to it."""

    process: Process
    channel: Channel


class Reserve:
    """Hands out started processes; keeps one ready if ``is_kept``."""

    def __init__(self, launch: Launch, *, is_kept: bool) -> None:
        self._launch = launch
        self._is_kept = is_kept
        self._waiting: Started | None = None
        self._filling: asyncio.Task[None] | None = None
        self._is_closed = False

    async def take(self) -> Started:
        """The process in reserve, or a new one."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.channel.at_eof():
            return waiting
        if waiting is not None:
            await _end(waiting)
        return await self._start()

    def refill(self) -> None:
        """Starts one in the background if there is none. Called when all is well."""
        if self._is_kept and not self._is_closed and self._waiting is None and self._filling is None:
            self._filling = asyncio.create_task(self._fill())

    async def close(self) -> None:
        """Ends the process in reserve."""
        self._is_closed = True
        if self._filling is not None:
            await self._filling
        if self._waiting is not None:
            await _end(self._waiting)
            self._waiting = None

    async def _fill(self) -> None:
        self._waiting = await self._start()
        self._filling = None

    async def _start(self) -> Started:
        ours, theirs = socket.socketpair()
        try:
            process = await self._launch(theirs)
        finally:
            theirs.close()
        return Started(process, await open_channel(ours))


async def _end(started: Started) -> None:
    started.channel.send(Drain(0, 0))
    started.channel.close()
    await started.channel.wait_closed()
    kill(started.process)
    await started.process.wait()
