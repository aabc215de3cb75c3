"""The lane's own answers: inference, from the route table's handlers, without ASGI and without a task."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, Final
from urllib.parse import unquote

from starlette.routing import compile_path

from rapide.server.context import CallContext
from rapide.server.protocols import http_bodies
from rapide.server.protocols.http_call import HttpReply, Route, RouteTable
from rapide.server.protocols.http_door import HttpDoor
from rapide.server.protocols.http_inference import begin_infer
from rapide.server.protocols.http_lane.exchange import Exchange
from rapide.server.protocols.http_lane.hot import HttpHotWay
from rapide.server.protocols.http_lane.line import HttpConnection
from rapide.server.service import InferenceService

_MAX_KNOWN_URLS: Final = 4096
_Found = tuple[Route, Mapping[str, str]]


class FastDoor:
    """Answers POSTs to routes that have a ``begin``; leaves everything else to the application."""

    __slots__ = ("_door", "_known", "_patterns", "_tasks", "hot")

    def __init__(self, service: InferenceService, door: HttpDoor, table: RouteTable) -> None:
        self._door = door
        self.hot = HttpHotWay(service, self)
        self._patterns = [(compile_path(route.path)[0], route) for route in table.routes if route.method == "POST"]
        self._known: dict[bytes, _Found | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, connection: HttpConnection, exchange: Exchange) -> bool:
        """Whether the exchange is, or will be, answered here."""
        if exchange.method != "POST" or "content-encoding" in exchange.headers:
            return False
        try:
            found = self._known[exchange.url]
        except KeyError:
            found = self._find(exchange.url)
        if found is None:
            return False
        route, path = found
        headers = exchange.headers
        context = self._door.context(headers)
        is_infer = route.begin is begin_infer
        if is_infer and self.hot.take(connection, exchange, context):
            return True

        def done(reply: HttpReply) -> None:
            if is_infer and reply.status == 200:
                self.hot.learn(exchange, path)
            self.reply(connection, exchange, reply, context)

        exchange.cancel = self._door.begin(route, context, headers, path, exchange.whole_body(), done)
        return True

    def reply(
        self, connection: HttpConnection, exchange: Exchange, reply: HttpReply, context: CallContext
    ) -> None:
        """Answers, compressed where the caller takes that and it pays."""
        accepted = exchange.headers.get("accept-encoding")
        if accepted and len(reply.body) >= http_bodies.MIN_COMPRESSED_BYTES:
            self._spawn(self._compressed(connection, exchange, reply, context, accepted))
        else:
            connection.reply(exchange, reply, context)

    def _find(self, url: bytes) -> _Found | None:
        """The route that ``url`` has in the whole table, if that one can be begun; remembered."""
        if len(self._known) >= _MAX_KNOWN_URLS:
            self._known.clear()
        path = unquote(url.partition(b"?")[0].decode("latin-1"))
        found: _Found | None = None
        for pattern, route in self._patterns:
            match = pattern.match(path)
            if match is not None:
                found = (route, match.groupdict()) if route.begin is not None else None
                break
        self._known[url] = found
        return found

    async def _compressed(
        self, connection: HttpConnection, exchange: Exchange, reply: HttpReply, context: CallContext, accepted: str
    ) -> None:
        reply.body, coding = await http_bodies.encoded(reply.body, accepted)
        if coding:
            reply.headers = (*reply.headers, ("content-encoding", coding), ("vary", "accept-encoding"))
        connection.reply(exchange, reply, context)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
