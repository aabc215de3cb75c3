"""Real sockets on uvloop: what is written arrives whole and in order, whatever the socket takes at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
import uvloop

from rapide.server.protocols.outlet import Outlet

LARGE_BYTES = 8 << 20
"""More than a socket's buffer takes while nobody reads."""


class Line(asyncio.Protocol):
    """The server's end: its outlet, and what it was told."""

    def __init__(self) -> None:
        self.outlet: Outlet | None = None
        self.transport: asyncio.Transport | None = None
        self.is_paused = False
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.outlet = Outlet(self.transport)

    def pause_writing(self) -> None:
        self.is_paused = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Line, socket.socket]]:
    mine, peer = socket.socketpair()
    peer.setblocking(False)
    line = Line()
    await asyncio.get_running_loop().create_unix_connection(lambda: line, sock=mine)
    try:
        yield line, peer
    finally:
        peer.close()
        assert line.transport is not None
        line.transport.abort()


def run(scenario: object) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario)  # type: ignore[arg-type]


def test_a_small_piece_is_there_before_the_loop_turns() -> None:
    async def scenario() -> None:
        async with connected() as (line, peer):
            assert line.outlet is not None
            line.outlet.write(b"at once")
            assert peer.recv(100) == b"at once"

    run(scenario())


def test_what_the_socket_does_not_take_follows_in_order_and_is_told_as_any_full_buffer() -> None:
    pieces = [b"first", bytes(range(256)) * (LARGE_BYTES // 256), b"second", b"", b"third"]

    async def scenario() -> None:
        async with connected() as (line, peer):
            assert line.outlet is not None
            for piece in pieces:
                line.outlet.write(piece)
            assert line.is_paused
            got = bytearray()
            while len(got) < sum(map(len, pieces)):
                got += await asyncio.get_running_loop().sock_recv(peer, 1 << 20)
            assert got == b"".join(pieces)
            line.outlet.write(b"fourth")  # the socket has room again
            assert await asyncio.get_running_loop().sock_recv(peer, 100) == b"fourth"

    run(scenario())


@pytest.mark.parametrize("size_bytes", [1, LARGE_BYTES])
def test_a_peer_that_is_gone_ends_the_connection_and_raises_nothing(size_bytes: int) -> None:
    async def scenario() -> None:
        async with connected() as (line, peer):
            assert line.outlet is not None
            peer.close()
            line.outlet.write(bytes(size_bytes))
            line.outlet.write(b"more")
            async with asyncio.timeout(10):
                await line.lost.wait()

    run(scenario())
