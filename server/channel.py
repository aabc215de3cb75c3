"""Control messages over one end of a socket pair, for both the supervisor and a worker."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from rapide.server.control import LINE_LIMIT_BYTES, Message, decode, encode


class Channel:
    """Made by ``open_channel``. Sending never blocks: messages are few, and the other end reads at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, message: Message) -> None:
        """Queues ``message``. Without effect when the other end is gone: ``receive`` tells."""
        if not self._writer.is_closing():
            self._writer.write(encode(message))

    async def receive(self) -> Message | None:
        """The next message, or None when the other end is gone."""
        try:
            line = await self._reader.readline()
        except (ConnectionError, OSError):
            return None
        return decode(line) if line.endswith(b"\n") else None

    def at_eof(self) -> bool:
        """Whether the other end is gone, and all that it said was received."""
        return self._reader.at_eof()

    def close(self) -> None:
        self._writer.close()

    async def wait_closed(self) -> None:
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def open_channel(end: socket.socket) -> Channel:
    """A channel over ``end``, which it owns from now on."""
    reader, writer = await asyncio.open_connection(sock=end, limit=LINE_LIMIT_BYTES)
    return Channel(reader, writer)
