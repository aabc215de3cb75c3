"""Unary gRPC calls over one HTTP/2 connection (RFC 9113), written by hand so that a generator in Python keeps up.

Requests are sent as literal header fields that are never indexed, so that the encoder has no state. Of an answer
only ``grpc-status`` is read, from the header block that ends the stream. Blocks that leave the decoder's dynamic
table as it was mean the same the next time, so they are looked up by their bytes; one that changes it empties that
memory.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from typing import cast

import hpack

from rapide.loadtests.wire.lane import Answered, Lane, OpenLane

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
INITIAL_WINDOW_SIZE = 0x4
DEFAULT_WINDOW_BYTES = 65_535
WIDE_WINDOW_BYTES = 2**31 - 1
"""Answers are read at once, so there is nothing to hold back."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame (RFC 9113 §4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def request_headers(path: str, authority: str) -> bytes:
    """The header block of a unary call, independent of any connection's state (RFC 7541 §6.1 and §6.2.2)."""

    def text(value: str) -> bytes:
        encoded = value.encode()
        if len(encoded) > 126:
            raise ValueError(f"{value[:40]!r}… is too long for this generator's one-byte lengths")
        return bytes((len(encoded),)) + encoded

    block = bytes((0x80 | 3, 0x80 | 6))  # :method POST and :scheme http, from the static table
    block += bytes((4,)) + text(path) + bytes((1,)) + text(authority)  # :path and :authority
    for name, value in (("content-type", "application/grpc"), ("te", "trailers")):
        block += b"\x00" + text(name) + text(value)
    return block


def message_frame(message: bytes) -> bytes:
    """A gRPC message, uncompressed, with its five bytes in front."""
    return struct.pack(">BI", 0, len(message)) + message


class GrpcLane(asyncio.Protocol):
    """A client connection that repeats one call."""

    def __init__(self, headers: bytes, message: bytes) -> None:
        self.answered: Answered = lambda _number, _well: None
        self.in_flight = 0
        self._headers = headers
        self._message = message_frame(message)
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._next_stream = 1
        self._numbers: dict[int, int] = {}
        self._window_bytes = DEFAULT_WINDOW_BYTES
        self._held_back: deque[int] = deque()
        self._unacknowledged_bytes = 0
        self._decoder = hpack.Decoder()
        self._known_blocks: dict[bytes, bool] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        settings = frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, WIDE_WINDOW_BYTES))
        widen = frame(WINDOW_UPDATE, 0, 0, (WIDE_WINDOW_BYTES - DEFAULT_WINDOW_BYTES).to_bytes(4, "big"))
        self._put(PREFACE + settings + widen)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        for number in [*self._numbers.values(), *self._held_back]:
            self._finish(number, well=False)
        self._numbers.clear()
        self._held_back.clear()

    def send(self, number: int) -> None:
        self.in_flight += 1
        if self._transport is None:
            self._finish(number, well=False)
        elif self._window_bytes < len(self._message):
            self._held_back.append(number)
        else:
            self._write(number)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self, number: int) -> None:
        stream = self._next_stream
        self._next_stream += 2
        self._numbers[stream] = number
        self._window_bytes -= len(self._message)
        head = frame(HEADERS, END_HEADERS, stream, self._headers)
        self._put(head + frame(DATA, END_STREAM, stream, self._message))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        start = 0
        while len(buffer) - start >= 9:
            end = start + 9 + int.from_bytes(buffer[start : start + 3], "big")
            if len(buffer) < end:
                break
            stream = int.from_bytes(buffer[start + 5 : start + 9], "big")
            self._receive(buffer[start + 3], buffer[start + 4], stream, buffer[start + 9 : end])
            start = end
        self._buffer = buffer[start:]

    def _receive(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            self._on_headers(flags, stream, payload)
        elif kind == DATA:
            self._on_data(len(payload))
        elif kind == SETTINGS and not flags & ACK:
            self._put(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._put(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window_bytes += int.from_bytes(payload, "big")
            while self._held_back and self._window_bytes >= len(self._message):
                self._write(self._held_back.popleft())
        elif kind == RST_STREAM:
            self._end(stream, well=False)
        elif kind in (
            GOAWAY,
            CONTINUATION,
        ):  # nothing that a server under test should send; what is left has failed
            self.close()

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        if flags & PRIORITY:
            payload = payload[5:]
        well = self._known_blocks.get(payload)
        if well is None:
            before = list(self._decoder.header_table.dynamic_entries)
            fields = dict(self._decoder.decode(payload, raw=True))
            well = fields.get(b"grpc-status") == b"0"
            if list(self._decoder.header_table.dynamic_entries) == before:
                self._known_blocks[payload] = well
            else:
                self._known_blocks.clear()
        if flags & END_STREAM:
            self._end(stream, well)

    def _on_data(self, length_bytes: int) -> None:
        self._unacknowledged_bytes += length_bytes
        if self._unacknowledged_bytes > WIDE_WINDOW_BYTES // 4:
            self._put(frame(WINDOW_UPDATE, 0, 0, self._unacknowledged_bytes.to_bytes(4, "big")))
            self._unacknowledged_bytes = 0

    def _end(self, stream: int, well: bool) -> None:
        number = self._numbers.pop(stream, None)
        if number is not None:
            self._finish(number, well)

    def _finish(self, number: int, well: bool) -> None:
        self.in_flight -= 1
        self.answered(number, well)

    def _put(self, content: bytes) -> None:
        if self._transport is not None:
            self._transport.write(content)


def opener(host: str, port: int, path: str, message: bytes) -> OpenLane:
    """Opens lanes that repeat the unary call ``path`` with ``message``."""
    headers = request_headers(path, f"{host}:{port}")

    async def open_lane() -> Lane:
        loop = asyncio.get_running_loop()
        _, lane = await loop.create_connection(lambda: GrpcLane(headers, message), host, port)
        return lane

    return open_lane
