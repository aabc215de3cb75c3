"""The HTTP lane on real sockets: framing, order, limits, slow and rude peers; the ASGI application behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rapide.server.protocols.http_lane.exchange import Exchange
from rapide.server.protocols.http_lane.line import HttpConnection
from rapide.server.protocols.http_lane.options import HttpLaneOptions
from rapide.server.protocols.http_lane.server import HttpLaneServer
from rapide.server.tls import Tls
from tests.certificates import self_signed


class App:
    """An ASGI application that tells what it was asked; ``/slow`` waits, ``/fails`` raises."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.gone = asyncio.Event()
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope)
        body = (await receive())["body"]
        if scope["path"] == "/fails":
            raise ValueError("a secret of the server")
        if scope["path"] == "/slow":
            waiting = asyncio.create_task(self.release.wait())
            leaving = asyncio.create_task(receive())
            done, pending = await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if leaving in done:
                self.gone.set()
        text = json.dumps(
            {
                "path": scope["path"],
                "query": scope["query_string"].decode(),
                "bytes": len(body),
                "body": body[:64].decode(),
            }
        ).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
        if scope["path"] == "/last":
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})


class Client:
    """Sends bytes and reads responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(5):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in text[1:-2])
            length = 0 if head else int(headers.get("content-length", 0))
            return int(text[0].split(" ")[1]), headers, await self.reader.readexactly(length)

    async def ended(self) -> bool:
        async with asyncio.timeout(5):
            return await self.reader.read(1) == b""


class Served:
    def __init__(self, port: int, app: App, server: HttpLaneServer) -> None:
        self.port, self.app, self.server = port, app, server
        self._clients: list[Client] = []

    async def client(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.writer.close()


def no_fast_way(_connection: HttpConnection, _exchange: Exchange) -> bool:
    return False


@contextlib.asynccontextmanager
async def served(
    options: HttpLaneOptions | None = None, fast: Any = no_fast_way, tls: Tls | None = None
) -> AsyncIterator[Served]:
    app = App()
    server = HttpLaneServer(app, fast, options)
    listener = socket.create_server(("127.0.0.1", 0))
    await server.start(listener, tls=tls)
    run = Served(listener.getsockname()[1], app, server)
    try:
        yield run
    finally:
        run.close()
        await server.stop(0.0)


def get(path: str = "/", *more: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: x", *more, "", ""]).encode()


def post(body: bytes, *more: str, path: str = "/") -> bytes:
    return get(path, f"Content-Length: {len(body)}", *more, method="POST") + body


async def test_a_request_reaches_the_application() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/a%20b?x=1", "X-Two: 1", "X-Two: 2"))
        status, headers, body = await client.response()
    assert status == 200
    assert json.loads(body) == {"path": "/a b", "query": "x=1", "bytes": 0, "body": ""}
    assert "date" in headers
    scope = run.app.asked[0]
    assert [value for name, value in scope["headers"] if name == b"x-two"] == [b"1", b"2"]
    assert scope["client"][0] == "127.0.0.1"


async def test_thousands_of_requests_in_a_read_take_turns_with_the_others() -> None:
    async with served() as run:
        many, one = await run.client(), await run.client()
        many.send(b"".join(get(f"/{number}") for number in range(5000)))
        while not run.app.asked:
            await asyncio.sleep(0)
        one.send(get("/one"))
        await one.response()
        assert len(run.app.asked) < 1000
        for number in range(5000):
            assert json.loads((await many.response())[2])["path"] == f"/{number}"


async def test_what_is_yet_to_be_looked_at_when_the_server_stops_is_not_answered_and_holds_nobody_up() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/asked") * 5000)
        while not run.app.asked:
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            stopping = asyncio.create_task(run.server.stop(10.0))
            answered = await client.reader.read()
            client.writer.close()
            await stopping
    assert answered.startswith(b"HTTP/1.1 200 ")
    assert answered.count(b"connection: close\r\n") == 1
    assert answered.endswith(b'"}')


@pytest.mark.parametrize("cut", [1, 2, 7, 1000])
async def test_requests_however_they_are_cut(cut: int) -> None:
    data = post(b"hello", path="/one") + get("/two") + post(b"x" * 3000, path="/three")
    async with served() as run:
        client = await run.client()
        for start in range(0, len(data), cut):
            client.send(data[start : start + cut])
            await asyncio.sleep(0)
        answers = [json.loads((await client.response())[2]) for _ in range(3)]
    assert [answer["path"] for answer in answers] == ["/one", "/two", "/three"]
    assert [answer["bytes"] for answer in answers] == [5, 0, 3000]


async def test_pipelined_answers_keep_their_order() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/slow") + get("/fast") + get("/faster"))
        while len(run.app.asked) < 3:
            await asyncio.sleep(0.001)
        run.app.release.set()
        paths = [json.loads((await client.response())[2])["path"] for _ in range(3)]
    assert paths == ["/slow", "/fast", "/faster"]


async def test_a_long_pipeline_is_read_no_further_than_the_bound() -> None:
    async with served(HttpLaneOptions(max_pipelined=4)) as run:
        client = await run.client()
        for _ in range(50):
            client.send(get("/slow"))
            await client.writer.drain()
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert len(run.app.asked) <= 50
        run.app.release.set()
        for _ in range(50):
            assert (await client.response())[0] == 200


async def test_chunked_bodies() -> None:
    async with served() as run:
        client = await run.client()
        client.send(
            get("/c", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        )
        assert json.loads((await client.response())[2])["body"] == "hello world"


async def test_expect_100_continue() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/e", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        async with asyncio.timeout(5):
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert json.loads((await client.response())[2])["body"] == "hello"


async def test_expect_is_refused_before_a_body_that_is_too_large() -> None:
    async with served(HttpLaneOptions(max_body_bytes=10)) as run:
        client = await run.client()
        client.send(get("/e", "Content-Length: 50", "Expect: 100-continue", method="POST"))
        assert (await client.response())[0] == 413
        assert await client.ended()


async def test_head_has_no_body_but_its_length() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/h", method="HEAD"))
        status, headers, _ = await client.response(head=True)
        assert status == 200
        assert int(headers["content-length"]) > 0
        client.send(get("/after"))
        assert json.loads((await client.response())[2])["path"] == "/after"


@pytest.mark.parametrize(
    "request_",
    [get("/", "Connection: close"), get("/", version="1.0"), get("/last")],
    ids=["asked to", "HTTP/1.0", "told to"],
)
async def test_connections_that_end_with_their_answer(request_: bytes) -> None:
    async with served() as run:
        client = await run.client()
        client.send(request_)
        assert (await client.response())[1]["connection"] == "close"
        assert await client.ended()


UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
"""What the HttpClient of Java sends by default."""


@pytest.mark.parametrize(
    "upgrade", [UPGRADE, ("Connection: upgrade", "Upgrade: websocket, h2c")], ids=["h2c", "other"]
)
@pytest.mark.parametrize("cut", [1, 7, 1 << 20])
async def test_an_upgrade_is_ignored_and_the_body_counts(cut: int, upgrade: tuple[str, ...]) -> None:
    chunked = get("/two", "Transfer-Encoding: chunked", *upgrade, method="POST") + b"5\r\nhello\r\n0\r\n\r\n"
    data = post(b"hello", *upgrade, path="/one") + chunked + get("/three", *upgrade) + get("/four")
    async with served() as run:
        client = await run.client()
        for start in range(0, len(data), cut):
            client.send(data[start : start + cut])
            await asyncio.sleep(0)
        answers = [await client.response() for _ in range(4)]
        bodies = [json.loads(body) for _, _, body in answers]
    assert [body["path"] for body in bodies] == ["/one", "/two", "/three", "/four"]
    assert [body["body"] for body in bodies] == ["hello", "hello", "", ""]
    assert not any("connection" in headers for _, headers, _ in answers)


async def test_a_body_waits_for_its_continue_whatever_it_would_upgrade_to() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/e", "Content-Length: 5", "Expect: 100-continue", *UPGRADE, method="POST"))
        async with asyncio.timeout(5):
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert json.loads((await client.response())[2])["body"] == "hello"


@pytest.mark.parametrize("more", [(), UPGRADE], ids=["plain", "with Upgrade"])
async def test_a_connect_is_answered_and_the_last(more: tuple[str, ...]) -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("x:1", *more, method="CONNECT") + get("/tunnelled"))
        assert (await client.response())[1]["connection"] == "close"
        assert await client.ended()
    assert len(run.app.asked) == 1


TARGETS = [
    ("absolute", "http://there:8000/v2/a%20b?x=1", "/v2/a b", "x=1", b"there:8000"),
    ("absolute, with a user", "https://me@there/a", "/a", "", b"there"),
    ("absolute, without a path", "http://there", "/", "", b"there"),
    ("absolute, with a query alone", "http://there?x=http://y/", "/", "x=http://y/", b"there"),
    ("fragment", "/infer#a", "/infer", "", b"x"),
    ("fragment after a query", "/infer?x=1#a?b", "/infer", "x=1", b"x"),
    ("absolute, with a fragment", "http://there/infer#/b", "/infer", "", b"there"),
    ("an address in the path", "/http://there/a", "/http://there/a", "", b"x"),
    ("two slashes", "//there/a", "//there/a", "", b"x"),
]


@pytest.mark.parametrize(
    ("target", "path", "query", "host"), [row[1:] for row in TARGETS], ids=[row[0] for row in TARGETS]
)
async def test_targets_mean_their_path(target: str, path: str, query: str, host: bytes) -> None:
    seen: list[bytes] = []

    def fast(_connection: HttpConnection, exchange: Exchange) -> bool:
        seen.append(exchange.url)
        return False

    async with served(fast=fast) as run:
        client = await run.client()
        client.send(get(target))
        answer = json.loads((await client.response())[2])
    assert (answer["path"], answer["query"]) == (path, query)
    assert [value for name, value in run.app.asked[0]["headers"] if name == b"host"] == [host]
    assert seen[0].startswith(b"/")
    assert b"#" not in seen[0]


REFUSED = [
    ("garbage", b"\x16\x03\x01\x02\x00garbage\r\n\r\n", 400),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two lengths", get("/", "Content-Length: 1", "Content-Length: 2", method="POST"), 400),
    ("length and chunks", get("/", "Content-Length: 1", "Transfer-Encoding: chunked", method="POST"), 400),
    ("negative length", get("/", "Content-Length: -1", method="POST"), 400),
    ("bad chunk", get("/", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n", 400),
    ("two hosts", get("/", "Host: x"), 400),
    ("two hosts and an Upgrade", get("/", "Host: y", *UPGRADE), 400),
    (
        "length and chunks and an Upgrade",
        get("/", "Content-Length: 1", "Transfer-Encoding: chunked", *UPGRADE),
        400,
    ),
    ("HTTP/2", get("/", version="2.0"), 505),
    ("HTTP/0.9", get("/", version="0.9"), 505),
    ("long URL", get("/" + "a" * 9000), 414),
    ("many headers", get("/", *[f"h{number}: 1" for number in range(256)]), 431),
    ("large headers", get("/", "h: " + "x" * 70_000), 431),
    ("declared too large", get("/", "Content-Length: 1001", method="POST"), 413),
    (
        "grown too large",
        get("/", "Transfer-Encoding: chunked", method="POST") + b"3e9\r\n" + b"x" * 1001 + b"\r\n",
        413,
    ),
]


@pytest.mark.parametrize(("data", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_what_cannot_be_read_is_refused_after_what_could(
    data: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(HttpLaneOptions(max_body_bytes=1000)) as run:
        client = await run.client()
        client.send(get("/before") + data)
        assert json.loads((await client.response())[2])["path"] == "/before"
        got, headers, body = await client.response()
        assert got == status
        assert "error" in json.loads(body)
        assert headers["connection"] == "close"
        assert await client.ended()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


ENDLESS = [
    ("URL", b"GET /", b"a", 414),
    ("header name", b"GET / HTTP/1.1\r\nHost: x\r\n", b"h", 431),
    ("header value", b"GET / HTTP/1.1\r\nHost: x\r\nh: ", b"v", 431),
    ("chunk extension", get("/", "Transfer-Encoding: chunked", method="POST") + b"1;", b"e", 413),
    ("trailer", get("/", "Transfer-Encoding: chunked", method="POST") + b"1\r\nx\r\n0\r\nt: ", b"v", 413),
]


@pytest.mark.parametrize(
    ("start", "more", "status"), [row[1:] for row in ENDLESS], ids=[row[0] for row in ENDLESS]
)
async def test_parts_without_an_end_are_refused(start: bytes, more: bytes, status: int) -> None:
    async with served() as run:
        client = await run.client()
        client.send(start)
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                client.send(more * 1000)
                await client.writer.drain()
        assert (await client.response())[0] == status


async def test_a_peer_that_goes_on_sending_can_read_why_it_was_refused() -> None:
    async with served(HttpLaneOptions(max_body_bytes=10)) as run:
        for _ in range(20):
            client = await run.client()
            client.send(get("/", "Content-Length: 8000000", method="POST"))
            for _ in range(80):
                client.send(b"x" * 100_000)
                await client.writer.drain()
            assert (await client.response())[0] == 413
            assert await client.ended()


async def test_a_peer_with_tls_can_read_why_it_was_refused(tmp_path: Path) -> None:
    """TLS has no half of an end: the connection stays until the peer, or the sweep, ends it."""
    pair = self_signed(tmp_path, "server")
    tls = Tls(pair.certificate, pair.key, None, pair.certificate.read_bytes(), pair.key.read_bytes(), None)
    trust = ssl.create_default_context(cafile=pair.certificate)
    async with served(HttpLaneOptions(max_body_bytes=10), tls=tls) as run:
        client = Client(*await asyncio.open_connection("127.0.0.1", run.port, ssl=trust))
        client.send(get("/", "Content-Length: 8000000", method="POST"))
        for _ in range(80):
            client.send(b"x" * 100_000)
            await client.writer.drain()
        status, headers, _ = await client.response()
        assert (status, headers["connection"]) == (413, "close")
        for connection in list(run.server.connections):
            connection.sweep(connection.lane.clock() + 3.0)
        with contextlib.suppress(ConnectionError):
            assert await client.ended()
        client.writer.close()


async def test_a_refused_peer_that_never_ends_is_left() -> None:
    async with served(HttpLaneOptions(goodbye_s=1.0)) as run:
        client = await run.client()
        client.send(b"garbage\r\n\r\n")
        assert (await client.response())[0] == 400
        (connection,) = run.server.connections
        connection.sweep(connection.lane.clock() + 2.0)
        while run.server.connections:
            await asyncio.sleep(0.001)


async def test_what_proxies_pass_is_taken() -> None:
    async with served() as run:
        client = await run.client()
        client.send(
            get("/", *[f"h{number}: {'v' * 200}" for number in range(255)]) + get("/", "h: " + "x" * 65_000)
        )
        assert [(await client.response())[0] for _ in range(2)] == [200, 200]


async def test_a_refused_peer_may_send_only_so_much_more() -> None:
    async with served(HttpLaneOptions(goodbye_s=60.0, goodbye_bytes=100_000)) as run:
        client = await run.client()
        client.send(b"garbage\r\n\r\n")
        assert (await client.response())[0] == 400
        assert await client.ended()
        (connection,) = run.server.connections
        connection.data_received(b"x" * 100_000)
        assert run.server.connections
        connection.data_received(b"x")
        async with asyncio.timeout(5):
            while run.server.connections:
                await asyncio.sleep(0)


async def test_an_answer_that_ends_the_connection_survives_what_was_pipelined_behind_it() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/last") + get("/slow") + post(b"x" * 1000, path="/rest")[:-1])
        assert (await client.response())[1]["connection"] == "close"
        assert await client.ended()
        assert run.server.connections, "a close here would be a reset"
        await asyncio.wait_for(run.app.gone.wait(), 5)
        client.send(b"x" * 1000)
        await client.writer.drain()


async def test_trailers_are_no_headers() -> None:
    async with served() as run:
        client = await run.client()
        client.send(
            get("/t", "Transfer-Encoding: chunked", method="POST")
            + b"2\r\n{}\r\n0\r\nContent-Encoding: gzip\r\nX-Late: 1\r\n\r\n"
        )
        assert json.loads((await client.response())[2])["bytes"] == 2
    assert {name for name, _ in run.app.asked[0]["headers"]} == {b"host", b"transfer-encoding"}


async def test_many_trailers_are_refused() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/t", "Transfer-Encoding: chunked", method="POST") + b"0\r\n" + b"t: 1\r\n" * 300)
        assert (await client.response())[0] == 431


async def test_what_follows_a_refusal_is_nobodys() -> None:
    """The refusal waits behind an answer that takes its time; the peer goes on sending."""
    async with served() as run:
        client = await run.client()
        client.send(get("/slow") + b"garbage\r\n\r\n")
        while not run.app.asked:
            await asyncio.sleep(0.001)
        connection = next(iter(run.server.connections))
        for _ in range(100):
            connection.data_received(b"garbage\r\n\r\n" + get("/smuggled"))
        assert len(connection._line) == 2
        run.app.release.set()
        assert [(await client.response())[0] for _ in range(2)] == [200, 400]
        assert await client.ended()
    assert len(run.app.asked) == 1


def test_a_body_in_tiny_chunks_costs_little_more_than_its_bytes() -> None:
    exchange = Exchange(0.0)
    tracemalloc.start()
    try:
        for number in range(100_000):
            exchange.add_body(b"%02d" % (number % 100))
        assert tracemalloc.get_traced_memory()[0] < 400_000
    finally:
        tracemalloc.stop()
    assert exchange.whole_body() == b"".join(b"%02d" % (number % 100) for number in range(100_000))


async def test_a_failing_application_tells_nothing_private() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/fails"))
        status, _, body = await client.response()
        assert status == 500
        assert b"secret" not in body
        client.send(get("/after"))
        assert (await client.response())[0] == 200


async def test_the_application_hears_of_a_caller_that_left() -> None:
    async with served() as run:
        client = await run.client()
        client.send(get("/slow"))
        while not run.app.asked:
            await asyncio.sleep(0.001)
        client.writer.transport.abort()
        await asyncio.wait_for(run.app.gone.wait(), 5)


async def test_slow_requests_and_idle_connections_end() -> None:
    async with served(HttpLaneOptions(request_s=5.0, keep_alive_s=10.0)) as run:
        slow, idle = await run.client(), await run.client()
        slow.send(b"GET / HTTP/1.1\r\nHost:")
        idle.send(get("/"))
        await idle.response()
        while not any(connection._reading for connection in run.server.connections):
            await asyncio.sleep(0.001)
        for connection in list(run.server.connections):
            connection.sweep(connection.lane.clock() + 6.0)
        assert (await slow.response())[0] == 408
        assert await slow.ended()
        for connection in list(run.server.connections):
            connection.sweep(connection.lane.clock() + 11.0)
        assert await idle.ended()


async def test_stop_answers_what_was_asked() -> None:
    async with served() as run:
        busy, idle = await run.client(), await run.client()
        busy.send(get("/slow"))
        while not run.app.asked:
            await asyncio.sleep(0.001)
        stopping = asyncio.create_task(run.server.stop(5.0))
        assert await idle.ended()
        run.app.release.set()
        status, headers, _ = await busy.response()
        assert (status, headers["connection"]) == (200, "close")
        await asyncio.wait_for(stopping, 2)


async def test_stop_answers_a_request_that_is_still_arriving() -> None:
    async with served() as run:
        client = await run.client()
        request_ = post(b"0123456789")
        client.send(request_[:-4])
        async with asyncio.timeout(5):
            while not any(connection._reading for connection in run.server.connections):
                await asyncio.sleep(0)
        stopping = asyncio.create_task(run.server.stop(5.0))
        await asyncio.sleep(0)
        client.send(request_[-4:])
        status, headers, _ = await client.response()
        assert (status, headers["connection"]) == (200, "close")
        await asyncio.wait_for(stopping, 2)


async def test_a_drain_waits_only_a_moment_for_a_request_that_does_not_arrive() -> None:
    async with served(HttpLaneOptions(drain_request_s=5.0)) as run:
        busy, stalled, unheaded = [await run.client() for _ in range(3)]
        busy.send(get("/slow"))
        stalled.send(post(b"0123456789")[:-4])
        unheaded.send(get("/")[:-4])
        async with asyncio.timeout(5):
            while not run.app.asked or sum(bool(one._reading) for one in run.server.connections) < 2:
                await asyncio.sleep(0)
        connections = list(run.server.connections)
        for connection in connections:
            connection.drain()
            connection.sweep(connection.lane.clock() + 4.0)
        assert sum(bool(one._reading) for one in connections) == 2
        for connection in connections:
            connection.sweep(connection.lane.clock() + 6.0)
        for client in (stalled, unheaded):
            status, headers, _ = await client.response()
            assert (status, headers["connection"]) == (408, "close")
            assert await client.ended()
        run.app.release.set()
        assert (await busy.response())[0] == 200


async def test_a_peer_that_does_not_read_is_not_read_and_then_left() -> None:
    async with served(HttpLaneOptions(blocked_s=1.0)) as run:
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(("127.0.0.1", run.port))
            peer.setblocking(False)

            async def flood() -> None:
                with contextlib.suppress(ConnectionError):
                    for _ in range(200_000):
                        await asyncio.get_running_loop().sock_sendall(peer, get("/"))

            flooding = asyncio.create_task(flood())
            while not any(connection._blocked_since_s for connection in run.server.connections):
                await asyncio.sleep(0.01)
            other = await run.client()
            other.send(get("/other"))
            assert (await other.response())[0] == 200
            for connection in list(run.server.connections):
                connection.sweep(connection.lane.clock() + 2.0)
            await asyncio.wait_for(flooding, 5)
