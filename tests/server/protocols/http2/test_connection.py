"""The HTTP/2 connection against an independent client (the h2 library) and against hand-made frames."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapide.server.protocols.http2 import frames
from rapide.server.protocols.http2.connection import Http2Connection
from rapide.server.protocols.http2.events import (
    ConnectionEnded,
    DataArrived,
    Event,
    PingAnswered,
    QueueDrained,
    RequestEnded,
    RequestOpened,
    StreamGone,
)
from rapide.server.protocols.http2.faults import StreamFault
from rapide.server.protocols.http2.frames import ErrorCode
from rapide.server.protocols.http2.header_blocks import Headers, KnownHeads, encode_fields
from rapide.server.protocols.http2.limits import Http2Limits

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/inference.GRPCInferenceService/ModelInfer"),
    (":authority", "localhost"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]
HEAD = encode_fields([(b"content-type", b"application/grpc")], status=200)
TRAILERS = encode_fields([(b"grpc-status", b"0")])


def interpret(fields: Headers) -> Headers:
    if any(name != name.lower() for name, _ in fields):
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "upper-case field name")
    return fields


def server(
    limits: Http2Limits | None = None, known: KnownHeads[Headers] | None = None
) -> Http2Connection[Headers]:
    return Http2Connection(interpret, known or KnownHeads(), limits)


class Pair:
    """A real client and our server, joined by two byte strings."""

    def __init__(self, limits: Http2Limits | None = None, chunk_bytes: int = 1 << 30) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
        self.server = server(limits)
        self.chunk_bytes = chunk_bytes
        self.now_s = 0.0
        self.server_events: list[Event] = []
        self.client_events: list[h2.events.Event] = []
        self.client.initiate_connection()
        self.exchange()

    def exchange(self) -> list[Event]:
        """Carries bytes both ways until both are silent; returns what the server saw meanwhile."""
        seen: list[Event] = []
        while True:
            to_server = self.client.data_to_send()
            for start in range(0, len(to_server), self.chunk_bytes):
                seen += self.server.receive(to_server[start : start + self.chunk_bytes], self.now_s)
            to_client = self.server.take_output()
            if not to_server and not to_client:
                self.server_events += seen
                return seen
            for event in self.client.receive_data(to_client):
                self.client_events.append(event)

    def request(
        self, body: bytes = b"body", *, end: bool = True, extra: list[tuple[str, str]] | None = None
    ) -> int:
        stream_id = self.client.get_next_available_stream_id()
        self.client.send_headers(stream_id, REQUEST + (extra or []))
        self.client.send_data(stream_id, body, end_stream=end)
        return stream_id

    def answers(self, stream_id: int) -> tuple[bytes, dict[bytes, bytes]]:
        """The body and trailers that the client got on ``stream_id``."""
        body = b"".join(
            event.data
            for event in self.client_events
            if isinstance(event, h2.events.DataReceived) and event.stream_id == stream_id
        )
        trailers = next(
            (
                dict(event.headers)
                for event in self.client_events
                if isinstance(event, h2.events.TrailersReceived) and event.stream_id == stream_id
            ),
            {},
        )
        return body, trailers


def of(kind: type, events: list[Event]) -> list:
    return [event for event in events if isinstance(event, kind)]


def body_of(events: list[Event]) -> bytes:
    return b"".join(event.buffer[event.start : event.end] for event in of(DataArrived, events))


class TestConversation:
    def test_a_request_is_seen_and_answered(self) -> None:
        pair = Pair()
        stream_id = pair.request(b"question")
        events = pair.exchange()
        stream = of(RequestOpened, events)[0].stream
        assert (b":path", b"/inference.GRPCInferenceService/ModelInfer") in stream.head
        assert body_of(events) == b"question"
        assert of(DataArrived, events)[-1].ended
        pair.server.respond(stream, HEAD, b"answer", TRAILERS)
        pair.exchange()
        assert pair.answers(stream_id) == (b"answer", {b"grpc-status": b"0"})
        assert pair.server.active_streams == 0

    @pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 9, 10, 64])
    def test_the_same_however_the_bytes_are_cut(self, chunk_bytes: int) -> None:
        pair = Pair(chunk_bytes=chunk_bytes)
        stream_id = pair.request(b"q" * 300)
        events = pair.exchange()
        assert body_of(events) == b"q" * 300
        pair.server.respond(of(RequestOpened, events)[0].stream, HEAD, b"a" * 300, TRAILERS)
        pair.exchange()
        assert pair.answers(stream_id)[0] == b"a" * 300

    def test_a_large_request_streams_through_the_windows(self) -> None:
        pair = Pair(Http2Limits(stream_window_bytes=70_000, connection_window_bytes=80_000))
        stream_id = pair.client.get_next_available_stream_id()
        pair.client.send_headers(stream_id, REQUEST)
        got = b""
        left = 1_000_000
        while left:
            room = min(left, pair.client.local_flow_control_window(stream_id), pair.client.max_outbound_frame_size)
            assert room > 0, "the server gave no credit"
            pair.client.send_data(stream_id, b"x" * room, end_stream=room == left)
            left -= room
            got += body_of(pair.exchange())
        assert len(got) == 1_000_000

    def test_a_large_answer_respects_small_windows(self) -> None:
        pair = Pair()
        stream_id = pair.request()
        stream = of(RequestOpened, pair.exchange())[0].stream
        answer = bytes(range(256)) * 2000
        pair.server.respond(stream, HEAD, answer, TRAILERS)
        while pair.server.active_streams:
            pair.exchange()
            received = sum(
                event.flow_controlled_length
                for event in pair.client_events
                if isinstance(event, h2.events.DataReceived)
            )
            assert received <= 65_535 or stream.queue is not None
            pair.client.acknowledge_received_data(30_000, stream_id)
        pair.exchange()
        body, trailers = pair.answers(stream_id)
        assert body == answer
        assert trailers == {b"grpc-status": b"0"}

    def test_streams_share_a_blocked_connection_window(self) -> None:
        pair = Pair()
        ids = [pair.request() for _ in range(3)]
        streams = [event.stream for event in of(RequestOpened, pair.exchange())]
        for stream in streams:
            pair.server.respond(stream, HEAD, b"z" * 40_000, TRAILERS)
        pair.exchange()
        drained: list[Event] = []
        for _ in range(20):
            for stream_id in ids:
                if pair.server.active_streams and pair.answers(stream_id)[0]:
                    pair.client.increment_flow_control_window(20_000)
                    drained += pair.exchange()
        assert [len(pair.answers(stream_id)[0]) for stream_id in ids] == [40_000] * 3
        assert of(QueueDrained, drained), "the owner is told when a waiting answer has gone out"

    def test_a_window_made_negative_by_settings_is_waited_out(self) -> None:
        pair = Pair()
        stream_id = pair.request()
        stream = of(RequestOpened, pair.exchange())[0].stream
        pair.server.send_head(stream, HEAD)
        pair.server.send_data(stream, b"a" * 60_000)
        pair.exchange()
        pair.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
        pair.exchange()
        assert stream.send_window_bytes == 10 - 60_000
        pair.server.send_data(stream, b"b" * 10, end=True)
        pair.client.increment_flow_control_window(60_000, stream_id)
        pair.exchange()
        assert pair.answers(stream_id)[0] == b"a" * 60_000 + b"b" * 10

    def test_trailers_from_the_client_end_the_request(self) -> None:
        pair = Pair()
        stream_id = pair.request(end=False)
        pair.client.send_headers(stream_id, [("x-checksum", "1")], end_stream=True)
        assert of(RequestEnded, pair.exchange())

    def test_padding_is_dropped_and_counted_by_flow_control(self) -> None:
        pair = Pair()
        stream_id = pair.client.get_next_available_stream_id()
        pair.client.send_headers(stream_id, REQUEST)
        pair.client.send_data(stream_id, b"data", pad_length=200, end_stream=True)
        events = pair.exchange()
        assert body_of(events) == b"data"
        limits = Http2Limits()
        assert of(DataArrived, events)[0].stream.recv_window_bytes == limits.stream_window_bytes - 205

    def test_ping_both_ways(self) -> None:
        pair = Pair()
        pair.client.ping(b"12345678")
        pair.server.ping(b"abcdefgh")
        events = pair.exchange()
        assert of(PingAnswered, events) == [PingAnswered(b"abcdefgh")]
        assert any(isinstance(event, h2.events.PingAckReceived) for event in pair.client_events)

    def test_an_early_answer_tells_the_client_to_stop(self) -> None:
        pair = Pair()
        stream_id = pair.request(end=False)
        stream = of(RequestOpened, pair.exchange())[0].stream
        pair.server.send_head(stream, encode_fields([(b"grpc-status", b"3")], status=200), end=True)
        late = frames.frame(frames.DATA, 0, stream_id, b"late")
        assert not of(ConnectionEnded, pair.server.receive(late, 0.0)), "late frames are dropped, not punished"
        pair.exchange()
        resets = [event for event in pair.client_events if isinstance(event, h2.events.StreamReset)]
        assert [event.error_code for event in resets] == [ErrorCode.NO_ERROR]

    def test_goaway_lets_what_is_under_way_finish(self) -> None:
        pair = Pair()
        stream_id = pair.request()
        stream = of(RequestOpened, pair.exchange())[0].stream
        pair.server.go_away()
        pair.server.refuse_new()
        pair.server.respond(stream, HEAD, b"answer", TRAILERS)
        late = frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream_id + 2, HEAD)
        assert pair.server.receive(late, 0.0) == [], "refused in silence: GOAWAY has said so"
        to_client = pair.server.take_output()
        assert b"answer" in to_client

    def test_a_request_that_crosses_goaway_harms_no_other(self) -> None:
        """Its body and trailers are on their way too when the peer learns that nobody will answer (6.8)."""
        connection = server()
        events = connection.receive(OPENING + opened(1, 5), 0.0)
        connection.refuse_new()
        late = opened(3) + frames.frame(frames.DATA, 0, 3, b"late") + opened(3, 5) + opened(5, 5)
        assert connection.receive(late, 0.0) == []
        connection.take_output()
        connection.respond(events[0].stream, HEAD, b"answer", TRAILERS)
        assert b"answer" in connection.take_output()

    def test_goaway_never_promises_more_than_before(self) -> None:
        connection = server()
        connection.receive(OPENING + opened(1, 5), 0.0)
        connection.refuse_new()
        connection.receive(opened(3, 5), 0.0)
        connection.take_output()
        connection.go_away()
        connection.refuse_new()
        assert connection.take_output() == frames.goaway(1, ErrorCode.NO_ERROR) * 2
        connection.end(ErrorCode.INTERNAL_ERROR, "over")
        assert connection.take_output() == frames.goaway(1, ErrorCode.INTERNAL_ERROR, b"over")

    def test_a_reset_stream_is_reported_once(self) -> None:
        pair = Pair()
        stream_id = pair.request()
        stream = of(RequestOpened, pair.exchange())[0].stream
        pair.client.reset_stream(stream_id, ErrorCode.CANCEL)
        assert of(StreamGone, pair.exchange()) == [StreamGone(stream, ErrorCode.CANCEL)]
        pair.server.respond(stream, HEAD, b"nobody waits", TRAILERS)
        assert pair.server.take_output() == b""


class TestHeaderBlocks:
    def test_a_peer_without_a_table_is_answered_from_memory(self) -> None:
        known: KnownHeads[Headers] = KnownHeads()
        seen = []
        for _ in range(2):
            pair = Pair()
            pair.server = server(known=known)
            pair.client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
            pair.client.initiate_connection()
            pair.exchange()
            for _ in range(3):
                pair.request()
                seen += [event.stream.head for event in of(RequestOpened, pair.exchange())]
        assert all(head == seen[0] for head in seen)
        assert len(known.without_table.heads) == 1, (
            "one block for both connections, without the size update that the first one carries"
        )

    def test_a_peer_that_keeps_its_table_is_decoded_rightly(self) -> None:
        known: KnownHeads[Headers] = KnownHeads()
        connection = server(known=known)
        encoder = hpack.Encoder()
        connection.receive(frames.PREFACE + frames.settings({}), 0.0)
        paths = []
        for index, path in enumerate(["/a", "/b", "/a", "/b"]):
            block = encoder.encode([(":method", "POST"), (":path", path), (":scheme", "http")])
            data = frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 2 * index + 1, block)
            paths += [
                dict(event.stream.head)[b":path"] for event in of(RequestOpened, connection.receive(data, 0.0))
            ]
        assert paths == [b"/a", b"/b", b"/a", b"/b"]
        assert not {**known.anywhere.heads, **known.without_table.heads}, (
            "a block may mean something else elsewhere"
        )

    @pytest.mark.parametrize(
        ("updates", "is_taken"),
        [
            (b"\x20", True),
            (b"\x20\x3f\xe1\x1f", True),
            (b"\x3f\xe1\x1f\x20", True),
            (b"\x20" * 3, False),
            (b"\x3f\x80", False),
        ],
    )
    def test_a_block_has_at_most_two_size_updates(self, updates: bytes, is_taken: bool) -> None:
        connection = server()
        block = frames.frame(frames.HEADERS, frames.END_HEADERS, 1, updates + BLOCK)
        assert (len(of(RequestOpened, connection.receive(OPENING + block, 0.0))) == 1) == is_taken
        assert connection.ended != is_taken

    @given(
        fields=st.lists(
            st.tuples(st.from_regex(rb"[a-z][a-z0-9-]{0,40}", fullmatch=True), st.binary(max_size=300)),
            max_size=8,
        )
    )
    def test_what_we_encode_is_what_a_peer_decodes(self, fields: list[tuple[bytes, bytes]]) -> None:
        decoded = hpack.Decoder().decode(encode_fields(fields, status=204), raw=True)
        assert [(bytes(name), bytes(value)) for name, value in decoded] == [(b":status", b"204"), *fields]


OPENING = frames.PREFACE + frames.settings({})
BLOCK = encode_fields([(b":method", b"POST"), (b":path", b"/x"), (b":scheme", b"http")])


def opened(stream_id: int = 1, flags: int = frames.END_HEADERS) -> bytes:
    return frames.frame(frames.HEADERS, flags, stream_id, BLOCK)


CONNECTION_FAULTS = [
    ("garbage for a preface", b"GET / HTTP/1.1\r\n\r\n", ErrorCode.PROTOCOL_ERROR),
    ("no SETTINGS first", frames.PREFACE + frames.ping(b"12345678"), ErrorCode.PROTOCOL_ERROR),
    ("an acknowledgement first", frames.PREFACE + frames.SETTINGS_ACK, ErrorCode.PROTOCOL_ERROR),
    ("extension before SETTINGS", frames.PREFACE + frames.frame(0x77, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    ("oversize frame", OPENING + frames.frame_header(16_385, 0, 0, 1), ErrorCode.FRAME_SIZE_ERROR),
    ("DATA on an idle stream", OPENING + frames.frame(frames.DATA, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
    ("DATA on stream 0", OPENING + frames.frame(frames.DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    ("HEADERS on an even stream", OPENING + opened(2), ErrorCode.PROTOCOL_ERROR),
    ("HEADERS on stream 0", OPENING + opened(0), ErrorCode.PROTOCOL_ERROR),
    ("stream id going back", OPENING + opened(5) + opened(3), ErrorCode.STREAM_CLOSED),
    ("PUSH_PROMISE", OPENING + frames.frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\2"), ErrorCode.PROTOCOL_ERROR),
    ("CONTINUATION alone", OPENING + frames.frame(frames.CONTINUATION, 4, 1, BLOCK), ErrorCode.PROTOCOL_ERROR),
    ("DATA in a header block", OPENING + opened(1, 0) + frames.frame(0, 0, 1, b"x"), ErrorCode.PROTOCOL_ERROR),
    ("unknown in a header block", OPENING + opened(1, 0) + frames.frame(0x77, 0, 1), ErrorCode.PROTOCOL_ERROR),
    (
        "another stream's CONTINUATION",
        OPENING + opened(1, 0) + frames.frame(frames.CONTINUATION, 4, 3, b""),
        ErrorCode.PROTOCOL_ERROR,
    ),
    ("SETTINGS on a stream", OPENING + frames.frame(frames.SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
    ("SETTINGS of 5 bytes", OPENING + frames.frame(frames.SETTINGS, 0, 0, b"12345"), ErrorCode.FRAME_SIZE_ERROR),
    (
        "SETTINGS ACK with content",
        OPENING + frames.frame(frames.SETTINGS, 1, 0, b"1" * 6),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    ("window over 2^31-1", OPENING + frames.settings({4: 2**31}), ErrorCode.FLOW_CONTROL_ERROR),
    ("max frame size too small", OPENING + frames.settings({5: 100}), ErrorCode.PROTOCOL_ERROR),
    ("enable push 2", OPENING + frames.settings({2: 2}), ErrorCode.PROTOCOL_ERROR),
    ("PING of 7 bytes", OPENING + frames.frame(frames.PING, 0, 0, b"1234567"), ErrorCode.FRAME_SIZE_ERROR),
    ("PING on a stream", OPENING + frames.frame(frames.PING, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
    (
        "WINDOW_UPDATE of 3 bytes",
        OPENING + frames.frame(frames.WINDOW_UPDATE, 0, 0, b"123"),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    ("WINDOW_UPDATE of 0", OPENING + frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
    ("WINDOW_UPDATE overflow", OPENING + frames.window_update(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    ("WINDOW_UPDATE on idle", OPENING + frames.window_update(9, 1), ErrorCode.PROTOCOL_ERROR),
    ("RST_STREAM on idle", OPENING + frames.rst_stream(9, 8), ErrorCode.PROTOCOL_ERROR),
    ("RST_STREAM of 3 bytes", OPENING + opened() + frames.frame(3, 0, 1, b"123"), ErrorCode.FRAME_SIZE_ERROR),
    ("PRIORITY of 4 bytes", OPENING + frames.frame(frames.PRIORITY, 0, 1, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
    ("PRIORITY on stream 0", OPENING + frames.frame(frames.PRIORITY, 0, 0, b"12345"), ErrorCode.PROTOCOL_ERROR),
    ("GOAWAY on a stream", OPENING + frames.frame(frames.GOAWAY, 0, 1, b"1" * 8), ErrorCode.PROTOCOL_ERROR),
    ("short GOAWAY", OPENING + frames.frame(frames.GOAWAY, 0, 0, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
    ("padding over the frame", OPENING + opened() + frames.frame(0, 8, 1, b"\x05abc"), ErrorCode.PROTOCOL_ERROR),
    ("padded without a length", OPENING + opened() + frames.frame(0, 8, 1, b""), ErrorCode.FRAME_SIZE_ERROR),
    ("broken header block", OPENING + frames.frame(1, 4, 1, b"\xff\xff\xff\xff"), ErrorCode.COMPRESSION_ERROR),
    ("index outside the table", OPENING + frames.frame(1, 4, 1, b"\xfe"), ErrorCode.COMPRESSION_ERROR),
]


@pytest.mark.parametrize(
    ("data", "code"), [row[1:] for row in CONNECTION_FAULTS], ids=[r[0] for r in CONNECTION_FAULTS]
)
@pytest.mark.parametrize("how", ["whole", "byte by byte", "frame by frame"])
def test_connection_faults(data: bytes, code: ErrorCode, how: str) -> None:
    connection = server()
    events: list[Event] = []
    for piece in [data[i : i + 1] for i in range(len(data))] if how == "byte by byte" else [data]:
        events += connection.receive(piece, 0.0, 1 if how == "frame by frame" else 1000)
    while connection.is_behind:
        events += connection.receive(b"", 0.0, 1)
    assert [event.code for event in of(ConnectionEnded, events)] == [code]
    out = connection.take_output()
    last = out[out.rindex(b"\x07\x00\x00\x00\x00\x00") - 3 :]
    assert int.from_bytes(last[13:17], "big") == code, "GOAWAY carries the code and is the last frame"
    assert connection.receive(OPENING, 0.0) == []


def test_frames_wait_until_they_are_asked_for() -> None:
    connection = server()
    data = OPENING + opened(1, 5) + opened(3, 5) + opened(5)
    events = connection.receive(data + frames.frame(frames.DATA, 1, 5, b"late")[:-1], 0.0, 2)
    assert [event.stream.id for event in of(RequestOpened, events)] == [1]
    assert connection.is_behind
    assert connection.waiting_bytes == 2 * len(opened(3, 5)) + frames.HEADER_BYTES + 3
    assert connection.receive(b"e", 0.0, 0) == [], "kept, not looked at"
    events = connection.receive(b"", 0.0, 2)
    assert [event.stream.id for event in of(RequestOpened, events)] == [3, 5]
    assert connection.is_behind
    (arrived,) = of(DataArrived, connection.receive(b"", 0.0, 2))
    assert arrived.buffer[arrived.start : arrived.end] == b"late"
    assert arrived.ended
    assert not connection.is_behind
    assert connection.waiting_bytes == 0


def test_large_frames_count_for_many() -> None:
    connection = server()
    large = frames.frame(frames.DATA, 0, 1, b"x" * 16_000)
    connection.receive(OPENING + opened(1) + large * 10, 0.0, 100)
    assert 7 * len(large) <= connection.waiting_bytes <= 9 * len(large)


def test_an_end_lets_go_of_what_waits() -> None:
    connection = server()
    connection.receive(OPENING + opened(1) * 1000, 0.0, 2)
    assert connection.waiting_bytes > 10_000
    connection.end(ErrorCode.NO_ERROR, "enough")
    assert not connection.is_behind
    assert connection.waiting_bytes == 0
    assert connection.receive(b"", 0.0) == []


@pytest.mark.parametrize("block", [b"\xff" * 16_000, b"\x00\xff" * 8000, b"\x3f" + b"\xff" * 9], ids=range(3))
def test_a_broken_header_block_is_not_repeated(block: bytes) -> None:
    """The library's own text has the block in it, or the address of its memory."""
    connection = server()
    connection.take_output()
    connection.receive(OPENING + frames.frame(frames.HEADERS, frames.END_HEADERS, 1, block), 0.0)
    out = connection.take_output()
    assert len(out) < 200
    assert b"header block: HPACKDecodingError" in out


STREAM_FAULTS = [
    ("DATA after the end", opened(1, 5) + frames.frame(frames.DATA, 0, 1, b"x"), ErrorCode.STREAM_CLOSED),
    ("HEADERS after the end", opened(1, 5) + opened(1, 5), ErrorCode.STREAM_CLOSED),
    ("trailers that do not end", opened(1) + opened(1), ErrorCode.PROTOCOL_ERROR),
    ("WINDOW_UPDATE of 0", opened() + frames.window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
    ("WINDOW_UPDATE overflow", opened() + frames.window_update(1, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
]


@pytest.mark.parametrize(
    ("data", "code"), [row[1:] for row in STREAM_FAULTS], ids=[row[0] for row in STREAM_FAULTS]
)
def test_stream_faults_leave_the_others_alone(data: bytes, code: ErrorCode) -> None:
    connection = server()
    events = connection.receive(OPENING + data + opened(7, 5), 0.0)
    assert [event.code for event in of(StreamGone, events)] == [code]
    assert of(RequestOpened, events)[-1].stream.id == 7
    assert frames.rst_stream(1, code) in connection.take_output()
    assert not connection.ended


def test_data_beyond_the_stream_window_is_a_stream_fault() -> None:
    connection = server(Http2Limits(stream_window_bytes=65_535, connection_window_bytes=1 << 20))
    connection.receive(OPENING + opened(), 0.0)
    stream = connection._streams[1]
    stream.paused = True
    data = frames.frame(frames.DATA, 0, 1, b"x" * 16_000)
    events = [event for _ in range(5) for event in connection.receive(data, 0.0)]
    assert [event.code for event in of(StreamGone, events)] == [ErrorCode.FLOW_CONTROL_ERROR]


def test_a_paused_stream_gets_no_credit_until_it_resumes() -> None:
    connection = server(Http2Limits(stream_window_bytes=65_535, connection_window_bytes=1 << 20))
    connection.receive(OPENING + opened(), 0.0)
    stream = connection._streams[1]
    stream.paused = True
    connection.take_output()
    connection.receive(frames.frame(frames.DATA, 0, 1, b"x" * 16_000) * 3, 0.0)
    assert connection.take_output() == b""
    connection.resume(stream)
    assert connection.take_output() == frames.window_update(1, 48_000)


def test_a_larger_window_is_acknowledged_before_it_is_used() -> None:
    """gRPC's C-core resets a stream whose DATA uses a window that it has not seen acknowledged."""
    connection = server()
    connection.receive(OPENING + frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 5}) + opened(), 0.0)
    connection.send_data(connection._streams[1], b"x" * 25)
    connection.take_output()
    connection.receive(frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 25}), 0.0)
    assert connection.take_output() == frames.SETTINGS_ACK + frames.frame(frames.DATA, 0, 1, b"x" * 20)


def test_padding_alone_is_given_credit_back() -> None:
    connection = server(Http2Limits(stream_window_bytes=70_000))
    connection.receive(OPENING + opened(), 0.0)
    stream = connection._streams[1]
    padding = frames.frame(frames.DATA, frames.PADDED, 1, b"\xff" + b"\0" * 255)
    for _ in range(1000):
        assert connection.receive(padding, 0.0) == []
        assert stream.recv_window_bytes >= 35_000


class TestStalls:
    """Answers that wait for a window which does not come."""

    @staticmethod
    def waiting() -> tuple[Http2Connection[Headers], list]:
        connection = server()
        opening = OPENING + frames.settings({4: 10}) + opened(1, 5) + opened(3, 5)
        streams = [event.stream for event in of(RequestOpened, connection.receive(opening, 0.0))]
        for stream in streams:
            connection.respond(stream, HEAD, b"a" * 100, TRAILERS)
        connection.take_output()
        return connection, streams

    def test_only_the_one_that_does_not_move_is_ended(self) -> None:
        connection, (moving, stalled) = self.waiting()
        assert connection.reset_stalled(5.0, 60.0) == []
        for now_s in (30.0, 60.0, 65.0):
            connection.receive(frames.window_update(1, 1), now_s)
            connection.take_output()
            assert connection.reset_stalled(now_s, 60.0) == []
        assert connection.reset_stalled(66.0, 60.0) == [stalled]
        assert connection.take_output() == frames.rst_stream(3, ErrorCode.CANCEL)
        assert connection.active_streams == 1
        connection.receive(frames.window_update(1, 100), 67.0)
        assert connection.take_output().endswith(TRAILERS)
        assert not moving.sending

    def test_nothing_that_waits_is_nothing_to_end(self) -> None:
        connection, _ = self.waiting()
        connection.receive(frames.settings({4: 1000}), 0.0)
        for now_s in (0.0, 100.0):
            assert connection.reset_stalled(now_s, 60.0) == []


class TestFloods:
    """Each ends the connection with ENHANCE_YOUR_CALM after a bounded number of frames."""

    @pytest.mark.parametrize(
        "frame",
        [
            frames.ping(b"12345678"),
            frames.settings({4: 65_535}),
            frames.window_update(0, 1),
            frames.frame(frames.PRIORITY, 0, 1, b"12345"),
            frames.frame(0x77, 0, 0, b""),
            frames.frame(frames.DATA, 0, 1, b""),
        ],
        ids=["PING", "SETTINGS", "WINDOW_UPDATE", "PRIORITY", "extension", "empty DATA"],
    )
    def test_idle_frames(self, frame: bytes) -> None:
        connection = server(Http2Limits(idle_frame_burst=50, idle_frame_per_s=10, idle_frames_per_request=0))
        events = connection.receive(OPENING + opened(), 0.0)
        for _ in range(100):
            events += connection.receive(frame, 0.0)
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]

    def test_a_steady_trickle_is_no_flood(self) -> None:
        connection = server(Http2Limits(idle_frame_burst=50, idle_frame_per_s=10))
        connection.receive(OPENING, 0.0)
        for second in range(1, 100):
            connection.receive(frames.ping(b"12345678") * 10, float(second))
        assert not connection.ended

    def test_rapid_reset(self) -> None:
        connection = server(Http2Limits(reset_burst=100, reset_per_s=10))
        connection.receive(OPENING, 0.0)
        flood = b"".join(opened(i, 5) + frames.rst_stream(i, 8) for i in range(1, 1001, 2))
        events = connection.receive(flood, 0.0)
        assert len(of(RequestOpened, events)) == len(of(StreamGone, events)) == 101, "each is reported gone once"
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]

    def test_refused_streams_count_like_resets(self) -> None:
        connection = server(Http2Limits(max_concurrent_streams=10, reset_burst=100, reset_per_s=10))
        events = connection.receive(OPENING + b"".join(opened(i, 5) for i in range(1, 1001, 2)), 0.0)
        assert len(of(RequestOpened, events)) == 10
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]

    @pytest.mark.parametrize(
        "broken",
        [
            lambda number: opened(number) + frames.window_update(number, 0),
            lambda number: opened(number) + frames.window_update(number, 2**31 - 1),
            lambda number: opened(number, 5) + frames.frame(frames.DATA, 0, number, b"x"),
            lambda number: opened(number) + opened(number),
        ],
        ids=["WINDOW_UPDATE of 0", "overflow", "DATA after the end", "trailers that do not end"],
    )
    def test_streams_that_we_are_made_to_reset_count_like_resets(self, broken) -> None:
        connection = server(Http2Limits(reset_burst=100, reset_per_s=10))
        events = connection.receive(OPENING + b"".join(broken(number) for number in range(1, 1001, 2)), 0.0)
        assert len(of(RequestOpened, events)) == len(of(StreamGone, events)) == 101
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]

    def test_many_settings_in_one_frame(self) -> None:
        connection = server()
        events = connection.receive(OPENING + frames.frame(frames.SETTINGS, 0, 0, b"\0\4\0\0\1\0" * 33), 0.0)
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]

    def test_late_trailers_without_end(self) -> None:
        connection = server(Http2Limits(idle_frame_burst=50, idle_frame_per_s=10, idle_frames_per_request=0))
        events = connection.receive(OPENING + opened(), 0.0)
        connection.reset(events[0].stream, ErrorCode.CANCEL)
        events = connection.receive(opened() * 100, 0.0)
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]

    @staticmethod
    def _waiting(count: int, answer_bytes: int) -> Http2Connection[Headers]:
        """A connection with ``count`` answers that wait for a stream window of nothing."""
        connection = server()
        requests = b"".join(opened(number, 5) for number in range(1, 2 * count, 2))
        events = connection.receive(OPENING + frames.settings({4: 0}) + requests, 0.0)
        for event in of(RequestOpened, events):
            connection.respond(event.stream, HEAD, bytes(answer_bytes), TRAILERS)
        connection.receive(frames.window_update(0, 1 << 30), 0.0)
        connection.take_output()
        return connection

    def test_windows_opened_byte_by_byte_for_all_streams(self) -> None:
        """Each SETTINGS of 15 bytes would make us write a frame on every stream."""
        connection = self._waiting(1000, 100_000)
        events = []
        frames_out = 0
        for size in range(1, 500):
            events += connection.receive(frames.settings({4: size}), 0.0)
            frames_out += len(connection.take_output()) // 10
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]
        assert frames_out < 100_000

    def test_a_window_opened_byte_by_byte_for_one_stream(self) -> None:
        connection = self._waiting(1, 1 << 20)
        events = []
        for _ in range(10_000):
            events += connection.receive(frames.window_update(1, 1), 0.0)
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]

    def test_a_reader_with_usual_windows_is_no_flood(self) -> None:
        connection = self._waiting(1, 64 << 20)
        for _ in range((64 << 20) // 8192):
            assert connection.receive(frames.window_update(1, 8192), 0.0)[1:] == []
            connection.take_output()
        assert connection.active_streams == 0

    def test_continuation_flood(self) -> None:
        connection = server()
        events = connection.receive(OPENING + opened(1, 0), 0.0)
        for _ in range(100):
            events += connection.receive(frames.frame(frames.CONTINUATION, 0, 1, b""), 0.0)
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]

    def test_header_bomb(self) -> None:
        encoder = hpack.Encoder()
        bomb = encoder.encode([("x-bomb", "x" * 3000)]) + encoder.encode([("x-bomb", "x" * 3000)]) * 3000
        connection = server()
        events = connection.receive(OPENING + frames.frame(frames.HEADERS, frames.END_HEADERS, 1, bomb), 0.0)
        assert [event.code for event in of(ConnectionEnded, events)] == [ErrorCode.ENHANCE_YOUR_CALM]


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=400), opening=st.booleans(), cut=st.integers(1, 50))
def test_no_bytes_raise(data: bytes, opening: bool, cut: int) -> None:
    connection = server()
    stuff = (OPENING + opened() if opening else b"") + data
    for start in range(0, len(stuff), cut):
        connection.receive(stuff[start : start + cut], 0.0)
    connection.take_output()


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=40)), max_size=12
    ),
    cut=st.integers(1, 100),
)
def test_any_cut_of_any_frames_means_the_same(parts: list[tuple[int, int, int, bytes]], cut: int) -> None:
    data = OPENING + opened() + b"".join(frames.frame(*part) for part in parts)
    whole, pieces = server(), server()
    events = whole.receive(data, 0.0)
    cut_events = [
        event for start in range(0, len(data), cut) for event in pieces.receive(data[start : start + cut], 0.0)
    ]
    assert [type(event) for event in cut_events] == [type(event) for event in events]
    assert body_of(cut_events) == body_of(events)
    assert pieces.take_output() == whole.take_output()
