"""Who takes a connection over, decided by its first octets, however they are cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from rapide.server.protocols.http2.frames import PREFACE
from rapide.server.protocols.one_port import OnePort

GET = b"GET / HTTP/1.1\r\n\r\n"


class Taker(asyncio.Protocol):
    """Answers each read with its own name and what it has got so far."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.got += data
        self.transport.write(self.name + b" " + self.got + b"|")


@pytest.fixture
async def port() -> AsyncIterator[tuple[OnePort, int]]:
    shared = OnePort(lambda: Taker(b"gRPC"), lambda: Taker(b"HTTP"), silence_s=0.05)
    listener = socket.create_server(("127.0.0.1", 0))
    await shared.start(listener)
    yield shared, listener.getsockname()[1]
    shared.close()


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (PREFACE, b"gRPC"),
        (PREFACE + b"frames", b"gRPC"),
        (GET, b"HTTP"),
        (b"PUT / HTTP/1.1\r\n\r\n", b"HTTP"),
        (PREFACE[:-1] + b"x", b"HTTP"),
        (b"\x16\x03\x01 a TLS hello", b"HTTP"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "octet by octet"])
async def test_the_first_octets_decide(port: tuple[OnePort, int], sent: bytes, name: bytes, at_once: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port[1])
    for piece in [sent] if at_once else [sent[place : place + 1] for place in range(len(sent))]:
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(5):
        said = await reader.readuntil(name + b" " + sent + b"|")
    assert said.startswith(name)
    assert not port[0].undecided
    writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether nothing more comes."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("said", [b"", PREFACE[:5]], ids=["nothing", "half a preface"])
async def test_silence_is_ended(port: tuple[OnePort, int], said: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port[1])
    writer.write(said)
    async with asyncio.timeout(5):
        assert await ended(reader)
    assert not port[0].undecided
    writer.close()


async def test_closing_lets_go_of_the_undecided(port: tuple[OnePort, int]) -> None:
    shared, number = port
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(PREFACE[:5])
    async with asyncio.timeout(5):
        while not shared.undecided:
            await asyncio.sleep(0)
        shared.close()
        assert await ended(reader)
    writer.close()
