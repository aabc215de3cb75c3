"""HTTP/1.1 requests over one connection, one at a time; what is sent meanwhile waits its turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import cast

import httptools

from rapide.loadtests.wire.lane import Answered, Lane, OpenLane


class HttpLane(asyncio.Protocol):
    """A client connection that repeats one request."""

    def __init__(self, request: bytes) -> None:
        self.answered: Answered = lambda _number, _well: None
        self.in_flight = 0
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[int] = deque()
        """The first one is on the wire."""
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        while self._waiting:
            self._finish(well=False)

    def send(self, number: int) -> None:
        self.in_flight += 1
        self._waiting.append(number)
        if self._transport is None:
            self._finish(well=False)
        elif len(self._waiting) == 1:
            self._transport.write(self._request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """httptools read the end of an answer."""
        well = self._parser.get_status_code() == 200
        if len(self._waiting) > 1 and self._transport is not None:
            self._transport.write(self._request)
        self._finish(well)

    def _finish(self, well: bool) -> None:
        number = self._waiting.popleft()
        self.in_flight -= 1
        self.answered(number, well)  # may send again


def request_bytes(host: str, port: int, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """One POST, whole."""
    lines = [f"POST {path} HTTP/1.1", f"host: {host}:{port}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def opener(host: str, port: int, path: str, headers: Mapping[str, str], body: bytes) -> OpenLane:
    """Opens lanes that repeat this POST."""
    request = request_bytes(host, port, path, headers, body)

    async def open_lane() -> Lane:
        loop = asyncio.get_running_loop()
        _, lane = await loop.create_connection(lambda: HttpLane(request), host, port)
        return lane

    return open_lane
