"""The server's half of one HTTP/2 connection as a state machine: bytes in, events out; bytes to send out.

Theory
------
``receive`` cuts the bytes into frames and dispatches each through a table; *which* table is the connection's
state: the first frame must be SETTINGS, a header block in pieces admits only CONTINUATION, an ended connection
admits nothing. What is incomplete stays in ``_rest`` until more bytes come. Whole frames wait there only where the
caller wants few at a time (``is_behind``): one read may bring thousands, and others wait for the caller meanwhile.

Sending goes straight into ``_out`` while windows allow, else into the stream's queue, which WINDOW_UPDATE and
SETTINGS drain in turn over the streams. ``take_output`` hands everything over at once, so that one read of the
socket is answered by one write.

Invariants
----------
* ``_streams`` holds exactly the streams that are not wholly answered: all of them may still send.
* Queue not empty ⇒ the stream is in ``_blocked`` ⇒ it is in ``_streams``.
* Credit given to the peer never exceeds the window sizes in ``limits``; a stream's credit is given back when half
  is used, unless its owner paused it. What the owner keeps of received DATA is the owner's to bound.
* After a ConnectionFault nothing is parsed any more, and GOAWAY is the last frame out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic

from rapide.server.protocols.http2 import frames
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
from rapide.server.protocols.http2.faults import ConnectionFault, StreamFault
from rapide.server.protocols.http2.fields import check_trailers
from rapide.server.protocols.http2.flood import TokenBucket
from rapide.server.protocols.http2.frames import ErrorCode
from rapide.server.protocols.http2.header_blocks import Head, HeaderDecoder, Headers, KnownHeads
from rapide.server.protocols.http2.limits import Http2Limits
from rapide.server.protocols.http2.stream import Stream

_unpack_header = frames.FRAME_HEADER.unpack_from
_pack_header = frames.FRAME_HEADER.pack
_STREAM_ID = 0x7FFF_FFFF
_KNOWN_FRAMES = 10
_UPDATES_PER_DATA = 4
"""WINDOW_UPDATE frames that a peer may answer one DATA with, before they count as a flood."""
_DRIBBLE_BYTES = 1024
"""DATA shorter than this that only a tiny window made so short earns nothing (the data dribble, CVE-2019-9511)."""
_MAX_SETTINGS = 32
"""Entries of one SETTINGS frame: a handful are defined, and each may cost a walk over all streams."""
_STREAMS_PER_IDLE_FRAME = 4
"""Waiting streams that a changed window makes us look at for the price of one frame without a request."""
_BYTES_PER_FRAME_BITS = 8
"""256 octets of a header block or of DATA cost about as much as a small frame: they may be many messages."""
ALL_FRAMES = 1 << 30
_LAST_HEADERS = frames.END_HEADERS | frames.END_STREAM

_Handler = Callable[[int, int, bytes, int, int, list[Event]], None]


class Http2Connection(Generic[Head]):
    """One connection.

    ``interpret`` turns a request's header fields into what the layer above wants to see as ``stream.head``; it may
    raise StreamFault for a malformed request. ``known_heads`` may be shared by all connections with the same
    ``interpret`` (header_blocks.py). Instants are seconds of a monotonic clock, given by the caller.
    """

    def __init__(
        self,
        interpret: Callable[[Headers], Head],
        known_heads: KnownHeads[Head],
        limits: Http2Limits | None = None,
    ) -> None:
        self._limits = limits = limits or Http2Limits()
        self._decoder = HeaderDecoder(known_heads, interpret, limits.max_header_block_bytes)
        # per connection, receiving
        self._rest = b""
        self._rest_from = 0
        self._frames_left = 0
        self.is_behind = False
        """Whether frames that have come still wait to be looked at."""
        self._preface_seen = False
        self._now_s = 0.0
        self._recv_window_bytes = limits.connection_window_bytes
        self._last_stream_id = 0
        self._refuse_above = _STREAM_ID
        self._resets = TokenBucket(limits.reset_burst, limits.reset_per_s)
        self._idle_frames = TokenBucket(limits.idle_frame_burst, limits.idle_frame_per_s)
        self._half_stream_window = limits.stream_window_bytes // 2
        self._half_connection_window = limits.connection_window_bytes // 2
        # a header block in pieces
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._block_stream_id = 0
        self._block_ends_stream = False
        # per connection, sending
        self._out: list[bytes] = []
        self._control_bytes = 0
        self._send_window_bytes = frames.DEFAULT_WINDOW_BYTES
        self._peer_window_bytes = frames.DEFAULT_WINDOW_BYTES
        self._peer_frame_bytes = frames.MIN_MAX_FRAME_BYTES
        # streams
        self._streams: dict[int, Stream] = {}
        self._blocked: dict[int, Stream] = {}
        self._left: dict[int, None] = {}
        """Streams that we left while the peer was still sending: their late frames are dropped, not punished."""
        # states: dispatch tables
        on = self._table()
        self._open_table = on
        self._first_table: list[_Handler] = [self._on_not_settings] * _KNOWN_FRAMES
        self._first_table[frames.SETTINGS] = on[frames.SETTINGS]
        self._block_table: list[_Handler] = [self._on_interleaved] * _KNOWN_FRAMES
        self._block_table[frames.CONTINUATION] = self._on_continuation
        self._handlers = self._first_table
        self.ended = False
        self._greet()

    def _table(self) -> list[_Handler]:
        table: list[_Handler] = [self._on_unknown] * _KNOWN_FRAMES
        table[frames.DATA] = self._on_data
        table[frames.HEADERS] = self._on_headers
        table[frames.PRIORITY] = self._on_priority
        table[frames.RST_STREAM] = self._on_rst_stream
        table[frames.SETTINGS] = self._on_settings
        table[frames.PUSH_PROMISE] = self._on_push_promise
        table[frames.PING] = self._on_ping
        table[frames.GOAWAY] = self._on_goaway
        table[frames.WINDOW_UPDATE] = self._on_window_update
        table[frames.CONTINUATION] = self._on_stray_continuation
        return table

    def _greet(self) -> None:
        limits = self._limits
        self._out.append(
            frames.settings(
                {
                    frames.SETTINGS_HEADER_TABLE_SIZE: 0,
                    frames.SETTINGS_MAX_CONCURRENT_STREAMS: limits.max_concurrent_streams,
                    frames.SETTINGS_INITIAL_WINDOW_SIZE: limits.stream_window_bytes,
                    frames.SETTINGS_MAX_FRAME_SIZE: limits.max_frame_bytes,
                    frames.SETTINGS_MAX_HEADER_LIST_SIZE: limits.max_header_list_bytes,
                }
            )
        )
        extra = limits.connection_window_bytes - frames.DEFAULT_WINDOW_BYTES
        if extra > 0:
            self._out.append(frames.window_update(0, extra))

    # -- receiving ---------------------------------------------------------------------------------------------

    @property
    def active_streams(self) -> int:
        """Requests that are not wholly answered."""
        return len(self._streams)

    @property
    def last_stream_id(self) -> int:
        return self._last_stream_id

    @property
    def is_greeted(self) -> bool:
        """Whether the peer has sent its preface and SETTINGS."""
        return self._handlers is not self._first_table

    def receive(self, data: bytes, now_s: float, most_frames: int = ALL_FRAMES) -> list[Event]:
        """What the peer's next bytes mean. Never raises: a fault becomes GOAWAY and ConnectionEnded.

        About ``most_frames`` are looked at; ``is_behind`` says whether there may be more, which no bytes (``b""``)
        bring about.
        """
        events: list[Event] = []
        if self.ended:
            return events
        self._now_s = now_s
        self._frames_left = most_frames
        position = 0
        if self._rest:
            if data:
                data = self._rest[self._rest_from :] + data
            else:
                data, position = self._rest, self._rest_from
        try:
            if not self._preface_seen:
                position = self._read_preface(data)
            if self._preface_seen:
                position = self._read_frames(data, position, events)
        except ConnectionFault as fault:
            self.end(fault.code, fault.message, events)
            return events
        self._keep(data, position)
        self._control_bytes = 0
        return events

    @property
    def waiting_bytes(self) -> int:
        """What has come and is not looked at yet."""
        return len(self._rest) - self._rest_from

    def _keep(self, data: bytes, position: int) -> None:
        """Keeps ``data`` from ``position`` on. Frames that wait stay where they are: a copy for each few of them
        would be most of the work; a piece of one frame must not keep the read alive that it came with."""
        self._rest_from = 0
        self.is_behind = self._frames_left <= 0 and position < len(data)
        if self.is_behind:
            self._rest = data
            self._rest_from = position
        else:
            self._rest = data[position:] if position < len(data) else b""

    def _read_preface(self, data: bytes) -> int:
        if data[: len(frames.PREFACE)] == frames.PREFACE:
            self._preface_seen = True
            return len(frames.PREFACE)
        if not frames.PREFACE.startswith(data):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "not an HTTP/2 connection preface")
        return 0

    def _read_frames(self, data: bytes, position: int, events: list[Event]) -> int:
        size = len(data)
        max_frame_bytes = self._limits.max_frame_bytes
        while size - position >= frames.HEADER_BYTES and self._frames_left > 0:
            high, low, kind, flags, stream_id = _unpack_header(data, position)
            length = high << 8 | low
            if length > max_frame_bytes:
                raise ConnectionFault(
                    ErrorCode.FRAME_SIZE_ERROR, f"frame of {length} bytes; at most {max_frame_bytes} are taken"
                )
            start = position + frames.HEADER_BYTES
            end = start + length
            if end > size:
                break
            self._frames_left -= 1
            position = end
            stream_id &= _STREAM_ID
            if kind < _KNOWN_FRAMES:
                self._handlers[kind](flags, stream_id, data, start, end, events)
            else:
                self._on_extension(flags, stream_id, data, start, end, events)
        return position

    def _on_headers(
        self, flags: int, stream_id: int, data: bytes, start: int, end: int, events: list[Event]
    ) -> None:
        if flags & (frames.PADDED | frames.PRIORITY_FLAG):
            start, end = _without_padding(flags, data, start, end)
        if flags & frames.END_HEADERS:
            self._on_block(stream_id, data[start:end], bool(flags & frames.END_STREAM), events)
            return
        self._block = [data[start:end]]
        self._block_bytes = end - start
        self._block_stream_id = stream_id
        self._block_ends_stream = bool(flags & frames.END_STREAM)
        self._handlers = self._block_table

    def _on_continuation(
        self, flags: int, stream_id: int, data: bytes, start: int, end: int, events: list[Event]
    ) -> None:
        if stream_id != self._block_stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of another stream's header block")
        self._block.append(data[start:end])
        self._block_bytes += end - start
        if (
            self._block_bytes > self._limits.max_header_block_bytes
            or len(self._block) > self._limits.max_continuations + 1
        ):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "header block in too many or too large pieces")
        if flags & frames.END_HEADERS:
            block, self._block = b"".join(self._block), []
            self._handlers = self._open_table
            self._on_block(stream_id, block, self._block_ends_stream, events)

    def _on_block(self, stream_id: int, block: bytes, ended: bool, events: list[Event]) -> None:
        """A whole header block: a new request, the trailers of one, or a late one of a stream that we left."""
        self._frames_left -= len(block) >> _BYTES_PER_FRAME_BITS
        if stream_id <= self._last_stream_id:
            self._on_later_block(stream_id, block, ended, events)
            return
        if not stream_id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"stream {stream_id}: a client's streams are odd")
        self._last_stream_id = stream_id
        if stream_id > self._refuse_above:
            self._decoder.fields(block)  # keeps the table right; the peer was told that nobody will answer
            if not ended:
                self._leave(stream_id)
            return
        limits = self._limits
        self._idle_frames.add(limits.idle_frames_per_request)
        try:
            head = self._decoder.head(block)
        except StreamFault as fault:
            self._refuse(stream_id, fault.code, ended)
            return
        if len(self._streams) >= limits.max_concurrent_streams:
            self._refuse(stream_id, ErrorCode.REFUSED_STREAM, ended)
            return
        stream = Stream(stream_id, head, self._peer_window_bytes, limits.stream_window_bytes)
        stream.receiving = not ended
        self._streams[stream_id] = stream
        events.append(RequestOpened(stream, ended))

    def _on_later_block(self, stream_id: int, block: bytes, ended: bool, events: list[Event]) -> None:
        fields = self._decoder.fields(block)
        stream = self._streams.get(stream_id)
        if stream is None:
            if not stream_id & 1:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"stream {stream_id}: a client's streams are odd")
            if stream_id not in self._left:
                raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"HEADERS on closed stream {stream_id}")
            self._spend_idle_frame("HEADERS on a stream that was reset")
        elif not stream.receiving:
            self._fault(stream, ErrorCode.STREAM_CLOSED, events)
        elif not ended:
            self._fault(stream, ErrorCode.PROTOCOL_ERROR, events)  # trailers end the stream (8.1)
        else:
            self._on_trailers(stream, fields, events)

    def _on_trailers(self, stream: Stream, fields: Headers, events: list[Event]) -> None:
        try:
            check_trailers(fields)
        except StreamFault as fault:
            self._fault(stream, fault.code, events)
        else:
            stream.receiving = False
            events.append(RequestEnded(stream))

    def _on_data(self, flags: int, stream_id: int, data: bytes, start: int, end: int, events: list[Event]) -> None:
        length = end - start  # padding counts (6.9.1)
        self._frames_left -= length >> _BYTES_PER_FRAME_BITS
        self._recv_window_bytes -= length
        if self._recv_window_bytes < self._half_connection_window:
            self._credit_connection()
        stream = self._streams.get(stream_id)
        if stream is None or not stream.receiving:
            self._on_stray_data(stream_id, stream, events)
            return
        stream.recv_window_bytes -= length
        if stream.recv_window_bytes < 0:
            self._fault(stream, ErrorCode.FLOW_CONTROL_ERROR, events)
            return
        if flags & frames.PADDED:
            start, end = _without_padding(flags & frames.PADDED, data, start, end)
        if flags & frames.END_STREAM:
            stream.receiving = False
            events.append(DataArrived(stream, data, start, end, True))
            return
        if stream.recv_window_bytes < self._half_stream_window and not stream.paused:
            self._credit(stream)  # padding alone uses the window up, too
        if start == end:
            self._spend_idle_frame("empty DATA")
            return
        events.append(DataArrived(stream, data, start, end, False))

    def _on_stray_data(self, stream_id: int, stream: Stream | None, events: list[Event]) -> None:
        if stream is not None:
            self._fault(stream, ErrorCode.STREAM_CLOSED, events)
        elif stream_id > self._last_stream_id or stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"DATA on idle stream {stream_id}")
        elif stream_id not in self._left:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, f"DATA on closed stream {stream_id}")
        else:
            self._spend_idle_frame("DATA on a stream that was reset")

    def _on_rst_stream(
        self, _flags: int, stream_id: int, data: bytes, start: int, end: int, events: list[Event]
    ) -> None:
        if end - start != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM is not 4 bytes")
        if stream_id > self._last_stream_id or stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"RST_STREAM on idle stream {stream_id}")
        if not self._resets.take(self._now_s):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "streams are reset too often")
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._forget(stream)
            events.append(StreamGone(stream, int.from_bytes(data[start:end], "big")))

    def _on_settings(
        self, flags: int, stream_id: int, data: bytes, start: int, end: int, events: list[Event]
    ) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if (end - start) % 6 or (flags & frames.ACK and start != end):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong length")
        if self._handlers is self._first_table:
            if flags & frames.ACK:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is an acknowledgement")
            self._handlers = self._open_table
        self._spend_idle_frame("SETTINGS")
        if flags & frames.ACK:
            return
        if end - start > 6 * _MAX_SETTINGS:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many settings in one frame")
        # Nobody can see what a repeated setting was meanwhile: the last value counts (6.5.3).
        window_bytes = self._peer_window_bytes
        for key, value in dict(frames.parse_settings(data[start:end])).items():
            self._apply_setting(key, value)
        self._send_control(frames.SETTINGS_ACK)
        # Only after the acknowledgement: C-core counts larger windows from there, and resets what comes sooner.
        if self._peer_window_bytes > window_bytes and self._blocked:
            self._spend_idle_frame("SETTINGS for many streams", len(self._blocked) / _STREAMS_PER_IDLE_FRAME)
            self._flush_blocked(events)

    def _apply_setting(self, key: int, value: int) -> None:
        if key == frames.SETTINGS_INITIAL_WINDOW_SIZE:
            if value > frames.MAX_WINDOW_BYTES:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"initial window size {value}")
            change = value - self._peer_window_bytes
            self._peer_window_bytes = value
            for stream in self._streams.values():  # may become negative (6.9.2)
                stream.send_window_bytes += change
                if stream.send_window_bytes > frames.MAX_WINDOW_BYTES:
                    raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window overflows")
        elif key == frames.SETTINGS_MAX_FRAME_SIZE:
            if not frames.MIN_MAX_FRAME_BYTES <= value <= frames.MAX_MAX_FRAME_BYTES:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"max frame size {value}")
            self._peer_frame_bytes = value
        elif key == frames.SETTINGS_ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"enable push {value}")
        # Other settings bound what a server never does here: push, and tables that our encoding does not use.

    def _on_ping(self, flags: int, stream_id: int, data: bytes, start: int, end: int, events: list[Event]) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if end - start != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING is not 8 bytes")
        self._spend_idle_frame("PING")
        if flags & frames.ACK:
            events.append(PingAnswered(data[start:end]))
        else:
            self._send_control(frames.ping_ack(data[start:end]))

    def _on_window_update(
        self, _flags: int, stream_id: int, data: bytes, start: int, end: int, events: list[Event]
    ) -> None:
        if end - start != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE is not 4 bytes")
        self._spend_idle_frame("WINDOW_UPDATE")
        increment = int.from_bytes(data[start:end], "big") & _STREAM_ID
        if stream_id == 0:
            self._send_window_bytes += increment
            if increment == 0 or self._send_window_bytes > frames.MAX_WINDOW_BYTES:
                code = ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR
                raise ConnectionFault(code, f"WINDOW_UPDATE of {increment} on the connection")
            if self._blocked:
                self._flush_blocked(events)
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            if stream_id > self._last_stream_id:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"WINDOW_UPDATE on idle stream {stream_id}")
            return
        stream.send_window_bytes += increment
        if increment == 0 or stream.send_window_bytes > frames.MAX_WINDOW_BYTES:
            code = ErrorCode.FLOW_CONTROL_ERROR if increment else ErrorCode.PROTOCOL_ERROR
            self._fault(stream, code, events)
        elif stream.queue and self._flush(stream):
            events.append(QueueDrained(stream))

    def _on_goaway(
        self, _flags: int, stream_id: int, data: bytes, start: int, end: int, events: list[Event]
    ) -> None:
        if stream_id != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if end - start < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is shorter than 8 bytes")
        # A client that says goodbye opens nothing new; what it has opened is still answered.
        self._spend_idle_frame("GOAWAY")
        events.append(ConnectionEnded(0, f"peer said GOAWAY {int.from_bytes(data[start + 4 : start + 8], 'big')}"))

    def _on_priority(
        self, _flags: int, stream_id: int, _data: bytes, start: int, end: int, _events: list[Event]
    ) -> None:
        if stream_id == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if end - start != 5:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY is not 5 bytes")
        self._spend_idle_frame("PRIORITY")

    def _on_extension(
        self, flags: int, stream_id: int, data: bytes, start: int, end: int, events: list[Event]
    ) -> None:
        """An unknown type is ignored (5.5), but not within a header block nor before SETTINGS."""
        if self._handlers is not self._open_table:
            self._handlers[frames.PRIORITY](flags, stream_id, data, start, end, events)
        self._spend_idle_frame("extension")

    def _on_push_promise(
        self, _flags: int, _stream_id: int, _data: bytes, _start: int, _end: int, _events: list[Event]
    ) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _on_stray_continuation(
        self, _flags: int, _stream_id: int, _data: bytes, _start: int, _end: int, _events: list[Event]
    ) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without a header block before it")

    def _on_interleaved(
        self, _flags: int, _stream_id: int, _data: bytes, _start: int, _end: int, _events: list[Event]
    ) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "another frame within a header block")

    def _on_not_settings(
        self, _flags: int, _stream_id: int, _data: bytes, _start: int, _end: int, _events: list[Event]
    ) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")

    def _on_unknown(
        self, _flags: int, _stream_id: int, _data: bytes, _start: int, _end: int, _events: list[Event]
    ) -> None:
        raise AssertionError("every frame type below _KNOWN_FRAMES has a handler")

    # -- credit and floods -------------------------------------------------------------------------------------

    def _credit_connection(self) -> None:
        if self._recv_window_bytes < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window")
        used = self._limits.connection_window_bytes - self._recv_window_bytes
        self._recv_window_bytes += used
        self._send_control(frames.window_update(0, used))

    def _credit(self, stream: Stream) -> None:
        used = self._limits.stream_window_bytes - stream.recv_window_bytes
        stream.recv_window_bytes += used
        self._send_control(frames.window_update(stream.id, used))

    def resume(self, stream: Stream) -> None:
        """The owner of a paused stream takes DATA again."""
        stream.paused = False
        if stream.receiving and stream.recv_window_bytes < self._half_stream_window:
            self._credit(stream)

    def _spend_idle_frame(self, what: str, cost: float = 1.0) -> None:
        if not self._idle_frames.take(self._now_s, cost):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many frames without a request ({what})")

    def _send_control(self, frame: bytes) -> None:
        self._control_bytes += len(frame)
        if self._control_bytes > self._limits.max_queued_bytes:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many answers to control frames")
        self._out.append(frame)

    # -- ending ------------------------------------------------------------------------------------------------

    def _fault(self, stream: Stream, code: ErrorCode, events: list[Event]) -> None:
        self.reset(stream, code)
        events.append(StreamGone(stream, code))
        # A peer that makes us reset its streams costs what one does that resets them itself (CVE-2025-8671).
        if not self._resets.take(self._now_s):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "streams are broken too often")

    def _refuse(self, stream_id: int, code: ErrorCode, ended: bool) -> None:
        # Refusing costs us an answer: a peer that keeps provoking it is the same flood as one that resets.
        if not self._resets.take(self._now_s):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "streams are refused too often")
        self._send_control(frames.rst_stream(stream_id, code))
        if not ended:
            self._leave(stream_id)

    def _forget(self, stream: Stream) -> None:
        stream.receiving = stream.sending = False
        self._streams.pop(stream.id, None)
        self._blocked.pop(stream.id, None)
        stream.queue = None

    def _leave(self, stream_id: int) -> None:
        self._left[stream_id] = None
        if len(self._left) > 2 * self._limits.max_concurrent_streams:
            self._left.pop(next(iter(self._left)))

    def reset(self, stream: Stream, code: int) -> None:
        """Ends ``stream`` at once; nothing that was queued on it is sent."""
        if stream.id in self._streams:
            if stream.receiving:
                self._leave(stream.id)
            self._forget(stream)
            self._out.append(frames.rst_stream(stream.id, code))

    def end(self, code: int, reason: str, events: list[Event] | None = None) -> None:
        """Ends the connection: GOAWAY with ``reason``, and nothing is parsed or answered any more."""
        if self.ended:
            return
        self.ended = True
        last = min(self._last_stream_id, self._refuse_above)  # what was promised once is not raised (6.8)
        self._out.append(frames.goaway(last, code, reason.encode()))
        out = self._out.copy()
        gone = self.abandon()
        self._out = out
        if events is not None:
            events.extend(StreamGone(stream, code) for stream in gone)
            events.append(ConnectionEnded(code, reason))

    def abandon(self) -> list[Stream]:
        """The transport is gone: gives the streams that were not answered, and forgets them."""
        gone = list(self._streams.values())
        for stream in gone:
            self._forget(stream)
        self.ended = True
        self.is_behind = False
        self._rest = b""
        self._rest_from = 0
        self._out.clear()
        return gone

    def go_away(self) -> None:
        """Announces the end (6.8): the peer should open nothing more; what is on its way is still answered."""
        self._out.append(frames.goaway(self._refuse_above, ErrorCode.NO_ERROR))

    def refuse_new(self) -> None:
        """The second GOAWAY: later streams are not answered; the peer may retry them elsewhere."""
        self._refuse_above = min(self._last_stream_id, self._refuse_above)
        self._out.append(frames.goaway(self._refuse_above, ErrorCode.NO_ERROR))

    def ping(self, opaque: bytes) -> None:
        """Asks the peer for a sign of life; its answer becomes PingAnswered."""
        self._out.append(frames.ping(opaque))

    # -- sending -----------------------------------------------------------------------------------------------

    def take_output(self) -> bytes:
        """All bytes to be written now, in order."""
        out = self._out
        if not out:
            return b""
        joined = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return joined

    def respond(self, stream: Stream, head: bytes, body: bytes, trailers: bytes) -> None:
        """A whole answer at once: HEADERS, one DATA if it fits windows and frame size, trailers."""
        length = len(body)
        if (
            not stream.sending
            or stream.queue
            or length > self._peer_frame_bytes
            or length > stream.send_window_bytes
            or length > self._send_window_bytes
        ):
            self.send_head(stream, head)
            self.send_data(stream, body)
            self.send_trailers(stream, trailers)
            return
        stream_id = stream.id
        trailing = len(trailers)
        stream.send_window_bytes -= length
        self._send_window_bytes -= length
        self._out.append(
            b"".join(
                (
                    _pack_header(len(head) >> 8, len(head) & 0xFF, frames.HEADERS, frames.END_HEADERS, stream_id),
                    head,
                    _pack_header(length >> 8, length & 0xFF, frames.DATA, 0, stream_id),
                    body,
                    _pack_header(trailing >> 8, trailing & 0xFF, frames.HEADERS, _LAST_HEADERS, stream_id),
                    trailers,
                )
            )
        )
        self._finish_sending(stream)

    def send_head(self, stream: Stream, block: bytes, *, end: bool = False) -> None:
        """The answer's HEADERS; ``end``: nothing follows (a gRPC "trailers-only" answer)."""
        if not stream.sending:
            return
        self._out.append(
            frames.header_frames(stream.id, block, end_stream=end, max_frame_bytes=self._peer_frame_bytes)
        )
        if end:
            self._finish_sending(stream)

    def send_data(self, stream: Stream, data: bytes | memoryview, *, end: bool = False) -> bool:
        """DATA, as far as windows allow; the rest waits. Returns whether all of it went out."""
        if not stream.sending:
            return True
        if stream.queue is None:
            stream.queue = deque()
        if len(data):
            stream.queue.append(memoryview(data))
        if end:
            stream.trailers = b""
        return self._flush(stream)

    def send_trailers(self, stream: Stream, block: bytes) -> bool:
        """Trailers after everything queued; they end the stream. Returns whether they went out."""
        if not stream.sending:
            return True
        stream.trailers = block
        return self._flush(stream)

    def _flush(self, stream: Stream) -> bool:
        """Sends what the windows allow of the stream's queue; True when nothing waits any more."""
        queue = stream.queue
        while queue:
            piece = queue[0]
            room = min(self._send_window_bytes, stream.send_window_bytes, self._peer_frame_bytes)
            if room <= 0:
                self._blocked[stream.id] = stream
                return False
            size = min(room, len(piece))
            last = size == len(piece) and len(queue) == 1 and stream.trailers == b""
            self._out.append(frames.frame_header(size, frames.DATA, frames.END_STREAM if last else 0, stream.id))
            self._out.append(bytes(piece[:size]))
            if size == len(piece) or size >= _DRIBBLE_BYTES:
                self._idle_frames.add(_UPDATES_PER_DATA)
            stream.send_window_bytes -= size
            self._send_window_bytes -= size
            if size == len(piece):
                queue.popleft()
            else:
                queue[0] = piece[size:]
            if last:
                self._finish_sending(stream)
                return True
        self._blocked.pop(stream.id, None)
        if stream.trailers:
            self._out.append(
                frames.header_frames(
                    stream.id, stream.trailers, end_stream=True, max_frame_bytes=self._peer_frame_bytes
                )
            )
            self._finish_sending(stream)
        elif stream.trailers is not None:
            self._out.append(frames.frame(frames.DATA, frames.END_STREAM, stream.id))
            self._finish_sending(stream)
        return True

    def _flush_blocked(self, events: list[Event]) -> None:
        """Gives the new window to the waiting streams, the longest waiting first, one frame's worth in turn."""
        for stream in list(self._blocked.values()):
            if self._send_window_bytes <= 0:
                return
            if stream.send_window_bytes <= 0:
                continue
            self._blocked.pop(stream.id, None)  # a stream still blocked goes to the end of the line
            if self._flush(stream):
                events.append(QueueDrained(stream))

    def reset_stalled(self, now_s: float, patience_s: float) -> list[Stream]:
        """Ends and gives the streams of which nothing went out for so long, because their peer gives no window.

        To be called now and then: what is compared is what waits now and what waited at the calls before.
        """
        gone = []
        for stream in list(self._blocked.values()):
            queue = stream.queue
            assert queue  # noqa: S101 - an invariant, see above
            waits = len(queue), len(queue[0])
            stall = stream.stall
            if stall is None or stall[:2] != waits:
                stream.stall = (*waits, now_s)
            elif now_s - stall[2] > patience_s:
                self.reset(stream, ErrorCode.CANCEL)
                gone.append(stream)
        return gone

    def _finish_sending(self, stream: Stream) -> None:
        stream.sending = False
        if stream.receiving:
            # Answered before the request was complete (8.1): the rest is not wanted, without blame.
            self._out.append(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
            self._leave(stream.id)
            stream.receiving = False
        self._streams.pop(stream.id, None)
        self._blocked.pop(stream.id, None)


def _without_padding(flags: int, data: bytes, start: int, end: int) -> tuple[int, int]:
    """The payload's bounds without the padding and priority fields of DATA and HEADERS (6.1, 6.2)."""
    padding = 0
    if flags & frames.PADDED:
        if start == end:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "padded frame without a padding length")
        padding = data[start]
        start += 1
    if flags & frames.PRIORITY_FLAG:
        start += 5
        if start > end:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS is too short for its priority")
    if start + padding > end:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding is longer than its frame")
    return start, end - padding
