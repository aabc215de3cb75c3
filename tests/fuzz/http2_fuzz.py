"""The HTTP/2 connection under scripts of frames and acts: its invariants hold after every step.

    python -m tests.fuzz.http2_fuzz --seconds 3600          (more ways to run it: campaign.py)

What is checked, beside that nothing raises: an account of all windows kept from outside, frame by frame; the
module's own invariants (which streams are known, which wait, GOAWAY last); the order of frames on each stream, and
that each DATA is what was queued; the order of events; bounds on what is kept; and that the same bytes mean the
same however they are cut, and however few frames are looked at at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from random import Random
from typing import Any
from zlib import crc32

from rapide.server.protocols.http2 import frames
from rapide.server.protocols.http2.connection import ALL_FRAMES, Http2Connection
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
from rapide.server.protocols.http2.header_blocks import Headers, KnownBlocks, KnownHeads, encode_fields
from rapide.server.protocols.http2.limits import Http2Limits
from rapide.server.protocols.http2.stream import Stream
from tests.fuzz.campaign import Target, main
from tests.fuzz.http2_script import Act, Client, Performed, act, script, steps

SMALL = Http2Limits(
    max_concurrent_streams=6,
    max_header_list_bytes=4000,
    max_continuations=4,
    stream_window_bytes=70_000,
    connection_window_bytes=100_000,
    reset_burst=10,
    reset_per_s=1.0,
    idle_frame_burst=60,
    idle_frame_per_s=10.0,
)
LIMITS = (SMALL, Http2Limits())
HEAD = encode_fields([(b"content-type", b"application/grpc")], status=200)
TRAILERS = encode_fields([(b"grpc-status", b"0")])
BLOCK = encode_fields([(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/x")])
MALFORMED = encode_fields([(b"Upper", b"case")])
_CUTS = (1, 2, 9, 61, 997, 4096, 1 << 16)
_MAX_PIECES = 600
_PATTERN = bytes(range(251)) * 2000


def interpret(fields: Headers) -> Headers:
    if any(name != name.lower() for name, _ in fields):
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "upper-case field name")
    return fields


def answer_bytes(start: int, size: int) -> bytes:
    """What stands at ``start`` of every answer."""
    return _PATTERN[start % 251 :][:size]


def frames_of(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, stream and payload of each whole frame in ``data``."""
    position = 0
    while position + frames.HEADER_BYTES <= len(data):
        high, low, kind, flags, stream_id = frames.FRAME_HEADER.unpack_from(data, position)
        start = position + frames.HEADER_BYTES
        position = start + (high << 8 | low)
        if position > len(data):
            return
        yield kind, flags, stream_id & 0x7FFF_FFFF, data[start:position]


class Sent:
    """What the server has sent on one stream."""

    __slots__ = ("data_bytes", "is_ended", "is_headed", "is_reset")

    def __init__(self) -> None:
        self.data_bytes = 0
        self.is_headed = self.is_ended = self.is_reset = False


class Audit:
    """Accounts of one connection, kept from outside by reading both sides' frames."""

    def __init__(self, connection: Http2Connection[Headers], limits: Http2Limits) -> None:
        self.connection = connection
        self.limits = limits
        self._came = b""
        self._is_prefaced = False
        # the peer's side of flow control, and ours
        self._granted = {0: frames.DEFAULT_WINDOW_BYTES}
        self._peer_window_bytes = frames.DEFAULT_WINDOW_BYTES
        self._received: dict[int, int] = {0: 0}
        self._credited: dict[int, int] = {0: frames.DEFAULT_WINDOW_BYTES}
        # what was sent
        self._sent: dict[int, Sent] = {}
        self._sent_bytes = 0
        self._last_promised = 2**31 - 1
        self._frame_bytes = frames.MIN_MAX_FRAME_BYTES
        self._is_over = False
        self.queued: dict[int, int] = {}
        # what was told
        self._last_opened = 0
        self._told_end: set[int] = set()

    def came(self, data: bytes) -> None:
        """The peer's bytes, after the connection has read them."""
        connection = self.connection
        self._came += data
        whole = self._came[: len(self._came) - len(connection._rest)]
        if connection.ended:  # where in the bytes, only the connection knows
            self._frame_bytes = max(self._frame_bytes, connection._peer_frame_bytes)
            return
        if not self._is_prefaced:
            if not connection._preface_seen:
                return
            self._is_prefaced = True
            whole = whole[len(frames.PREFACE) :]
        for frame in frames_of(whole):
            self._came_frame(*frame)
        self._came = connection._rest

    def _came_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if kind == frames.WINDOW_UPDATE:
            increment = int.from_bytes(payload, "big") & 0x7FFF_FFFF
            self._granted[stream_id] = self._granted.get(stream_id, 0) + increment
        elif kind == frames.DATA:
            for account in {0, stream_id}:
                self._received[account] = self._received.get(account, 0) + len(payload)
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            for key, value in frames.parse_settings(payload):
                if key == frames.SETTINGS_INITIAL_WINDOW_SIZE:
                    self._peer_window_bytes = value
                if key == frames.SETTINGS_MAX_FRAME_SIZE:
                    self._frame_bytes = max(self._frame_bytes, value)

    def told(self, events: list[Event], finished: set[int]) -> None:
        """Events, and the streams that were finished before."""
        for event in events:
            match event:
                case RequestOpened(stream=stream):
                    assert stream.id > self._last_opened
                    self._last_opened = stream.id
                    assert not event.ended or not stream.receiving
                    if event.ended:
                        self._told_end.add(stream.id)
                case DataArrived() | RequestEnded():
                    number = event.stream.id
                    assert number not in self._told_end | finished
                    if isinstance(event, RequestEnded) or event.ended:
                        self._told_end.add(number)
                case StreamGone(stream=stream):
                    assert stream.id not in finished
                    assert not stream.receiving
                    assert not stream.sending
                    finished.add(stream.id)
                case QueueDrained(stream=stream):
                    assert stream.id not in finished
                    assert not stream.queue
                case ConnectionEnded(code=code):
                    assert not self._is_over
                    assert self.connection.ended or code == 0
        if any(isinstance(event, ConnectionEnded) and event.code for event in events):
            self._is_over = True

    def went(self, data: bytes) -> None:
        """What the connection wants to send."""
        read = 0
        for kind, flags, stream_id, payload in frames_of(data):
            read += frames.HEADER_BYTES + len(payload)
            assert len(payload) <= self._frame_bytes
            if kind == frames.WINDOW_UPDATE:
                self._credited[stream_id] = self._credited.get(stream_id, 0) + int.from_bytes(payload, "big")
            elif kind == frames.GOAWAY:
                last = int.from_bytes(payload[:4], "big")
                assert last <= self._last_promised
                self._last_promised = last
                if payload[4:8] != b"\0\0\0\0":
                    assert read == len(data), "GOAWAY with an error is the last frame"
            elif stream_id:
                self._went_on_stream(kind, flags, stream_id, payload)
        assert read == len(data), "only whole frames are written"

    def _went_on_stream(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        sent = self._sent.setdefault(stream_id, Sent())
        assert not sent.is_reset
        if kind == frames.RST_STREAM:
            sent.is_reset = True
            return
        assert not sent.is_ended
        assert kind in (frames.HEADERS, frames.DATA, frames.CONTINUATION)
        if kind == frames.DATA:
            assert payload == answer_bytes(sent.data_bytes, len(payload))
            sent.data_bytes += len(payload)
            self._sent_bytes += len(payload)
            assert sent.data_bytes <= self.queued.get(stream_id, 0)
        sent.is_ended = bool(flags & frames.END_STREAM) and kind != frames.CONTINUATION

    def balance(self) -> None:
        """All accounts against what the connection says of itself."""
        connection, limits = self.connection, self.limits
        streams = connection._streams
        assert len(streams) <= limits.max_concurrent_streams
        for number, stream in streams.items():
            assert stream.id == number
            assert stream.sending
            assert bool(stream.queue) <= (number in connection._blocked)
        for number, stream in connection._blocked.items():
            assert streams[number] is stream
            assert stream.queue
            assert min(stream.send_window_bytes, connection._send_window_bytes) <= 0
        assert len(connection._left) <= 2 * limits.max_concurrent_streams
        assert not connection._left.keys() & streams.keys()
        assert len(connection._rest) < max(limits.max_frame_bytes + frames.HEADER_BYTES, len(frames.PREFACE))
        known = connection._decoder._known
        for blocks in (known.anywhere.heads, known.without_table.heads):
            assert sum(map(len, blocks)) <= KnownBlocks.MAX_BYTES
        assert connection._send_window_bytes >= 0
        if connection.ended:
            assert not streams
            assert not connection._blocked
            return
        assert connection._block_bytes <= limits.max_header_list_bytes + limits.max_frame_bytes
        assert len(connection._block) <= limits.max_continuations + 1
        assert connection._send_window_bytes == self._granted[0] - self._sent_bytes
        assert connection._recv_window_bytes == self._credited[0] - self._received[0]
        assert (
            limits.connection_window_bytes // 2 <= connection._recv_window_bytes <= limits.connection_window_bytes
        )
        for number, stream in streams.items():
            self._balance_stream(number, stream)

    def _balance_stream(self, number: int, stream: Stream) -> None:
        sent = self._sent.get(number)
        granted = self._peer_window_bytes + self._granted.get(number, 0)
        assert stream.send_window_bytes == granted - (sent.data_bytes if sent else 0)
        assert stream.send_window_bytes <= frames.MAX_WINDOW_BYTES
        if stream.receiving:
            credit = self.limits.stream_window_bytes + self._credited.get(number, 0)
            assert stream.recv_window_bytes == credit - self._received.get(number, 0)
            assert 0 <= stream.recv_window_bytes <= self.limits.stream_window_bytes
            assert stream.paused or stream.recv_window_bytes >= self.limits.stream_window_bytes // 2


class Run:
    """One connection, driven through one script."""

    def __init__(self, limits: Http2Limits, most_frames: int) -> None:
        self.connection: Http2Connection[Headers] = Http2Connection(interpret, KnownHeads(), limits)
        self.most_frames = most_frames
        self.audit = Audit(self.connection, limits)
        self.now_s = 0.0
        self.streams: list[Stream] = []
        self.told: list[tuple[Any, ...]] = []
        self.wrote: list[bytes] = []
        self.headed: set[int] = set()
        self._take()

    def _take(self) -> None:
        data = self.connection.take_output()
        self.audit.went(data)
        self.wrote.append(data)
        self.audit.balance()

    def receive(self, data: bytes) -> None:
        finished = {stream.id for stream in self.streams if not stream.sending}
        connection = self.connection
        events = connection.receive(data, self.now_s, self.most_frames)
        while connection.is_behind:
            waiting_bytes = connection.waiting_bytes
            events += connection.receive(b"", self.now_s, self.most_frames)
            assert connection.waiting_bytes < waiting_bytes or not connection.is_behind
        self.audit.came(data)
        self.audit.told(events, finished)
        self.streams += [event.stream for event in events if isinstance(event, RequestOpened)]
        self.told += [_said(event) for event in events]
        self._take()

    def perform(self, performed: Performed) -> None:
        if performed.act in _ON_CONNECTION:
            _ON_CONNECTION[performed.act](self, performed.number)
        elif self.streams:
            stream = self.streams[-1 - performed.index % len(self.streams)]
            _ON_STREAM[performed.act](self, stream, performed.number)
        self._take()

    # -- what owners do ----------------------------------------------------------------------------------------

    def queue(self, stream: Stream, size: int) -> bytes:
        """The next ``size`` bytes of the stream's answer."""
        start = self.audit.queued.get(stream.id, 0)
        data = answer_bytes(start, min(size, 300_000))
        self.audit.queued[stream.id] = start + len(data)
        return data

    def respond(self, stream: Stream, size: int) -> None:
        if self._head_once(stream):
            self.connection.respond(stream, HEAD, self.queue(stream, size), TRAILERS)

    def send_head(self, stream: Stream, _size: int) -> None:
        if self._head_once(stream):
            self.connection.send_head(stream, HEAD)

    def refuse(self, stream: Stream, _size: int) -> None:
        if self._head_once(stream):
            self.connection.send_head(stream, HEAD, end=True)

    def send_data(self, stream: Stream, size: int, *, end: bool = False) -> None:
        if stream.id in self.headed and stream.trailers is None:
            self.connection.send_data(stream, self.queue(stream, size), end=end)

    def send_last(self, stream: Stream, size: int) -> None:
        self.send_data(stream, size, end=True)

    def send_trailers(self, stream: Stream, _size: int) -> None:
        if stream.id in self.headed and stream.trailers is None:
            self.connection.send_trailers(stream, TRAILERS)

    def _head_once(self, stream: Stream) -> bool:
        is_first = stream.id not in self.headed
        self.headed.add(stream.id)
        return is_first

    def reset(self, stream: Stream, _size: int) -> None:
        self.connection.reset(stream, ErrorCode.CANCEL)

    def pause(self, stream: Stream, _size: int) -> None:
        stream.paused = True

    def resume(self, stream: Stream, _size: int) -> None:
        self.connection.resume(stream)

    def pass_time(self, seconds: int) -> None:
        self.now_s += seconds % 100 / 10


_ON_CONNECTION = {
    Act.GO_AWAY: lambda run, _: run.connection.ended or run.connection.go_away(),
    Act.REFUSE_NEW: lambda run, _: run.connection.ended or run.connection.refuse_new(),
    Act.PING: lambda run, _: run.connection.ended or run.connection.ping(b"areyouok"),
    Act.PASS_TIME: Run.pass_time,
}
_ON_STREAM = {
    Act.RESPOND: Run.respond,
    Act.SEND_HEAD: Run.send_head,
    Act.SEND_DATA: Run.send_data,
    Act.SEND_TRAILERS: Run.send_trailers,
    Act.SEND_LAST: Run.send_last,
    Act.REFUSE: Run.refuse,
    Act.RESET: Run.reset,
    Act.PAUSE: Run.pause,
    Act.RESUME: Run.resume,
}


def _said(event: Event) -> tuple[Any, ...]:
    """What an event says, without what may differ between two runs."""
    match event:
        case RequestOpened(stream=stream, ended=ended):
            return "opened", stream.id, stream.head, ended
        case DataArrived(stream=stream):
            return "data", stream.id, event.buffer[event.start : event.end], event.ended
        case RequestEnded(stream=stream) | QueueDrained(stream=stream):
            return type(event).__name__, stream.id
        case StreamGone(stream=stream, code=code):
            return "gone", stream.id, int(code)
        case PingAnswered(opaque=opaque):
            return "ping", opaque
        case ConnectionEnded(code=code, reason=reason):
            return "ended", int(code), reason


def run(data: bytes, cut: int, most_frames: int = ALL_FRAMES) -> Run:
    """Runs a script with its wire bytes in pieces of ``cut``, of which so many frames are looked at at a time."""
    done = Run(LIMITS[data[0] % len(LIMITS)], most_frames)
    for step in steps(data[1:]):
        if isinstance(step, Performed):
            done.perform(step)
        else:
            for start in range(0, len(step), cut):
                done.receive(step[start : start + cut])
    return done


def attempt(data: bytes) -> None:
    if not data:
        return
    whole = run(data, 1 << 30)
    cuts = [cut for cut in _CUTS if len(data) < _MAX_PIECES * cut]
    choice = crc32(data)
    for other in (run(data, cuts[choice % len(cuts)]), run(data, 1 << 30, 1 + choice % 3)):
        for said, expected in zip_longest(other.told, whole.told):
            assert said == expected
        assert b"".join(other.wrote) == b"".join(whole.wrote)


def grow(random: Random) -> bytes:
    return script(random, Client((BLOCK, BLOCK, BLOCK, MALFORMED, b"\x20" + BLOCK)))


def seeds() -> list[bytes]:
    opening = b"\1" + frames.PREFACE + frames.settings({})
    asked = frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, BLOCK)
    return [
        opening + asked + act(Act.RESPOND, 0, 100),
        opening + frames.settings({4: 10}) + asked + act(Act.RESPOND, 0, 50_000) + frames.window_update(1, 60_000),
        opening + asked + act(Act.GO_AWAY) + act(Act.REFUSE_NEW) + act(Act.RESPOND),
    ]


TARGETS = [Target("http2", attempt, seeds(), grow)]

if __name__ == "__main__":
    raise SystemExit(main(__doc__, TARGETS))
