"""A connection that repeats one call as cheaply as Python can, on asyncio: for closed loops and crowds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from rapide.loadtests.wire.connection import ANSWERED, Broken, Connection
from rapide.loadtests.wire.grpc_connection import GrpcCall, GrpcConnection
from rapide.loadtests.wire.http2 import request_headers
from rapide.loadtests.wire.http_connection import HttpConnection, request_bytes

Answered = Callable[[int, bool], None]
"""Called with the request's number, and whether it was answered well."""


class Lane(asyncio.Protocol):
    """What is sent while the connection has no room waits its turn."""

    def __init__(self, connection: Connection[Any], call: Any) -> None:
        self.answered: Answered = lambda _number, _well: None
        """Set before the first request."""
        self.in_flight = 0
        self._connection = connection
        self._call = call
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[int] = deque()
        self._is_reading = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._write()

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        lost = [*self._connection.in_flight(), *self._waiting]
        self._waiting.clear()
        for number in lost:
            self._finish(number, well=False)

    def send(self, number: int) -> None:
        """Sends the request once more; ``answered`` will be called with ``number``, once."""
        self.in_flight += 1
        if self._transport is None:
            self._finish(number, well=False)
            return
        self._waiting.append(number)
        if not self._is_reading:
            self._write()

    def close(self) -> None:
        """Closes the connection; requests in flight count as failed."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        is_broken = False
        try:
            ended = self._connection.receive(data)
        except Broken as error:
            ended, is_broken = error.ended, True
        self._is_reading = True  # answers make their receivers ask again: all of it is one write
        for number, code in ended:
            self._finish(number, well=code == ANSWERED)
        self._is_reading = False
        if is_broken:
            self.close()
            return
        self._write()
        if self._connection.is_closing and not any(True for _ in self._connection.in_flight()):
            self.close()

    def _write(self) -> None:
        while self._waiting and self._connection.has_room:
            self._connection.ask(self._waiting.popleft(), self._call)
        if self._transport is not None and (content := self._connection.take()):
            self._transport.write(content)

    def _finish(self, number: int, *, well: bool) -> None:
        self.in_flight -= 1
        self.answered(number, well)


OpenLane = Callable[[], Awaitable[Lane]]
"""Opens one more connection to the server that a target stands for."""


def grpc_opener(host: str, port: int, path: str, message: bytes) -> OpenLane:
    """Opens lanes that repeat the unary call ``path`` with ``message``."""
    call = GrpcCall.of(request_headers(path, f"{host}:{port}"), message)
    return _opener(host, port, GrpcConnection, call)


def http_opener(host: str, port: int, path: str, headers: Mapping[str, str], body: bytes) -> OpenLane:
    """Opens lanes that repeat this POST."""
    return _opener(host, port, HttpConnection, request_bytes(host, port, path, headers, body))


def _opener(host: str, port: int, new_connection: Callable[[], Connection[Any]], call: Any) -> OpenLane:
    async def open_lane() -> Lane:
        loop = asyncio.get_running_loop()
        _, lane = await loop.create_connection(lambda: Lane(new_connection(), call), host, port)
        return lane

    return open_lane
