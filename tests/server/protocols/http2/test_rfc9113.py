"""What RFC 9113 and RFC 7541 say that a server must take, and must not: one row for each rule, with its section.

The connection reads heads as the gRPC lane does, since the rules of section 8 are about fields. A row's frames
come after a good opening; then the connection must have ended, or the stream, or nothing at all, with one of the
codes that the section allows. To end the connection is right, too, where the RFC asks for the stream's end (5.4.1:
"an endpoint MAY choose to treat a stream error as a connection error"); the rows of which that is used have
Where.EITHER.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

from rapide.server.protocols.grpc_lane.head import CallHead, interpret_head
from rapide.server.protocols.http2 import frames
from rapide.server.protocols.http2.connection import Http2Connection
from rapide.server.protocols.http2.events import (
    ConnectionEnded,
    DataArrived,
    Event,
    RequestEnded,
    RequestOpened,
    StreamGone,
)
from rapide.server.protocols.http2.frames import ErrorCode, frame
from rapide.server.protocols.http2.header_blocks import KnownHeads, encode_fields
from rapide.server.protocols.http2.limits import Http2Limits

OPENING = frames.PREFACE + frames.settings({})
FIELDS = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x"), (b":authority", b"localhost")]
BLOCK = encode_fields([*FIELDS, (b"content-type", b"application/grpc")])
END, WHOLE, LAST = frames.END_STREAM, frames.END_HEADERS, frames.END_HEADERS | frames.END_STREAM
PADDED, PRIORITY = frames.PADDED, frames.PRIORITY_FLAG

PROTOCOL, SIZE, FLOW = ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR, ErrorCode.FLOW_CONTROL_ERROR
CLOSED, COMPRESSION, REFUSED = ErrorCode.STREAM_CLOSED, ErrorCode.COMPRESSION_ERROR, ErrorCode.REFUSED_STREAM


class Where(enum.Enum):
    """What must have ended."""

    CONNECTION = enum.auto()
    STREAM = enum.auto()
    EITHER = enum.auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """Frames that must not be taken, and the codes of which one is the answer."""

    section: str
    what: str
    sent: bytes
    where: Where
    codes: tuple[ErrorCode, ...]


def headers(stream_id: int = 1, flags: int = WHOLE, block: bytes = BLOCK) -> bytes:
    return frame(frames.HEADERS, flags, stream_id, block)


def data(stream_id: int = 1, flags: int = 0, payload: bytes = b"data") -> bytes:
    return frame(frames.DATA, flags, stream_id, payload)


def continuation(stream_id: int = 1, flags: int = WHOLE, block: bytes = b"") -> bytes:
    return frame(frames.CONTINUATION, flags, stream_id, block)


def fields(*more: tuple[bytes, bytes], without: bytes = b"") -> bytes:
    """HEADERS of the usual fields without one, and with others."""
    kept = [(name, value) for name, value in FIELDS if name != without]
    return headers(block=encode_fields([*kept, *more]))


def trailers(*said: tuple[bytes, bytes]) -> bytes:
    """A request's, after its HEADERS and DATA."""
    return headers() + data() + headers(1, LAST, encode_fields(said))


def _ends() -> Iterator[Rule]:
    """Rules whose breach ends the connection, the stream, or, where the RFC leaves the choice, either."""
    connection, stream, either = Where.CONNECTION, Where.STREAM, Where.EITHER
    yield Rule("4.2", "DATA above the frame size", data(payload=bytes(16_385)), connection, (SIZE,))
    yield Rule("4.2", "HEADERS above the frame size", headers(block=bytes(16_385)), connection, (SIZE,))
    yield Rule("4.2", "HEADERS too short for priority", headers(1, WHOLE | PRIORITY, b"123"), either, (SIZE,))
    yield Rule("4.2", "HEADERS too short for padding", headers(1, WHOLE | PADDED, b""), either, (SIZE,))
    yield Rule("4.3", "a block that is none", headers(block=b"\x40"), connection, (COMPRESSION,))
    yield Rule(
        "4.3",
        "PRIORITY within a block",
        headers(1, 0) + frame(frames.PRIORITY, 0, 1, b"12345") + continuation(),
        connection,
        (PROTOCOL,),
    )
    yield Rule("4.3", "HEADERS within a block", headers(1, 0) + headers(3), connection, (PROTOCOL,))
    yield from _of_states()
    yield from _of_frames()
    yield from _of_settings()
    yield from _of_messages()
    yield from _of_compression()
    yield Rule("5.1.2", "a stream too many", headers(1) + headers(3) + headers(5), stream, (REFUSED, PROTOCOL))
    yield Rule("5.5", "extension within a block", headers(1, 0) + frame(0x77, 0, 1), connection, (PROTOCOL,))


def _of_states() -> Iterator[Rule]:
    """5.1: what may come on a stream that is idle, half-closed or closed."""
    connection, either = Where.CONNECTION, Where.EITHER
    for what, sent in (
        ("DATA", data()),
        ("RST_STREAM", frames.rst_stream(1, 8)),
        ("WINDOW_UPDATE", frames.window_update(1, 1)),
        ("CONTINUATION", continuation()),
    ):
        yield Rule("5.1 idle", what, sent, connection, (PROTOCOL,))
    asked = headers(1, LAST)
    for what, sent, codes in (
        ("DATA", data(), (CLOSED,)),
        ("HEADERS", headers(1, LAST), (CLOSED,)),
        ("CONTINUATION", continuation(), (CLOSED, PROTOCOL)),
    ):
        yield Rule("5.1 half-closed", what, asked + sent, either, codes)
        yield Rule("5.1 reset", what, headers() + frames.rst_stream(1, 8) + sent, either, codes)
    yield Rule("5.1.1", "an even stream", headers(2), connection, (PROTOCOL,))
    yield Rule("5.1.1", "an even stream below others", headers(5) + headers(2), connection, (PROTOCOL,))
    # A stream that was skipped is closed (5.1.1). Which were skipped is not remembered: both codes have a reason.
    yield Rule("5.1.1", "a stream that was skipped", headers(5) + headers(3), connection, (PROTOCOL, CLOSED))


def _of_frames() -> Iterator[Rule]:
    """Section 6, but for SETTINGS."""
    connection, stream, either = Where.CONNECTION, Where.STREAM, Where.EITHER
    high = frames.window_update(0, 2**31 - 1)
    for section, what, sent, where, code in (
        ("6.1", "DATA on stream 0", data(0), connection, PROTOCOL),
        ("6.1", "padding longer than DATA", headers() + data(1, PADDED, b"\x05data"), connection, PROTOCOL),
        ("6.2", "HEADERS on stream 0", headers(0), connection, PROTOCOL),
        ("6.2", "padding longer than HEADERS", headers(1, WHOLE | PADDED, b"\xff" + BLOCK), connection, PROTOCOL),
        ("6.3", "PRIORITY on stream 0", frame(frames.PRIORITY, 0, 0, b"12345"), connection, PROTOCOL),
        ("6.3", "PRIORITY of 4 octets", headers() + frame(frames.PRIORITY, 0, 1, b"1234"), either, SIZE),
        ("6.4", "RST_STREAM on stream 0", frames.rst_stream(0, 8), connection, PROTOCOL),
        ("6.4", "RST_STREAM of 3 octets", headers() + frame(frames.RST_STREAM, 0, 1, b"123"), connection, SIZE),
        ("6.6", "PUSH_PROMISE", frame(frames.PUSH_PROMISE, WHOLE, 1, bytes(4)), connection, PROTOCOL),
        ("6.7", "PING on a stream", frame(frames.PING, 0, 1, bytes(8)), connection, PROTOCOL),
        ("6.7", "PING of 6 octets", frame(frames.PING, 0, 0, bytes(6)), connection, SIZE),
        ("6.8", "GOAWAY on a stream", frame(frames.GOAWAY, 0, 1, bytes(8)), connection, PROTOCOL),
        ("6.9", "WINDOW_UPDATE of 0", frames.window_update(0, 0), connection, PROTOCOL),
        ("6.9", "WINDOW_UPDATE of 0 on a stream", headers() + frames.window_update(1, 0), stream, PROTOCOL),
        ("6.9", "WINDOW_UPDATE of 3 octets", frame(frames.WINDOW_UPDATE, 0, 0, b"123"), connection, SIZE),
        ("6.9.1", "a window of 2^31", high, connection, FLOW),
        ("6.9.1", "a stream's window of 2^31", headers() + frames.window_update(1, 2**31 - 1), stream, FLOW),
        ("6.10", "CONTINUATION on stream 0", headers(1, 0) + continuation(0), connection, PROTOCOL),
        ("6.10", "CONTINUATION after END_HEADERS", headers() + continuation(), connection, PROTOCOL),
        ("6.10", "CONTINUATION after DATA", headers() + data() + continuation(), connection, PROTOCOL),
        (
            "6.10",
            "CONTINUATION after CONTINUATION's END_HEADERS",
            headers(1, 0) + continuation() + continuation(),
            connection,
            PROTOCOL,
        ),
    ):
        yield Rule(section, what, sent, where, (code,))


def _of_settings() -> Iterator[Rule]:
    """6.5."""
    for what, sent, code in (
        ("an acknowledgement with content", frame(frames.SETTINGS, frames.ACK, 0, bytes(6)), SIZE),
        ("on a stream", frame(frames.SETTINGS, 0, 1), PROTOCOL),
        ("of 5 octets", frame(frames.SETTINGS, 0, 0, bytes(5)), SIZE),
        ("ENABLE_PUSH 2", frames.settings({2: 2}), PROTOCOL),
        ("INITIAL_WINDOW_SIZE 2^31", frames.settings({4: 2**31}), FLOW),
        ("MAX_FRAME_SIZE 2^14 - 1", frames.settings({5: 2**14 - 1}), PROTOCOL),
        ("MAX_FRAME_SIZE 2^24", frames.settings({5: 2**24}), PROTOCOL),
        (
            "INITIAL_WINDOW_SIZE over a window that was opened",
            headers() + frames.window_update(1, 2**30) + frames.settings({4: 2**31 - 1}),
            FLOW,
        ),
    ):
        yield Rule("6.5", f"SETTINGS {what}", sent, Where.CONNECTION, (code,))


def _of_messages() -> Iterator[Rule]:
    """Section 8: requests that are malformed."""
    for section, what, sent in (
        ("8.1", "a second HEADERS that does not end", headers() + headers()),
        ("8.1", "pseudo fields in trailers", trailers((b":path", b"/y"))),
        ("8.2.1", "upper case", fields((b"X-Test", b"ok"))),
        ("8.2.1", "upper case in trailers", trailers((b"X-Test", b"ok"))),
        ("8.2.1", "a line feed in a value", fields((b"x-test", b"a\nb"))),
        ("8.2.1", "a line feed in trailers", trailers((b"x-test", b"a\nb"))),
        ("8.2.1", "a colon within a name", fields((b"x:test", b"ok"))),
        ("8.2.1", "no name", fields((b"", b"ok"))),
        ("8.2.2", "connection", fields((b"connection", b"keep-alive"))),
        ("8.2.2", "transfer-encoding", fields((b"transfer-encoding", b"chunked"))),
        ("8.2.2", "te other than trailers", fields((b"te", b"trailers, deflate;q=0.5"))),
        ("8.3", "an unknown pseudo field", fields((b":test", b"ok"))),
        ("8.3", "a response's pseudo field", fields((b":status", b"200"))),
        (
            "8.3",
            "a pseudo field after a regular one",
            fields((b"x-test", b"ok"), (b":path", b"/y"), without=b":path"),
        ),
        ("8.3.1", "no :method", fields(without=b":method")),
        ("8.3.1", "no :scheme", fields(without=b":scheme")),
        ("8.3.1", "no :path", fields(without=b":path")),
        ("8.3.1", "an empty :path", fields((b":path", b""), without=b":path")),
        ("8.3.1", ":path twice", fields((b":path", b"/y"))),
        ("8.3.1", ":method twice", fields((b":method", b"GET"))),
    ):
        yield Rule(section, what, sent, Where.STREAM, (PROTOCOL,))


def _of_compression() -> Iterator[Rule]:
    """RFC 7541."""
    for section, what, block in (
        ("2.3.3", "an index beyond the tables", BLOCK + b"\xff\x00"),
        ("4.2", "a size update at the end", BLOCK + b"\x20"),
        ("5.1", "an integer without end", BLOCK + b"\xff" + b"\xff" * 20),
        ("5.2", "a string longer than the block", BLOCK + b"\x00\x05ab"),
        ("5.2", "Huffman padding of a whole octet", BLOCK + b"\x00\x01a\x84\x49\x50\x9f\xff"),
        ("5.2", "Huffman padding of zeros", BLOCK + b"\x00\x01a\x83\x49\x50\x90"),
        ("5.2", "Huffman's EOS", BLOCK + b"\x00\x01a\x84\xff\xff\xff\xff"),
        ("6.1", "index 0", BLOCK + b"\x80"),
        ("6.3", "a size update above the limit", b"\x3f\xe1\x7f" + BLOCK),
    ):
        yield Rule(f"RFC 7541, {section}", what, headers(block=block), Where.CONNECTION, (COMPRESSION,))


RULES = list(_ends())
Kind = TypeVar("Kind")
LIMITS = Http2Limits(max_concurrent_streams=2, stream_window_bytes=65_535, connection_window_bytes=65_535)


def opened() -> Http2Connection[CallHead]:
    connection = Http2Connection(interpret_head, KnownHeads(), LIMITS)
    connection.receive(OPENING, 0.0)
    connection.take_output()
    return connection


def of(kind: type[Kind], events: list[Event]) -> list[Kind]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.section}: {rule.what}")
def test_what_must_not_be_taken(rule: Rule) -> None:
    connection = opened()
    events = connection.receive(rule.sent, 0.0)
    out = connection.take_output()
    if rule.where is Where.STREAM or (rule.where is Where.EITHER and not connection.ended):
        reset = [frames.rst_stream(stream_id, code) for stream_id in (1, 3, 5) for code in rule.codes]
        assert any(one in out for one in reset), out
        assert not connection.ended, "the others go on"
        connection.receive(frames.ping(b"goes on?"), 0.0)
        assert frames.ping_ack(b"goes on?") in connection.take_output()
    else:
        (ended,) = of(ConnectionEnded, events)
        assert ended.code in rule.codes
        assert out[out.rindex(ended.reason.encode()) - 8 - 6] == frames.GOAWAY, "GOAWAY is the last frame"


@dataclass(frozen=True, slots=True)
class Taken:
    """Frames that must be taken; ``ended`` requests and ``octets`` of DATA are what they mean."""

    section: str
    what: str
    sent: bytes
    ended: int = 0
    octets: int = 0


RESET = headers(1, LAST) + frames.rst_stream(1, 8)
HUFFMAN = b"\x82\x86\x44\x84\x60\xd5\x48\x5f" + b"\x41\x86\xa0\xe4\x1d\x13\x9d\x09"
TAKEN = [
    Taken("4.1", "unknown type", frame(0x77, 0xFF, 0, b"extension") + headers(1, LAST), 1),
    Taken("4.1", "unknown flags", headers(1, LAST | 0xD2 & ~PRIORITY & ~PADDED), 1),
    Taken("4.1", "the reserved bit", frame(frames.HEADERS, LAST, 0x8000_0001, BLOCK), 1),
    Taken("4.2", "DATA of 2^14 octets", headers() + data(1, END, bytes(16_384)), 1, 16_384),
    Taken("5.1 idle", "PRIORITY", frame(frames.PRIORITY, 0, 9, b"\0\0\0\1\x10") + headers(1, LAST), 1),
    Taken("5.1 half-closed", "WINDOW_UPDATE", headers(1, LAST) + frames.window_update(1, 9), 1),
    Taken("5.1 half-closed", "PRIORITY", headers(1, LAST) + frame(frames.PRIORITY, 0, 1, b"\0\0\0\0\x10"), 1),
    Taken("5.1 half-closed", "RST_STREAM", RESET, 1),
    Taken("5.1 closed", "PRIORITY", RESET + frame(2, 0, 1, bytes(5)), 1),
    Taken(
        "5.1 closed", "WINDOW_UPDATE", headers(1, LAST) + frames.rst_stream(1, 8) + frames.window_update(1, 9), 1
    ),
    Taken("5.1 closed", "RST_STREAM", RESET + frames.rst_stream(1, 8), 1),
    Taken("5.1.1", "streams that are skipped", headers(9, LAST) + headers(77, LAST), 2),
    Taken(
        "5.3.2",
        "PRIORITY on itself, deprecated",
        frame(frames.PRIORITY, 0, 1, b"\0\0\0\1\0") + headers(1, LAST),
        1,
    ),
    Taken("6.1", "DATA in pieces", headers() + data() * 3 + data(1, END), 1, 16),
    Taken("6.1", "DATA with padding", headers() + data(1, END | PADDED, b"\3data\0\0\0"), 1, 4),
    Taken("6.1", "DATA of nothing but padding", headers() + data(1, END | PADDED, b"\3\0\0\0"), 1, 0),
    Taken("6.2", "HEADERS with padding", headers(1, LAST | PADDED, b"\2" + BLOCK + b"\0\0"), 1),
    Taken("6.2", "HEADERS with priority", headers(1, LAST | PRIORITY, b"\x80\0\0\0\xff" + BLOCK), 1),
    Taken("6.2", "both", headers(1, LAST | PRIORITY | PADDED, b"\1\0\0\0\0\xff" + BLOCK + b"\0"), 1),
    Taken("6.5.2", "an unknown setting", frames.settings({0xAAAA: 1, 4: 100, 5: 20_000}) + headers(1, LAST), 1),
    Taken("6.7", "an answered PING", frame(frames.PING, frames.ACK, 0, bytes(8)) + headers(1, LAST), 1),
    Taken("6.8", "GOAWAY, and what was asked before", headers() + frames.goaway(0, 0) + data(1, END), 1, 4),
    Taken(
        "6.9", "WINDOW_UPDATE", frames.window_update(0, 1000) + headers(1, LAST) + frames.window_update(1, 9), 1
    ),
    Taken("6.10", "CONTINUATION", headers(1, END, BLOCK[:9]) + continuation(1, WHOLE, BLOCK[9:]), 1),
    Taken(
        "6.10",
        "CONTINUATION in pieces, one empty",
        headers(1, END, b"") + continuation(1, 0, BLOCK[:9]) + continuation(1, 0) + continuation(1, 4, BLOCK[9:]),
        1,
    ),
    Taken("7", "unknown codes", headers(1, LAST) + frames.rst_stream(1, 0xFF) + frames.goaway(0, 0xFF), 1),
    Taken("8.1", "trailers", trailers((b"x-test", b"ok")), 1, 4),
    Taken("8.3.1", "another method", headers(1, LAST, encode_fields([(b":method", b"HEAD"), *FIELDS[1:]])), 1),
    Taken("RFC 7541, 4.2", "two size updates", headers(1, LAST, b"\x20\x3f\x9f\x01" + BLOCK), 1),
    Taken("RFC 7541, 5.2", "Huffman", headers(1, LAST, HUFFMAN), 1),
    Taken("RFC 7541, 6.2.1", "with indexing, then by index", headers(1, LAST, BLOCK + b"\x40\1a\1b\xbe"), 1),
    Taken("RFC 7541, 6.2.3", "never indexed", headers(1, LAST, BLOCK + b"\x10\1a\1b"), 1),
]


@pytest.mark.parametrize("taken", TAKEN, ids=lambda taken: f"{taken.section}: {taken.what}")
@pytest.mark.parametrize(
    ("cut", "most"), [(1, 1000), (1 << 20, 1000), (1 << 20, 1)], ids=["octet by octet", "whole", "frame by frame"]
)
def test_what_must_be_taken(taken: Taken, cut: int, most: int) -> None:
    connection = opened()
    sent = taken.sent + frames.ping(b"conforms")
    pieces = [sent[start : start + cut] for start in range(0, len(sent), cut)]
    events = [event for piece in pieces for event in connection.receive(piece, 0.0, most)]
    while connection.is_behind:
        events += connection.receive(b"", 0.0, 1)
    assert not connection.ended
    assert not [event for event in of(ConnectionEnded, events) if event.code]
    arrived = of(DataArrived, events)
    ends = [*of(RequestOpened, events), *arrived]
    assert sum(event.ended for event in ends) + len(of(RequestEnded, events)) == taken.ended
    assert sum(event.end - event.start for event in arrived) == taken.octets
    out = connection.take_output()
    assert frames.ping_ack(b"conforms") in out
    assert b"\0\0\4\3\0" not in out, "a stream was reset"


def test_settings_are_acknowledged_at_once() -> None:
    """6.5.3, and 6.9.2: the windows of open streams change with them, to below zero."""
    connection = opened()
    (asked,) = of(RequestOpened, connection.receive(frames.settings({4: 3}) + headers(1, LAST), 0.0))
    assert connection.take_output() == frames.SETTINGS_ACK
    head, body = encode_fields([], status=200), b"answer"
    connection.send_head(asked.stream, head)
    connection.send_data(asked.stream, body, end=True)
    assert connection.take_output() == headers(1, WHOLE, head) + data(1, 0, b"ans")
    connection.receive(frames.settings({4: 1}) + frames.window_update(1, 2), 0.0)
    assert connection.take_output() == frames.SETTINGS_ACK, "3 were sent, 1 + 2 allowed: nothing is left"
    connection.receive(frames.window_update(1, 1), 0.0)
    assert connection.take_output() == data(1, 0, b"w")
    connection.receive(frames.settings({4: 100}), 0.0)
    assert connection.take_output() == frames.SETTINGS_ACK + data(1, END, b"er")
    assert not of(StreamGone, connection.receive(frames.ping(b"conforms"), 0.0))
