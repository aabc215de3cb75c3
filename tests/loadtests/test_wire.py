"""The generator's connections, fed by hand: whole, byte by byte, with trailing data, and with what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import hpack
import pytest

from rapide.loadtests.wire import driver
from rapide.loadtests.wire.driver import ClosedLoop
from rapide.loadtests.wire.grpc_connection import GrpcCall, GrpcConnection
from rapide.loadtests.wire.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    message_frame,
    request_headers,
)
from rapide.loadtests.wire.http_connection import HttpConnection, request_bytes
from rapide.loadtests.wire.lane import Answered, Lane, http_opener


class FakeTransport:
    """Keeps what is written."""

    def __init__(self, lane: Any) -> None:
        self.lane = lane
        self.written = b""
        lane.connection_made(self)

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.lane.connection_lost(None)

    def take(self) -> bytes:
        written, self.written = self.written, b""
        return written


def grpc_lane(message: bytes = b"request") -> tuple[Lane, FakeTransport, list[tuple[int, bool]]]:
    lane = Lane(GrpcConnection(), GrpcCall.of(request_headers("/service/Method", "host:1"), message))
    return lane, FakeTransport(lane), watch(lane)


def http_lane() -> tuple[Lane, FakeTransport, list[tuple[int, bool]]]:
    lane = Lane(HttpConnection(), b"REQUEST")
    return lane, FakeTransport(lane), watch(lane)


def watch(lane: Lane) -> list[tuple[int, bool]]:
    answers: list[tuple[int, bool]] = []
    lane.answered = lambda number, well: answers.append((number, well))
    return answers


def answer(encoder: hpack.Encoder, stream: int, status: str = "0") -> bytes:
    """Headers, one message, trailers."""
    head = encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
    trailers = encoder.encode([("grpc-status", status)])
    return (
        frame(HEADERS, END_HEADERS, stream, head)
        + frame(DATA, 0, stream, message_frame(b"answer"))
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers)
    )


def whole(lane: asyncio.Protocol, data: bytes) -> None:
    lane.data_received(data)


def byte_by_byte(lane: asyncio.Protocol, data: bytes) -> None:
    for index in range(len(data)):
        lane.data_received(data[index : index + 1])


FEEDS = pytest.mark.parametrize("feed", [whole, byte_by_byte])
Feed = Callable[[asyncio.Protocol, bytes], None]


def test_a_request_reads_back_with_a_real_decoder() -> None:
    lane, transport, _ = grpc_lane(b"hello")
    transport.take()
    lane.send(0)
    block = request_headers("/service/Method", "host:1")
    assert transport.take() == frame(HEADERS, END_HEADERS, 1, block) + frame(
        DATA, END_STREAM, 1, b"\x00\x00\x00\x00\x05hello"
    )
    fields: list[Any] = list(hpack.Decoder().decode(block))
    assert fields == [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/service/Method"),
        (":authority", "host:1"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ]


def test_the_connection_opens_with_preface_settings_and_a_wide_window() -> None:
    _, transport, _ = grpc_lane()
    assert transport.written.startswith(PREFACE + b"\x00\x00\x0c" + bytes((SETTINGS,)))
    assert transport.written[-13:-9] == frame(WINDOW_UPDATE, 0, 0, bytes(4))[:4]


@FEEDS
def test_answers_are_counted_by_their_grpc_status(feed: Feed) -> None:
    lane, _, answers = grpc_lane()
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    for number in range(4):
        lane.send(number)
    feed(lane, b"".join(answer(encoder, stream, status) for stream, status in ((3, "0"), (1, "3"), (7, "0"))))
    assert answers == [(1, True), (0, False), (3, True)]
    assert lane.in_flight == 1


def test_peers_are_asked_for_header_blocks_that_stand_for_themselves() -> None:
    """With a header table of size 0 (RFC 7541 §4.2), equal blocks are equal headers."""
    lane, transport, answers = grpc_lane()
    settings = transport.take()[len(PREFACE) :]
    assert settings[:3] == b"\x00\x00\x0c"
    assert settings[9:15] == b"\x00\x01" + bytes(4)
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    statuses = ["0", "0", "14", "14", "0", "8", "0"]
    for number in range(len(statuses)):
        lane.send(number)
    whole(lane, b"".join(answer(encoder, 2 * number + 1, status) for number, status in enumerate(statuses)))
    assert answers == [(number, status == "0") for number, status in enumerate(statuses)]


def test_a_peer_that_uses_a_table_all_the_same_is_left() -> None:
    lane, _, answers = grpc_lane()
    encoder = hpack.Encoder()
    lane.send(0)
    lane.send(1)
    lane.data_received(answer(encoder, 1) + answer(encoder, 3))
    assert answers == [(0, True), (1, False)], "the first block could still be read"


def test_the_servers_bound_on_streams_is_kept() -> None:
    lane, transport, answers = grpc_lane()
    lane.data_received(frame(SETTINGS, 0, 0, MAX_CONCURRENT_STREAMS.to_bytes(2, "big") + bytes((0, 0, 0, 2))))
    transport.take()
    for number in range(4):
        lane.send(number)
    two = len(transport.take())
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    lane.data_received(answer(encoder, 3) + answer(encoder, 1))
    assert answers == [(1, True), (0, True)]
    assert len(transport.take()) == two, "the other two went out in one write"


def test_a_large_message_goes_out_in_frames_as_the_windows_allow() -> None:
    lane, transport, _ = grpc_lane(bytes(100_000))
    lane.data_received(frame(SETTINGS, 0, 0, INITIAL_WINDOW_SIZE.to_bytes(2, "big") + (40_000).to_bytes(4, "big")))
    transport.take()
    lane.send(0)
    lane.send(1)
    sent = transport.take()
    assert data_bytes(sent) == [(1, 16_384), (1, 16_384), (1, 7_232)], "a stream's window is 40,000 bytes"
    lane.data_received(frame(WINDOW_UPDATE, 0, 1, (60_005).to_bytes(4, "big")))
    assert sum(size for _, size in data_bytes(transport.take())) == 65_535 - 40_000, "the connection's is 65,535"
    lane.data_received(frame(WINDOW_UPDATE, 0, 0, (60_000).to_bytes(4, "big")))
    rest = data_bytes(transport.take())
    assert sum(size for stream, size in rest if stream == 1) == 100_005 - 65_535
    assert rest[-1][0] == 3, "then the next one begins"


def data_bytes(sent: bytes) -> list[tuple[int, int]]:
    """Streams and sizes of the DATA frames in ``sent``."""
    found = []
    while sent:
        size = int.from_bytes(sent[:3], "big")
        if sent[3] == DATA:
            found.append((int.from_bytes(sent[5:9], "big"), size))
        sent = sent[9 + size :]
    return found


def test_padding_and_priority_are_taken_off() -> None:
    lane, _, answers = grpc_lane()
    lane.send(0)
    block = hpack.Encoder().encode([(":status", "200"), ("grpc-status", "0")])
    padded = b"\x03" + bytes(5) + block + bytes(3)
    lane.data_received(frame(HEADERS, END_HEADERS | END_STREAM | PADDED | PRIORITY, 1, padded))
    assert answers == [(0, True)]


def test_pings_and_settings_are_acknowledged() -> None:
    lane, transport, _ = grpc_lane()
    transport.take()
    lane.data_received(frame(SETTINGS, 0, 0, b"") + frame(PING, 0, 0, b"12345678") + frame(SETTINGS, ACK, 0, b""))
    assert transport.take() == frame(SETTINGS, ACK, 0, b"") + frame(PING, ACK, 0, b"12345678")


def test_requests_wait_for_the_servers_window() -> None:
    lane, transport, answers = grpc_lane(bytes(15_000))
    transport.take()
    for number in range(6):
        lane.send(number)
    sent = data_bytes(transport.take())
    assert [stream for stream, _ in sent] == [1, 3, 5, 7, 9], "four messages of 15 kB fit, and a part of a fifth"
    assert sum(size for _, size in sent) == 65_535
    lane.data_received(frame(WINDOW_UPDATE, 0, 0, (30_000).to_bytes(4, "big")))
    assert [stream for stream, _ in data_bytes(transport.take())] == [9, 11]
    assert answers == []


def test_a_reset_stream_has_failed() -> None:
    lane, _, answers = grpc_lane()
    lane.send(0)
    lane.data_received(frame(RST_STREAM, 0, 1, bytes(4)))
    assert answers == [(0, False)]


@pytest.mark.parametrize("ending", ["closed by us", "goaway"])
def test_what_is_in_flight_fails_with_its_connection(ending: str) -> None:
    lane, _, answers = grpc_lane(bytes(60_000))
    lane.send(0)
    lane.send(1)  # held back by the window
    if ending == "goaway":
        lane.data_received(frame(GOAWAY, 0, 0, bytes(8)))  # nothing of it was looked at
    else:
        lane.close()
    assert answers == [(0, False), (1, False)]
    lane.send(2)
    assert answers[-1] == (2, False), "a closed lane answers at once"
    assert lane.in_flight == 0


def test_long_header_values_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="too long"):
        request_headers("/" + "x" * 200, "host:1")


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
BUSY = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"


@FEEDS
def test_http_requests_take_turns(feed: Feed) -> None:
    lane, transport, answers = http_lane()
    for number in range(3):
        lane.send(number)
    assert transport.take() == b"REQUEST"
    feed(lane, OK)
    assert transport.take() == b"REQUEST"
    feed(lane, BUSY)
    feed(lane, CHUNKED)
    assert answers == [(0, True), (1, False), (2, True)]
    assert lane.in_flight == 0


def test_http_sends_the_next_request_once_from_its_callback() -> None:
    lane, transport, _ = http_lane()
    lane.answered = lambda number, _well: lane.send(number + 1)
    lane.send(0)
    transport.take()
    lane.data_received(OK)
    assert transport.take() == b"REQUEST"


def test_http_requests_fail_with_their_connection() -> None:
    lane, _, answers = http_lane()
    lane.send(0)
    lane.send(1)
    lane.close()
    lane.send(2)
    assert answers == [(0, False), (1, False), (2, False)]


def test_an_http_request_is_complete() -> None:
    assert request_bytes("h", 1, "/p", {"a": "b"}, b"body") == (
        b"POST /p HTTP/1.1\r\nhost: h:1\r\ncontent-length: 4\r\na: b\r\n\r\nbody"
    )


class FakeLane:
    """Answers when told to."""

    def __init__(self) -> None:
        self.answered: Answered = lambda _number, _well: None
        self.in_flight = 0
        self.sent: list[int] = []

    def send(self, number: int) -> None:
        self.in_flight += 1
        self.sent.append(number)

    def answer(self, well: bool = True) -> None:
        self.in_flight -= 1
        self.answered(self.sent.pop(0), well)

    def close(self) -> None:
        while self.sent:
            self.answer(well=False)


def test_a_closed_loop_keeps_its_depth() -> None:
    lanes = [FakeLane(), FakeLane()]
    loop = ClosedLoop(lanes, depth=3)
    loop.start()
    for _ in range(5):
        lanes[0].answer()
    assert [lane.in_flight for lane in lanes] == [3, 3]
    assert len(loop.times_s) == 5
    loop.forget()
    lanes[1].answer()
    assert len(loop.times_s) == 1
    loop.stop()
    lanes[0].answer()
    assert len(loop.times_s) == 1, "nothing counts after the end"
    assert lanes[0].in_flight == 2


async def test_real_sockets_end_to_end() -> None:
    """A closed loop over HTTP against a server of a few lines."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"body"):
            writer.write(OK)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    opener = http_opener("127.0.0.1", port, "/", {}, b"body")
    async with server:
        closed = await driver.closed_loop(opener, lanes=2, depth=1, warm_up_s=0.02, duration_s=0.1)
    assert closed.requests > 10
    assert closed.failures == 0
    assert closed.mean_us > 0
    assert closed.requests_per_s == pytest.approx(closed.requests / closed.duration_s)


def test_refusals_that_all_differ_are_read_once_and_then_by_their_status_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = GrpcConnection()
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    call = GrpcCall.of(request_headers("/service/Method", "host:1"), b"request")
    answers = []
    for number in range(50):
        connection.ask(number, call)
        fields = [(":status", "200"), ("grpc-status", "8"), ("grpc-message", "full%21"), ("id", str(number))]
        block = encoder.encode(fields, huffman=False)
        if number == 1:
            monkeypatch.setattr(hpack, "Decoder", None)
        answers += connection.receive(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, block))
    assert answers == [(number, 8) for number in range(50)]
    assert connection.errors == {8: "full!"}
