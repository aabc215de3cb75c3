"""HTTP/1.1 on the lane under pipelines, valid and damaged: whole, byte by byte and cut, it answers the same.

    python -m tests.fuzz.http_lane_fuzz --seconds 3600          (more ways to run it: campaign.py)

Requests go to an application that says what it was asked, or to a fast way that answers at once or later. Checked,
beside that nothing raises or is logged as an error: answers in the requests' order, each a well-formed message; no
more of them than requests; a refusal is the last; and bounds on what is kept.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any
from zlib import crc32

from rapide.server.protocols.http_lane.exchange import Exchange
from rapide.server.protocols.http_lane.line import HttpConnection
from rapide.server.protocols.http_lane.options import HttpLaneOptions
from rapide.server.protocols.http_lane.server import HttpLaneServer
from tests.fuzz.campaign import Target, main
from tests.fuzz.wires import Loop, Wire

OPTIONS = (
    HttpLaneOptions(max_body_bytes=3000, max_url_bytes=300, max_headers=12, max_header_bytes=600, max_pipelined=4),
    HttpLaneOptions(),
)
_CUTS = (1, 2, 7, 100, 1000, 1 << 16)
_MAX_PIECES = 400


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    status: int
    body: bytes
    closes: bool


class App:
    """Says what it was asked."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        text = json.dumps([scope["method"], scope["path"], crc32(body), len(body), fields]).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})


class Run:
    """One connection, and what it was sent."""

    def __init__(self, options: HttpLaneOptions) -> None:
        self.options = options
        self.loop = Loop()
        self._server = HttpLaneServer(App(), self._fast, options, lambda: 0.0, lambda: 1e9)
        self.line = self.loop.asyncio.run_until_complete(self._connection())
        self.wire = Wire(self.loop.asyncio, self.line)

    async def _connection(self) -> HttpConnection:
        """A connection wants a running loop."""
        return self._server.connection()

    def _fast(self, connection: HttpConnection, exchange: Exchange) -> bool:
        """Answers ``/now`` within the read and ``/later`` after some turns."""
        if exchange.url not in (b"/now", b"/later"):
            return False
        body = b"%s %d" % (exchange.url, crc32(exchange.whole_body()))
        headers = [(b"content-length", b"%d" % len(body))]
        writer = connection.lane.writer
        turns = 0 if exchange.url == b"/now" else 5

        def answer(left: int) -> None:
            if left:
                exchange.cancel = self.loop.asyncio.call_soon(answer, left - 1).cancel
            else:
                connection.answer(exchange, writer.plain(200, headers, body, 1e9, closes=exchange.closes))

        answer(turns)
        return True

    def receive(self, data: bytes) -> None:
        """Some of the wire, as far as the connection reads it; what it leaves unread nobody can tell."""
        if self.wire.is_over:
            return
        self.line.data_received(data)
        self.loop.settle(2 if len(data) < 100 else 20)
        for _ in range(1000):
            if self.wire.is_over or not self.wire.is_paused:
                break
            self.loop.settle(5)
        else:
            raise AssertionError("its socket is never read again")
        reading = self.line._reading
        if reading is not None:
            assert reading.header_bytes <= self.options.max_header_bytes
            assert len(reading.url) <= self.options.max_url_bytes
            assert reading.body_bytes <= self.options.max_body_bytes
            assert reading.silent_bytes <= self.options.max_header_bytes

    def finish(self) -> list[Said]:
        """What was answered, once all that can be is."""
        self.loop.settle(20)
        waiting = [exchange for exchange in self.line._line if exchange.is_complete]
        assert self.wire.is_over or not waiting, "a whole request without an answer"
        assert self.wire.is_over or not self.line._waiting, "something that nobody will look at"
        answers = list(answers_in(bytes(self.wire.written)))
        assert all(not answer.closes for answer in answers[:-1])
        assert not answers or not answers[-1].closes or self.wire.is_over
        self.wire.lose()
        self.loop.settle(20)
        assert not self.line._tasks
        assert not self.line.lane.connections
        return answers

    def close(self) -> None:
        self.loop.close()


def answers_in(data: bytes) -> Iterator[Said]:
    """The responses in ``data``, but for ``100 Continue``. An answer to HEAD has no body: the next one follows its
    headers."""
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator
        status_line, *lines = head.split(b"\r\n")
        version, status, _ = status_line.split(b" ", 2)
        assert version == b"HTTP/1.1"
        if status == b"100":
            assert not lines
            continue
        fields = dict(line.lower().split(b": ", 1) for line in lines)
        length = 0 if data.startswith(b"HTTP/1.1 ") else int(fields[b"content-length"])
        body, data = data[:length], data[length:]
        yield Said(int(status), body, fields.get(b"connection") == b"close")


class Heard(logging.Handler):
    """Keeps what the lane logs as an error: it should never."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def run(data: bytes, options: HttpLaneOptions, cut: int) -> list[Said]:
    done = Run(options)
    try:
        for start in range(0, len(data), cut):
            done.receive(data[start : start + cut])
        return done.finish()
    finally:
        done.close()


def attempt(data: bytes) -> None:
    """The first byte chooses the bounds; the rest is the wire."""
    if not data:
        return
    options, data = OPTIONS[data[0] % len(OPTIONS)], data[1:]
    heard = Heard()
    log = logging.getLogger("rapide.server.protocols.http_lane")
    log.addHandler(heard)
    try:
        whole = run(data, options, 1 << 30)
        cuts = [cut for cut in _CUTS if len(data) < _MAX_PIECES * cut]
        pieces = run(data, options, cuts[crc32(data) % len(cuts)])
    finally:
        log.removeHandler(heard)
    assert not heard.records, heard.records[0].exc_info
    if pieces and b"a part of the request is longer" in pieces[-1].body:
        # A part that a second read does not end is refused; whole, it came at once or is still waited for.
        pieces.pop()
        del whole[len(pieces) :]
    assert [_kind(answer) for answer in pieces] == [_kind(answer) for answer in whole]


def _kind(answer: Said) -> Said | str:
    """The answer; of a refusal only that it is one: which rule is broken first depends on where the cuts are."""
    return "refused" if 400 <= answer.status < 500 or answer.status == 505 else answer


def grow(random: Random) -> bytes:
    requests = [_request(random) for _ in range(random.choice((1, 1, 2, 4, 12)))]
    if random.random() < 0.2:
        requests.append(
            random.choice((random.randbytes(30), b"\r\n" * 5, b"GET", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        )
    return bytes([random.choice((0, 0, 1))]) + b"".join(requests)


_METHODS = (
    *(b"GET", b"POST", b"POST", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"),
    b"CONNECT",
    b"QUERY",
    b"get",
)
_URLS = (
    b"/",
    b"/now",
    b"/now",
    b"/later",
    b"/later",
    b"/a%20b?x=1",
    b"http://x/abs",
    b"http://x/now",
    b"/now#a",
    b"*",
    b"/" + b"u" * 310,
    b"x:1",
)
_FIELDS = (
    *(b"X-A: 1", b"x-a: 2", b"Empty:", b"Accept-Encoding: gzip", b"Expect: 100-continue", b"Expect: other"),
    *(
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: Upgrade",
        b"Upgrade: h2c",
        b"Upgrade: websocket",
    ),
    *(b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: 99999999999", b"Content-Length: x", b": none"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: gzip", b"no colon"),
    *(b"Long: " + b"v" * 400, b"Fold: a\r\n b", b"Null: \0", b"\xff: \xfe", b"Host: again", b"Sp ace: 1"),
)


def _request(random: Random) -> bytes:
    lines = [
        random.choice(_METHODS)
        + b" "
        + random.choice(_URLS)
        + random.choice((b" HTTP/1.1",) * 18 + (b" HTTP/1.0", b" HTTP/2.0"))
    ]
    if random.random() < 0.97:
        lines.append(b"Host: x")
    if random.random() < 0.3:
        lines += random.choices(_FIELDS, k=random.choice((1, 1, 2, 14)))
    body = b""
    match random.randrange(4):
        case 0:
            body = random.choice((b"", b"hello", random.randbytes(200), bytes(2900), bytes(3100)))
            lines.append(b"Content-Length: %d" % len(body))
        case 1:
            lines.append(b"Transfer-Encoding: chunked")
            body = _chunks(random)
        case _:
            pass
    if random.random() < 0.03:
        body = body[: len(body) // 2]
    return random.choice((b"\r\n",) * 20 + (b"\n",)).join([*lines, b"", body])


def _chunks(random: Random) -> bytes:
    parts = []
    for _ in range(random.choice((0, 1, 2, 30))):
        chunk = random.randbytes(random.choice((1, 2, 50, 1000)))
        extension = random.choice((b"",) * 6 + (b";a=b", b';a="b"', b";" + b"e" * 700, b" "))
        parts.append(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk))
    trailers = random.choice((b"",) * 6 + (b"T: 1\r\n", b"Content-Length: 5\r\n", b"T: 1\r\n" * 15))
    return b"".join(parts) + random.choice((b"0\r\n",) * 9 + (b"000\r\n", b"-1\r\n")) + trailers + b"\r\n"


def seeds() -> list[bytes]:
    post = b" HTTP/1.1\r\nHost: x\r\n"
    return [
        b"\0GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST /now HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"\0POST /later" + post + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: 1\r\n\r\n",
        b"\1POST /" + post + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
    ]


TARGETS = [Target("http_lane", attempt, seeds(), grow)]

if __name__ == "__main__":
    raise SystemExit(main(__doc__, TARGETS))
