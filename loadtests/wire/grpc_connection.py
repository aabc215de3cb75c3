"""Unary gRPC calls over one HTTP/2 connection (RFC 9113), written by hand so that a generator in Python keeps up.

What makes it cheap: a call's bytes are made once, and only the stream's number is put into them; header blocks are
independent of each other in both directions, because requests use no dynamic table and ours is announced to have
size 0 (RFC 7541 §4.2), so equal blocks mean equal headers and a dictionary knows them. Of an answer only its
status is read, from the block that ends the stream.

A message that does not fit into one frame or into the peer's windows goes out piece by piece (RFC 9113 §5.2), and
the connection takes no other call until it is out.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import hpack

from rapide.loadtests.wire.connection import Broken
from rapide.loadtests.wire.http2 import (
    ACK,
    CANCEL,
    DATA,
    DEFAULT_WINDOW_BYTES,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WIDE_WINDOW_BYTES,
    WINDOW_UPDATE,
    frame,
    message_frame,
)

UNKNOWN = 2
UNAVAILABLE = 14
MOST_KNOWN_BLOCKS = 1000
"""Trailers may differ in every answer (a message with an id); so many are remembered, then none."""
_PLAIN_STATUS = re.compile(rb"\x0bgrpc-status[\x01\x02]([0-9]{1,2})")
"""The field as a literal without Huffman's code (RFC 7541 §6.2.2). Of a flood of refusals, each with an id of its
own, the reason is read once, and then only this."""
_UNLIMITED_STREAMS = 2**31
_FRAME_HEAD = struct.Struct(">IBI")
"""Length (24 bits) and kind, flags, stream."""
_HELLO = (
    PREFACE
    + frame(SETTINGS, 0, 0, struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, INITIAL_WINDOW_SIZE, WIDE_WINDOW_BYTES))
    + frame(WINDOW_UPDATE, 0, 0, (WIDE_WINDOW_BYTES - DEFAULT_WINDOW_BYTES).to_bytes(4, "big"))
)


@dataclass(frozen=True, slots=True)
class GrpcCall:
    """The bytes of one call, cut where the stream's number belongs: ``head``, number, ``middle``, number, message.

    ``block`` is the header block alone.
    """

    head: bytes
    middle: bytes
    message: bytes
    block: bytes

    @classmethod
    def of(cls, headers: bytes, message: bytes) -> GrpcCall:
        """``headers`` is the header block, ``message`` the serialised request."""
        framed = message_frame(message)
        return cls(
            head=frame(HEADERS, END_HEADERS, 0, headers)[:5],
            middle=headers + frame(DATA, END_STREAM, 0, framed[:FRAME_BYTES])[:5],
            message=framed,
            block=headers,
        )


@dataclass(slots=True)
class _Large:
    """A message that is still on its way out."""

    stream: int
    rest: bytes
    window_bytes: int


class GrpcConnection:
    """The client's end of a connection; see ``connection.Connection``."""

    def __init__(self) -> None:
        self.has_room = True
        self.is_closing = False
        self.errors: dict[int, str] = {}
        self._out: list[bytes] = [_HELLO]
        self._next_stream = 1
        self._numbers: dict[int, int] = {}
        """By stream, the oldest first."""
        self._most_streams = _UNLIMITED_STREAMS
        self._window_bytes = DEFAULT_WINDOW_BYTES
        self._stream_window_bytes = DEFAULT_WINDOW_BYTES
        self._large: _Large | None = None
        self._unread = b""
        self._unacknowledged_bytes = 0
        self._known_blocks: dict[bytes, int] = {}

    def ask(self, number: int, call: GrpcCall) -> None:
        stream = self._next_stream
        self._next_stream = stream + 2
        self._numbers[stream] = number
        name = stream.to_bytes(4, "big")
        size = len(call.message)
        if size <= FRAME_BYTES and size <= self._window_bytes and size <= self._stream_window_bytes:
            self._window_bytes -= size
            self._out += (call.head, name, call.middle, name, call.message)
            if len(self._numbers) >= self._most_streams:
                self.has_room = False
        else:
            self._out += (call.head, name, call.block)
            self._large = _Large(stream, call.message, self._stream_window_bytes)
            self._go_on()

    def take(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def in_flight(self) -> Iterable[int]:
        return self._numbers.values()

    def give_up(self, number: int) -> bool:
        stream = next(stream for stream, known in self._numbers.items() if known == number)
        self._out.append(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))
        self._end(stream)
        return True

    def receive(self, data: bytes) -> list[tuple[int, int]]:
        ended: list[tuple[int, int]] = []
        try:
            self._receive(self._unread + data if self._unread else data, ended)
        except Broken as error:
            raise Broken(str(error), ended) from None
        return ended

    def _receive(self, buffer: bytes, ended: list[tuple[int, int]]) -> None:
        start, length = 0, len(buffer)
        while length - start >= 9:
            word, flags, stream = _FRAME_HEAD.unpack_from(buffer, start)
            stop = start + 9 + (word >> 8)
            if stop > length:
                break
            kind = word & 0xFF
            if kind == DATA and not flags & END_STREAM:
                self._unacknowledged_bytes += stop - start - 9
            elif kind == HEADERS:
                # A block that does not end its stream says nothing that is needed, and changes no table.
                if flags & END_STREAM:
                    self._answered(stream, self._status(flags, buffer[start + 9 : stop]), ended)
            else:
                self._control(kind, flags, stream, buffer[start + 9 : stop], ended)
            start = stop
        self._unread = buffer[start:]
        if self._unacknowledged_bytes > WIDE_WINDOW_BYTES // 4:
            self._out.append(frame(WINDOW_UPDATE, 0, 0, self._unacknowledged_bytes.to_bytes(4, "big")))
            self._unacknowledged_bytes = 0

    def _answered(self, stream: int, code: int, ended: list[tuple[int, int]]) -> None:
        number = self._numbers.get(stream)
        if number is not None:
            self._end(stream)
            ended.append((number, code))

    def _end(self, stream: int) -> None:
        del self._numbers[stream]
        if self._large is not None and self._large.stream == stream:
            self._large = None
        self._look_for_room()

    def _look_for_room(self) -> None:
        self.has_room = self._large is None and not self.is_closing and len(self._numbers) < self._most_streams

    def _status(self, flags: int, block: bytes) -> int:
        code = self._known_blocks.get(block)
        if code is not None:
            return code
        plain = _PLAIN_STATUS.search(block)
        if plain is not None and int(plain[1]) in self.errors:
            return int(plain[1])
        if len(self._known_blocks) >= MOST_KNOWN_BLOCKS:
            self._known_blocks.clear()
        code = self._known_blocks[block] = self._decode(flags, block)
        return code

    def _decode(self, flags: int, block: bytes) -> int:
        if flags & PADDED:
            block = block[1 : len(block) - block[0]]
        if flags & PRIORITY:
            block = block[5:]
        if not flags & END_HEADERS:
            raise Broken("header blocks in several frames are not read here")
        try:
            fields: dict[Any, Any] = dict(hpack.Decoder().decode(block, raw=True))
        except hpack.HPACKError as error:
            raise Broken(f"a header block that cannot be read: {error}") from None
        status = fields.get(b"grpc-status", b"")
        code = int(status) if status.isdigit() else UNKNOWN
        if code:
            said = unquote(fields.get(b"grpc-message", b"").decode(errors="replace"))
            self.errors.setdefault(code, said or f"HTTP status {fields.get(b':status', b'?').decode()}")
        return code

    def _control(self, kind: int, flags: int, stream: int, payload: bytes, ended: list[tuple[int, int]]) -> None:
        match kind:
            case 0x0:  # DATA that ends its stream: an answer without trailers is none
                self.errors.setdefault(UNKNOWN, "an answer without a status")
                self._answered(stream, UNKNOWN, ended)
            case 0x3:  # RST_STREAM
                self.errors.setdefault(UNAVAILABLE, f"stream reset, error {int.from_bytes(payload, 'big')}")
                self._answered(stream, UNAVAILABLE, ended)
            case 0x4 if not flags & ACK:  # SETTINGS
                self._settings(payload)
            case 0x6 if not flags & ACK:  # PING
                self._out.append(frame(PING, ACK, 0, payload))
            case 0x7:  # GOAWAY
                self._go_away(payload, ended)
            case 0x8:  # WINDOW_UPDATE
                self._widen(stream, int.from_bytes(payload, "big"))
            case 0x9:  # CONTINUATION
                raise Broken("header blocks in several frames are not read here")

    def _settings(self, payload: bytes) -> None:
        for key, value in struct.iter_unpack(">HI", payload):
            if key == MAX_CONCURRENT_STREAMS:
                self._most_streams = value
            elif key == INITIAL_WINDOW_SIZE:
                if self._large is not None:
                    self._large.window_bytes += value - self._stream_window_bytes
                self._stream_window_bytes = value
        self._out.append(frame(SETTINGS, ACK, 0, b""))
        self._look_for_room()
        self._go_on()

    def _go_away(self, payload: bytes, ended: list[tuple[int, int]]) -> None:
        """Streams above the last that the peer will answer were not looked at (§6.8)."""
        self.is_closing, self.has_room = True, False
        last = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        for stream in [stream for stream in self._numbers if stream > last]:
            self.errors.setdefault(UNAVAILABLE, "the server is closing its connections")
            self._answered(stream, UNAVAILABLE, ended)

    def _widen(self, stream: int, more_bytes: int) -> None:
        if stream == 0:
            self._window_bytes += more_bytes
        elif self._large is not None and self._large.stream == stream:
            self._large.window_bytes += more_bytes
        self._go_on()

    def _go_on(self) -> None:
        """Sends as much of a large message as the windows take."""
        large = self._large
        while large is not None:
            size = min(len(large.rest), FRAME_BYTES, self._window_bytes, large.window_bytes)
            if size <= 0:
                break
            is_last = size == len(large.rest)
            self._out.append(frame(DATA, END_STREAM if is_last else 0, large.stream, large.rest[:size]))
            self._window_bytes -= size
            large.window_bytes -= size
            large.rest = large.rest[size:]
            if is_last:
                self._large = large = None
        self._look_for_room()
