"""One HTTP connection on the lane: bytes to exchanges, exchanges to answers, answers to bytes in their order.

Theory. The parser (httptools) may find several requests in one read. Each becomes an Exchange at the end of
``_line``; inference is submitted at once, so that pipelined requests run as one batch, and everything else becomes
a task of the ASGI application. Whenever the first exchange of the line has its answer, it and all answered ones
behind it leave in one write. A read may bring thousands of requests: they are taken piece by piece, as many as may
be in work at a time and fit into a share of time; the rest waits, and the socket with it, until answers have left
and the connection's turn has come (turns.py).

Invariants. An exchange is answered once: its slot is filled once, and nothing is written for one that comes later
while an earlier one waits. After an answer that closes, nothing is parsed or written any more. Once a request
cannot be read, or is a CONNECT, the connection is deaf: what comes later is nobody's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import httptools

from rapide.server.context import CallContext
from rapide.server.errors import InvalidRequest, RapideError, TooLarge
from rapide.server.protocols.http_call import HttpReply
from rapide.server.protocols.http_door import refusal
from rapide.server.protocols.http_lane.asgi import AsgiCall
from rapide.server.protocols.http_lane.exchange import Exchange
from rapide.server.protocols.http_lane.head import check_head
from rapide.server.protocols.http_lane.known_heads import KnownHeads, head_of
from rapide.server.protocols.http_lane.options import HttpLaneOptions
from rapide.server.protocols.http_lane.refusals import STATUS, HeadersTooLarge, TooSlow, UrlTooLong
from rapide.server.protocols.http_lane.wire import CONTINUE, ReplyWriter
from rapide.server.protocols.outlet import Outlet
from rapide.server.protocols.turns import SHARE_S, Place, Turns
from rapide.server.telemetry.connections import Connections, Uncounted

_log = logging.getLogger(__name__)
_PIECE_BYTES, _BUSY_PIECE_BYTES = 2048, 512
"""What is looked at between two looks at the clock, bodies of known length aside: some dozens of the smallest
requests; fewer where others stand in line."""
_SMALL_BYTES = 1024
"""A read that cannot take long, so that nobody looks at the clock for it: nearly all of them."""
_LARGE_BYTES = 16_384
"""A read of which not even a part is looked at while others stand in line."""
_APP_S = 5e-4
"""What the application takes for a request, roughly: it runs later, and cannot be seen here."""


class Lane:
    """What all connections of one lane share. ``fast`` answers an exchange itself, or says that it will not."""

    __slots__ = (
        "app",
        "clock",
        "connections",
        "fast",
        "heads",
        "meter",
        "options",
        "turns",
        "wall_clock",
        "writer",
    )

    def __init__(
        self,
        app: Any,
        fast: Callable[[HttpConnection, Exchange], bool],
        options: HttpLaneOptions,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        meter: Connections | None = None,
    ) -> None:
        self.app = app
        self.fast = fast
        self.options = options
        self.clock = clock
        self.wall_clock = wall_clock
        self.meter = meter or Uncounted()
        self.writer = ReplyWriter()
        self.heads = KnownHeads()
        self.turns = Turns()
        self.connections: set[HttpConnection] = set()


class HttpConnection(asyncio.Protocol):
    """See above. The methods without underscore that take no transport are httptools' callbacks."""

    def __init__(self, lane: Lane) -> None:
        # the connection's life
        self.lane = lane
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._outlet: Outlet | None = None
        self._peer: Any = None
        self._local: Any = None
        self._scheme = "http"
        self._idle_since_s = lane.clock()
        self._blocked_since_s: float | None = None
        self._draining_since_s: float | None = None
        self._is_closing = False
        self._is_deaf = False
        self._finished_s: float | None = None
        self._unheard_bytes = 0
        self._is_draining = False
        self._is_receiving = False
        self._is_write_due = False
        self._tasks: set[asyncio.Task[None]] = set()
        # its share of the loop's time
        self._place = Place(lane.turns, self._take_turn, self._loop)
        self._app_s = 0.0
        """What the application will take for what began in this read."""
        self._waiting = b""
        """What was read and not yet looked at."""
        # the requests: one being read, the others waiting for their answers
        self._reading: Exchange | None = None
        self._head = b""
        """The bytes of the head that is read, if they all came in one piece at the start of a read."""
        self._line: deque[Exchange] = deque()

    # -- asyncio's side ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._outlet = Outlet(self._transport)
        self._peer = _address(transport.get_extra_info("peername"))
        self._local = _address(transport.get_extra_info("sockname"))
        self._scheme = "http" if transport.get_extra_info("ssl_object") is None else "https"
        self.lane.connections.add(self)
        self.lane.meter.opened()

    def data_received(self, data: bytes) -> None:
        if self._is_closing or self._is_deaf:
            self._ignore(len(data))
            return
        turns = self.lane.turns
        if self._waiting or self._place.in_line:
            self._waiting += data
        elif len(data) > _LARGE_BYTES and turns.is_busy:
            self._waiting = data
            self._stand_in_line()
        elif len(data) > _SMALL_BYTES or turns.is_busy:
            now_s = self.lane.clock()
            took_s = self._work(data, now_s)
            if (took_s > SHARE_S or turns.is_busy) and self._place.owe(took_s, now_s):
                self._stand_in_line()
        else:
            self._app_s = 0.0
            self._is_receiving = True
            taken = self._take_piece(data, 0, _SMALL_BYTES)
            if taken < len(data):
                self._read(data[taken:])
            self._is_receiving = False
            if self._app_s > SHARE_S and self._place.owe(self._app_s, self.lane.clock()):
                self._stand_in_line()
            self._end_reading()

    def _work(self, data: bytes, now_s: float) -> float:
        """Looks at ``data`` for a share of time; the rest waits. Gives the seconds it took, and will take."""
        lane, line = self.lane, self._line
        most_bytes = _BUSY_PIECE_BYTES if lane.turns.is_busy else _PIECE_BYTES
        self._app_s = took_s = 0.0
        position = 0
        self._is_receiving = True
        while position < len(data) and not (self._is_closing or self._is_deaf):
            position = self._take_piece(data, position, most_bytes)
            took_s = lane.clock() - now_s + self._app_s
            if took_s > SHARE_S or len(line) >= lane.options.max_pipelined:
                break
        self._is_receiving = False
        self._waiting = data[position:]
        self._end_reading()
        return took_s

    def _take_piece(self, data: bytes, position: int, most_bytes: int) -> int:
        """Looks at ``data`` from ``position`` on. Gives where it ended, behind ``most_bytes`` or the body read."""
        if self._reading is None:
            taken = self._take_known(data, position, position + most_bytes)
            if taken > position:
                return taken
        elif self._reading.is_headed:
            declared = self._reading.headers.get("content-length", "")
            if declared.isdigit():
                most_bytes = max(most_bytes, int(declared) - self._reading.body_bytes)
        stop = position + most_bytes
        self._read(data[position:stop] if position or stop < len(data) else data)
        return min(stop, len(data))

    def _end_reading(self) -> None:
        if self._is_closing or self._is_deaf:
            self._waiting = b""  # nobody's
        if self._is_write_due:
            self._write()
        if len(self._line) >= self.lane.options.max_pipelined:
            self._pause()
        elif self._waiting:
            self._stand_in_line()

    def _stand_in_line(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._place.in_line:
            return
        if self._place.join(len(self._waiting)):
            transport.pause_reading()
        else:
            _log.warning("an HTTP connection was cut off: too much waits already")
            transport.abort()

    def _take_turn(self) -> float:
        took_s = self._place.leave()
        transport = self._transport
        if transport is None or transport.is_closing() or not self._may_go_on():
            return took_s
        data, self._waiting = self._waiting, b""
        if data:
            try:
                took_s += self._work(data, self.lane.clock())
            except Exception:  # noqa: BLE001 - as the loop does with what a read raises
                _log.exception("an HTTP connection was ended")
                transport.abort()
                return took_s
        self._resume()
        return took_s

    def _read(self, data: bytes) -> None:
        """What the parser makes of ``data``, and what becomes of a request that it cannot read."""
        exchange = self._reading
        told_bytes = 0
        if exchange is None:
            self._head = head_of(data)
        else:
            told_bytes = exchange.told_bytes
        try:
            stopped_at = self._parse(data)
            if stopped_at is not None:
                self._parse_without_upgrade(memoryview(data)[stopped_at:])
            if exchange is not None and exchange is self._reading:
                self._bound_silence(exchange, exchange.told_bytes == told_bytes, len(data))
        except RapideError as error:
            self._refuse(error)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, RapideError):
                self._refuse(cause)
            else:
                _log.error("parsing a request failed", exc_info=error)
                self._refuse(InvalidRequest("the request cannot be read"))
        except httptools.HttpParserError as error:
            self._refuse(InvalidRequest(f"this is no HTTP/1.1 request: {error}"))

    def _take_known(self, data: bytes, position: int, stop: int) -> int:
        """Takes whole requests whose heads are known and that begin in ``data[position:stop]``, while one follows
        the other; gives where they end."""
        lane = self.lane
        stop = min(stop, len(data))
        while position < stop and not self._is_closing:
            head = head_of(data, position)
            known = lane.heads.get(head)
            start = position + len(head)
            if known is None or start + known.body_bytes > len(data):
                break
            position = start + known.body_bytes
            exchange = known.exchange(data[start:position], lane.clock())
            exchange.closes = self._is_draining
            self._line.append(exchange)
            if not lane.fast(self, exchange):
                self._start_app(exchange)
        return position

    def _parse(self, data: bytes | memoryview) -> int | None:
        """Where an Upgrade or a CONNECT stopped the parser, if one did."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            return cast("int", stop.args[0])
        return None

    def _parse_without_upgrade(self, rest: memoryview) -> None:
        """Ignores an Upgrade, as a server may (RFC 9110, 7.8): what follows the head is a body as any other's.

        The parser has stopped there, so a fresh one reads the head again, without the Upgrade.
        """
        while self._reading is not None:
            head = self._reading.head_without_upgrade()
            self._parser = httptools.HttpRequestParser(self)
            if self._parse(head) is not None:
                break  # a CONNECT stops without an Upgrade, too
            stopped_at = self._parse(rest)
            if stopped_at is None:
                return
            rest = rest[stopped_at:]
        self._ends_with_connect()

    def _ignore(self, size_bytes: int) -> None:
        self._unheard_bytes += size_bytes
        if self._unheard_bytes > self.lane.options.goodbye_bytes:
            self.abort()

    def _bound_silence(self, exchange: Exchange, is_silent: bool, size_bytes: int) -> None:
        """The parser keeps an unfinished field to itself, and one without an end would be kept for ever."""
        exchange.silent_bytes = exchange.silent_bytes + size_bytes if is_silent else 0
        if exchange.silent_bytes > self.lane.options.max_header_bytes:
            kind = TooLarge if exchange.is_headed else HeadersTooLarge
            raise kind(f"a part of the request is longer than {self.lane.options.max_header_bytes} bytes")

    def eof_received(self) -> bool:
        # A client that closes looks like one that has only sent all; as other servers do, we take it to be gone.
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason
        self.lane.connections.discard(self)
        self.lane.meter.closed()
        self._transport = self._outlet = None
        self._is_closing = True
        self._waiting = b""
        self._give_up()

    def _give_up(self) -> None:
        """Nobody will be told the answers that are still to come."""
        for exchange in self._line:
            if exchange.cancel is not None:
                exchange.cancel()
        self._line.clear()

    def pause_writing(self) -> None:
        self._blocked_since_s = self.lane.clock()
        self._pause()

    def resume_writing(self) -> None:
        self._blocked_since_s = None
        self._resume()

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _may_go_on(self) -> bool:
        """Whether there is room for more requests, and for their answers."""
        return self._blocked_since_s is None and len(self._line) < self.lane.options.max_pipelined

    def _resume(self) -> None:
        """Goes on with what was read, else reads on; not while it stands in line anyway."""
        transport = self._transport
        if transport is None or transport.is_closing() or not self._may_go_on():
            return
        if self._waiting:
            self._stand_in_line()
        elif not self._place.in_line:
            transport.resume_reading()

    # -- the parser's side -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        again = self._reading  # a head that is read again without its Upgrade began when it did
        self._reading = Exchange(self.lane.clock() if again is None else again.started_s)

    def on_url(self, url: bytes) -> None:
        exchange = self._now_reading()
        exchange.url += url
        if len(exchange.url) > self.lane.options.max_url_bytes:
            raise UrlTooLong(f"the URL is longer than {self.lane.options.max_url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._now_reading()
        exchange.header_bytes += len(name) + len(value)
        exchange.header_count += 1
        if not exchange.is_headed:  # trailers must not pass for headers (RFC 9110, 6.5.1)
            name = name.lower()
            exchange.fields.append((name, value))
            exchange.headers[name.decode("latin-1")] = value.decode("latin-1")
        options = self.lane.options
        if exchange.header_bytes > options.max_header_bytes or exchange.header_count > options.max_headers:
            raise HeadersTooLarge(
                f"the headers exceed {options.max_header_bytes} bytes or {options.max_headers} fields"
            )

    def on_headers_complete(self) -> None:
        exchange = self._now_reading()
        exchange.method = self._parser.get_method().decode("latin-1")
        exchange.version = self._parser.get_http_version()
        exchange.closes = self._is_draining or not self._parser.should_keep_alive()
        headers = exchange.headers
        if "upgrade" in headers and self._parser.should_upgrade():
            return  # _parse_without_upgrade comes next
        exchange.is_headed = True
        self._line.append(exchange)
        check_head(exchange)
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self.lane.options.max_body_bytes:
            raise self._too_large()
        if headers.get("expect", "").lower() == "100-continue" and exchange.version == "1.1":
            exchange.wants_continue = True
            self._write_soon()

    def on_body(self, body: bytes) -> None:
        exchange = self._now_reading()
        exchange.add_body(body)
        if exchange.body_bytes > self.lane.options.max_body_bytes:
            raise self._too_large()

    def on_message_complete(self) -> None:
        exchange = self._now_reading()
        if not exchange.is_headed:
            return  # its Upgrade stopped the parser
        exchange.is_complete = True
        self._reading = None
        if self._is_closing:
            return
        if self._head:
            self.lane.heads.learn(self._head, exchange)
            self._head = b""
        if not self.lane.fast(self, exchange):
            self._start_app(exchange)

    def _now_reading(self) -> Exchange:
        exchange = self._reading
        assert exchange is not None  # noqa: S101 - on_message_begin comes first
        return exchange

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the request's body is larger than {self.lane.options.max_body_bytes} bytes, the limit here"
        )

    def _ends_with_connect(self) -> None:
        """There are no tunnels here: a CONNECT is answered as any other request, and is the connection's last."""
        if self._line:
            self._line[-1].closes = True
        self._is_deaf = True
        self._pause()

    # -- answers -----------------------------------------------------------------------------------------------

    def answer(self, exchange: Exchange, data: bytes) -> None:
        """Fills the exchange's place in the line."""
        exchange.answer = data
        exchange.cancel = None
        if len(self._line) == 1 and not self._is_receiving:
            self._write()  # there is no other that could leave with it
        else:
            self._write_soon()

    def reply(self, exchange: Exchange, reply: HttpReply, context: CallContext) -> None:
        """As ``answer``, from a reply of the door."""
        if reply.headers and any(name == "connection" for name, _ in reply.headers):
            reply.headers = tuple(field for field in reply.headers if field[0] != "connection")
            exchange.closes = True
        lane = self.lane
        self.answer(exchange, lane.writer.reply(reply, context, lane.wall_clock(), closes=exchange.closes))

    def _write_soon(self) -> None:
        if not self._is_write_due:
            self._is_write_due = True
            if not self._is_receiving:  # that ends with a write
                self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._is_write_due = False
        transport, outlet, line = self._transport, self._outlet, self._line
        if transport is None or outlet is None or self._is_closing:
            return
        parts: list[bytes] = []
        while line and line[0].answer is not None:
            exchange = line.popleft()
            parts.append(cast("bytes", exchange.answer))
            if exchange.closes or (self._is_draining and not line):
                self._is_closing = True
                break
        if not self._is_closing and line and line[0].wants_continue and not line[0].is_complete:
            line[0].wants_continue = False
            parts.append(CONTINUE)
        if parts:
            outlet.write(b"".join(parts) if len(parts) > 1 else parts[0])
        if self._is_closing:
            self._finish(transport)
        elif not line:
            self._idle_since_s = self.lane.clock()
            if self._is_draining:
                transport.close()
        self._resume()

    def _finish(self, transport: asyncio.Transport) -> None:
        """Ends the connection. A peer that may still be sending is let finish for a while, and not heard: closing
        on it would make TCP drop the answer that tells it why (RFC 9112, 9.6)."""
        if not (self._is_deaf or self._line or self._waiting or self._reading is not None):
            transport.close()
            return
        self._reading = None
        self._waiting = b""
        self._give_up()
        self._finished_s = self.lane.clock()
        if transport.can_write_eof():  # TLS cannot: there the answer says it
            transport.write_eof()

    def _refuse(self, error: RapideError) -> None:
        """Answers what cannot be read, behind everything that was asked before, and ends the connection."""
        exchange = self._reading
        self._reading = None
        if exchange is None or exchange not in self._line:
            exchange = exchange or Exchange(self.lane.clock())
            self._line.append(exchange)
        exchange.closes = True
        self._is_deaf = self._is_draining = True
        reply = refusal(error)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply.body))]
        status = STATUS.get(type(error), reply.status)
        self.answer(
            exchange,
            self.lane.writer.plain(status, headers, reply.body, self.lane.wall_clock(), closes=True),
        )
        self._pause()

    # -- the ASGI application ----------------------------------------------------------------------------------

    def _start_app(self, exchange: Exchange) -> None:
        self._app_s += _APP_S
        call = AsgiCall(self.lane.app, exchange)
        exchange.cancel = call.gone
        task = self._loop.create_task(self._run_app(call, exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_app(self, call: AsgiCall, exchange: Exchange) -> None:
        lane = self.lane
        try:
            await call.run(self._peer, self._local, self._scheme)
        except Exception:  # noqa: BLE001 - whatever an application does is its own request's answer
            _log.exception("the application failed at %s", exchange.url[:128])
            reply = HttpReply(b'{"error": "internal error; the server\'s log has the details"}', 500)
            call.status, call.body = reply.status, reply.body
            call.headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply.body))]
        if any(name == b"connection" and value == b"close" for name, value in call.headers):
            call.headers = [field for field in call.headers if field[0] != b"connection"]
            exchange.closes = True
        body = b"" if exchange.method == "HEAD" else call.body
        self.answer(
            exchange,
            lane.writer.plain(call.status, call.headers, body, lane.wall_clock(), closes=exchange.closes),
        )

    # -- time --------------------------------------------------------------------------------------------------

    def sweep(self, now_s: float) -> None:
        """Ends connections that are idle, too slow to ask, or too slow to read; called now and then."""
        options, transport = self.lane.options, self._transport
        if transport is None or self._waits_for_us:
            return
        if self._blocked_since_s is not None:
            if now_s - self._blocked_since_s > options.blocked_s:
                transport.abort()
        elif self._finished_s is not None:
            if now_s - self._finished_s > options.goodbye_s:
                transport.abort()
        elif self._reading is not None:
            if now_s - self._reading.started_s > options.request_s:
                self._refuse(TooSlow(f"the request did not arrive within {options.request_s:g} s"))
                self._write()
            elif self._draining_since_s is not None and now_s - self._draining_since_s > options.drain_request_s:
                self._refuse(TooSlow("the server is stopping, and the request has not arrived"))
                self._write()
        elif not self._line and now_s - self._idle_since_s > options.keep_alive_s:
            transport.close()

    @property
    def _waits_for_us(self) -> bool:
        """It has brought more than we have looked at; it is not to blame, unless it does not read."""
        return self._blocked_since_s is None and (bool(self._waiting) or self._place.in_line)

    def drain(self) -> None:
        """Answers what was asked, then closes."""
        self._is_draining = True
        self._draining_since_s = self.lane.clock()
        if self._line:
            self._line[-1].closes = True  # so that its answer, if it is yet to be made, tells the peer
        elif self._transport is not None and not (
            self._waiting or self._reading is not None or self._finished_s is not None
        ):
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _address(name: Any) -> Any:
    return (name[0], name[1]) if isinstance(name, tuple) else None
