"""One client's connection on the lane: asyncio's bytes on one side, HTTP/2 events and calls on the other.

Everything that one read brings is parsed before anything is answered, unless it takes more than a share of time
(turns.py). What is to be sent in one turn of the event loop leaves in one write, or when a batch has answered the
last of the connection's calls: its caller need not wait for the answers to others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import lru_cache
from typing import Any, cast

from rapide.server.context import CallContext
from rapide.server.errors import InvalidRequest, RapideError, TooLarge, Unimplemented
from rapide.server.protocols.callers import answer_headers
from rapide.server.protocols.grpc_call import Procedure
from rapide.server.protocols.grpc_door import Failure, GrpcDoor
from rapide.server.protocols.grpc_lane.call import Call, StreamCall, UnaryCall, bound_held, failure_fields, octets
from rapide.server.protocols.grpc_lane.framing import PREFIX, PREFIX_BYTES, Packed, decompress
from rapide.server.protocols.grpc_lane.head import MAX_HEAD_BYTES, CallHead, interpret_head
from rapide.server.protocols.grpc_lane.hot import HotCall, HotWay
from rapide.server.protocols.grpc_lane.options import LaneOptions
from rapide.server.protocols.grpc_lane.trailers import trailers_only
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
from rapide.server.protocols.http2.header_blocks import KnownHeads, encode_fields
from rapide.server.protocols.http2.stream import Stream
from rapide.server.protocols.outlet import Outlet
from rapide.server.protocols.status import refused, status_of
from rapide.server.protocols.turns import CALL_S, SHARE_S, Place, Turns
from rapide.server.telemetry.connections import Connections

_log = logging.getLogger(__name__)
_DRAIN_PING = b"draining"
_ALIVE_PING = b"areyouok"
_PIECE_FRAMES, _BUSY_PIECE_FRAMES = 128, 16
"""How many frames are looked at between two looks at the clock; the smaller ones where others stand in line."""

_SMALL_BYTES = 1024
"""A read that cannot take long, so that nobody looks at the clock for it: nearly all of them."""
_LARGE_BYTES = 16_384
"""A read of which not even a part is looked at while others stand in line."""


class LaneConnection(asyncio.Protocol):
    """See ``call.Line`` for what calls use of it."""

    def __init__(
        self,
        door: GrpcDoor,
        procedures: dict[str, Procedure],
        known_heads: KnownHeads[CallHead],
        options: LaneOptions,
        connections: set[LaneConnection],
        clock: Callable[[], float],
        hot: HotWay,
        hot_procedure: Procedure | None,
        meter: Connections,
        unpacker: Executor,
        turns: Turns,
    ) -> None:
        """``hot`` takes the usual calls of ``hot_procedure``; ``unpacker`` has the large compressed messages."""
        self.door = door
        self._hot = hot
        self._hot_procedure = hot_procedure if options.compression == "none" else None
        self.max_message_bytes = options.max_message_bytes
        self.compression = options.compression.encode()
        self._procedures = procedures
        self._options = options
        self._connections = connections
        self._clock = clock
        self._meter = meter
        self._unpacker = unpacker
        self._loop = asyncio.get_running_loop()
        # the connection's life
        self.http2: Http2Connection[CallHead] = Http2Connection(interpret_head, known_heads, options.http2)
        self._transport: asyncio.Transport | None = None
        self._outlet: Outlet | None = None
        self._opened_s = self._heard_s = clock()
        self._blocked_since_s: float | None = None
        self._asked_alive_s: float | None = None
        self._is_draining = False
        self._is_aged = False
        self._finished_s: float | None = None
        self._held_bytes = 0
        self._is_write_due = False
        self.hot_calls = 0
        """Calls of the hot way that are under way."""
        self._tasks: set[asyncio.Task[None]] = set()
        # its share of the loop's time
        self._place = Place(turns, self._take_turn, self._loop)
        self._called_s = 0.0
        """What calls will take that began in this read."""
        self._next: deque[asyncio.Future[None]] = deque()
        """Streaming calls that wait for the connection's turn."""

    # -- asyncio's side ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._outlet = Outlet(self._transport)
        self._connections.add(self)
        self._meter.opened()
        self._write()

    def data_received(self, data: bytes) -> None:
        now_s = self._clock()
        self._heard_s = now_s
        place = self._place
        if place.in_line:
            self.http2.receive(data, now_s, 0)
        elif len(data) > _LARGE_BYTES and place.turns.is_busy:
            self.http2.receive(data, now_s, 0)
            self._stand_in_line()
        elif len(data) > _SMALL_BYTES or place.turns.is_busy:
            took_s = self._work(data, now_s)
            if ((took_s > SHARE_S or place.turns.is_busy) and place.owe(took_s, now_s)) or self.http2.is_behind:
                self._stand_in_line()
        else:
            self._called_s = 0.0
            for event in self.http2.receive(data, now_s):
                _ON_EVENT[type(event)](self, event)
            self._hot.hurry()
            self._write()
            if self._called_s > SHARE_S and place.owe(self._called_s, now_s):
                self._stand_in_line()

    def _work(self, data: bytes, now_s: float) -> float:
        """Looks at ``data`` and at what waits, for a share of time. Gives the seconds it took, and will take."""
        http2 = self.http2
        most_frames = _BUSY_PIECE_FRAMES if self._place.turns.is_busy else _PIECE_FRAMES
        self._called_s = took_s = 0.0
        while True:
            for event in http2.receive(data, now_s, most_frames):
                _ON_EVENT[type(event)](self, event)
            took_s = self._clock() - now_s + self._called_s
            if not http2.is_behind or took_s > SHARE_S:
                break
            data = b""
        self._hot.forget()
        self._write()
        return took_s

    def _stand_in_line(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._place.in_line:
            return
        if self._place.join(self.http2.waiting_bytes):
            transport.pause_reading()
        else:
            _log.warning("a gRPC connection was cut off: too much waits already")
            transport.abort()

    def _take_turn(self) -> float:
        took_s = self._place.leave()
        transport = self._transport
        if transport is None or transport.is_closing() or self._blocked_since_s is not None:
            return took_s
        self._let_streams_on()
        if self.http2.is_behind:
            try:
                took_s += self._work(b"", self._clock())
            except Exception:  # noqa: BLE001 - as the loop does with what a read raises
                _log.exception("a gRPC connection was ended")
                transport.abort()
                return took_s
        self._go_on(transport)
        return took_s

    def _go_on(self, transport: asyncio.Transport) -> None:
        """Stands in line while there is something to do, else reads on."""
        if self.http2.is_behind or self._next:
            self._stand_in_line()
        elif not (self._place.in_line or transport.is_closing() or self._blocked_since_s is not None):
            transport.resume_reading()

    def _let_streams_on(self) -> None:
        """Lets as many messages be worked on as fit into a share; they have been paid for."""
        waiting, left_s = self._next, SHARE_S
        while waiting and left_s > 0.0:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                left_s -= CALL_S

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason
        self._connections.discard(self)
        self._meter.closed()
        self._transport = self._outlet = None
        for stream in self.http2.abandon():
            self._forget(stream)

    def pause_writing(self) -> None:
        # A peer that does not read its answers gets no more of its questions read: memory stays bounded.
        self._blocked_since_s = self._clock()
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._blocked_since_s = None
        if self._transport is not None:
            self._go_on(self._transport)

    # -- what calls use ----------------------------------------------------------------------------------------

    def hold(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        bound_held(self._held_bytes, self._options.max_held_bytes)

    def release(self, size_bytes: int) -> None:
        self._held_bytes -= size_bytes

    def write_soon(self) -> None:
        if not self._is_write_due:
            self._is_write_due = True
            self._loop.call_soon(self._write)

    def write_answered(self) -> None:
        """After an answer of the hot way: at once where no other one of these can leave with it."""
        if self.hot_calls:
            self.write_soon()
        else:
            self._write()

    def refuse(self, stream: Stream, context: CallContext, error: RapideError) -> str:
        told = refused(error, context)
        failure = Failure.of(told)
        metadata = octets(answer_headers(context)) + failure_fields(failure)
        self.http2.send_head(stream, trailers_only(failure.code, failure.text, metadata), end=True)
        self.write_soon()
        return status_of(told).name

    def take_hot(self, stream: Stream, procedure: Procedure, buffer: bytes, start: int, end: int) -> bool:
        return procedure is self._hot_procedure and self._hot.take(self, stream, buffer, start, end)

    def learn(self, procedure: Procedure, raw: bytes) -> None:
        if procedure is self._hot_procedure:
            self._hot.learn(raw)

    async def unpack(self, message: Packed, encoding: bytes) -> bytes:
        return await self._loop.run_in_executor(
            self._unpacker, decompress, message, encoding, self.max_message_bytes
        )

    async def turn(self, more: bool) -> None:
        place = self._place
        if place.owe(CALL_S, self._clock()) or (more and place.turns.is_busy):
            self._stand_in_line()
        if place.in_line:
            turn = self._loop.create_future()
            self._next.append(turn)
            await turn
        elif self._transport is None or self._transport.is_closing():
            await asyncio.sleep(0)  # nobody waits any more: to be cancelled

    def spawn(self, call: Call) -> asyncio.Task[None]:
        self._called_s += CALL_S
        task = self._loop.create_task(call.run())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a call ended in a way that it never should", exc_info=error)

    def _write(self) -> None:
        self._is_write_due = False
        transport, outlet = self._transport, self._outlet
        if transport is None or outlet is None:
            return
        out = self.http2.take_output()
        if out and self._finished_s is None:  # behind our end nothing can follow
            outlet.write(out)
        if self.http2.ended:
            transport.close()
        elif self._is_draining and not self.http2.active_streams and self._finished_s is None:
            self._finish(transport)

    def _finish(self, transport: asyncio.Transport) -> None:
        """All is answered: ends our side and waits for the peer to end its own. Closing while some frame of the
        peer's is still on its way would make TCP drop answers that have not been acknowledged (RFC 9112, 9.6)."""
        self._finished_s = self._clock()
        if transport.can_write_eof():
            transport.write_eof()
        else:  # TLS has its own way to part
            transport.close()

    # -- HTTP/2's side -----------------------------------------------------------------------------------------

    def _on_opened(self, event: Event) -> None:
        opened = cast("RequestOpened", event)
        stream = opened.stream
        head: CallHead = stream.head
        procedure = self._procedures.get(head.path)
        refusal = _refusal(head, procedure)
        if refusal is not None:
            self.http2.send_head(stream, refusal, end=True)
            return
        assert procedure is not None  # noqa: S101 - _refusal says so
        if procedure.method.server_streaming:
            stream.owner = StreamCall(self, stream, procedure)
            if opened.ended:
                stream.owner.feed(b"", 0, 0, True)
        elif opened.ended:
            self._unary(stream, procedure).feed(b"", 0, 0, True)

    def _on_data(self, event: Event) -> None:
        arrived = cast("DataArrived", event)
        stream = arrived.stream
        call: Call | HotCall | None = stream.owner
        if call is None:
            if not stream.sending:
                return
            head: CallHead = stream.head
            procedure = self._procedures[head.path]
            # A call whose one message came whole, in one DATA frame: nearly all of them.
            start, end = arrived.start + PREFIX_BYTES, arrived.end
            if (
                arrived.ended
                and procedure is self._hot_procedure
                and (head.content_bytes is None or head.content_bytes == end - arrived.start)
                and start <= end
                and PREFIX.unpack_from(arrived.buffer, arrived.start) == (0, end - start)
                and self._hot.take(self, stream, arrived.buffer, start, end)
            ):
                return
            call = self._unary(stream, procedure)
        call.feed(arrived.buffer, arrived.start, arrived.end, arrived.ended)

    def _on_ended(self, event: Event) -> None:
        stream = cast("RequestEnded", event).stream
        call: Call | HotCall | None = stream.owner
        if call is None:
            if not stream.sending:
                return
            head: CallHead = stream.head
            call = self._unary(stream, self._procedures[head.path])
        call.feed(b"", 0, 0, True)

    def _on_gone(self, event: Event) -> None:
        self._forget(cast("StreamGone", event).stream)

    def _on_drained(self, event: Event) -> None:
        owner = cast("QueueDrained", event).stream.owner
        if isinstance(owner, StreamCall):
            owner.drained()

    def _on_ping_answered(self, event: Event) -> None:
        opaque = cast("PingAnswered", event).opaque
        if opaque == _ALIVE_PING:
            self._asked_alive_s = None
        elif opaque == _DRAIN_PING and not self._is_draining:
            self._is_draining = True
            self.http2.refuse_new()

    def _on_connection_ended(self, event: Event) -> None:
        ended = cast("ConnectionEnded", event)
        if ended.code:
            _log.info("a gRPC connection was ended: %s", ended.reason)

    def _unary(self, stream: Stream, procedure: Procedure) -> UnaryCall:
        call = UnaryCall(self, stream, procedure)
        stream.owner = call
        return call

    def _forget(self, stream: Stream) -> None:
        call: Call | HotCall | None = stream.owner
        if call is not None:
            call.gone()

    # -- time --------------------------------------------------------------------------------------------------

    def sweep(self, now_s: float) -> None:
        """Looks after silence, age and a peer that does not read; called now and then by the lane."""
        options = self._options
        transport = self._transport
        if transport is None:
            return
        if self._finished_s is not None:
            if now_s - self._finished_s > options.goodbye_s:
                transport.abort()
        elif self._blocked_since_s is not None and now_s - self._blocked_since_s > options.blocked_s:
            _log.info("a gRPC peer did not read for %.0f s; its connection is closed", options.blocked_s)
            transport.abort()
        elif not self.http2.is_greeted and now_s - self._opened_s > options.greeting_s:
            transport.abort()
        elif self._asked_alive_s is not None:
            if now_s - self._asked_alive_s > options.keepalive_timeout_s:
                transport.abort()
        elif now_s - self._heard_s > options.keepalive_s:
            self._asked_alive_s = now_s
            self.http2.ping(_ALIVE_PING)
            self._write()
        elif options.max_age_s and not self._is_aged and now_s - self._opened_s > options.max_age_s:
            self.drain()
        self._end_stalled(now_s)

    def _end_stalled(self, now_s: float) -> None:
        """A peer may read from the socket and still give some answers no window, for ever."""
        stalled = self.http2.reset_stalled(now_s, self._options.blocked_s)
        if stalled:
            _log.info("%d answers were given no window; their calls are ended", len(stalled))
            for stream in stalled:
                self._forget(stream)
            self._write()

    def drain(self) -> None:
        """Says goodbye so that no call is lost (RFC 9113, 6.8): announce, wait a round trip, refuse, finish."""
        if not self._is_aged:
            self._is_aged = True
            self.http2.go_away()
            self.http2.ping(_DRAIN_PING)
            self._write()

    def abort(self) -> None:
        """Ends it at once; calls under way are cancelled."""
        if self._transport is not None:
            self._transport.abort()


_OnEvent = Callable[[LaneConnection, Any], None]
_ON_EVENT: dict[type[Event], _OnEvent] = {
    RequestOpened: LaneConnection._on_opened,
    DataArrived: LaneConnection._on_data,
    RequestEnded: LaneConnection._on_ended,
    StreamGone: LaneConnection._on_gone,
    QueueDrained: LaneConnection._on_drained,
    PingAnswered: LaneConnection._on_ping_answered,
    ConnectionEnded: LaneConnection._on_connection_ended,
}


def _refusal(head: CallHead, procedure: Procedure | None) -> bytes | None:
    """The block that ends a call which cannot even begin, or None."""
    if procedure is not None and not (head.refusal or head.oversize_bytes or head.bad_timeout):
        return None
    unknown = head.path[:128] if procedure is None else ""
    return _refusal_block(head.refusal, head.oversize_bytes, unknown, head.bad_timeout)


@lru_cache(maxsize=256)
def _refusal_block(status: int, oversize_bytes: int, unknown_path: str, bad_timeout: str) -> bytes:
    """Remembered: whoever provokes refusals provokes the same one, and it must cost less than an answer."""
    if status:
        fields = ((b"allow", b"POST"),) if status == 405 else ()
        return encode_fields(fields, status=status)
    failure = Failure.of(_head_error(oversize_bytes, unknown_path, bad_timeout))
    return trailers_only(failure.code, failure.text, failure_fields(failure))


def _head_error(oversize_bytes: int, unknown_path: str, bad_timeout: str) -> RapideError:
    if oversize_bytes:
        return TooLarge(f"the call's metadata has {oversize_bytes} bytes; at most {MAX_HEAD_BYTES} are taken")
    if unknown_path:
        return Unimplemented(f"method {unknown_path!r} is not offered here")
    return InvalidRequest(f"grpc-timeout {bad_timeout!r} is malformed; expected up to 8 digits and one of HMSmun")
