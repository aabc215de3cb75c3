"""Hands one exchange to an ASGI application (ASGI 3.0, HTTP): what is not inference."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from rapide.server.protocols.http_lane.exchange import Exchange

_VERSIONS: Final = {"version": "3.0", "spec_version": "2.4"}


class AsgiCall:
    """One run of the application for one exchange whose body is complete."""

    __slots__ = ("_app", "_exchange", "_gone", "_is_asked", "body", "headers", "status", "task")

    def __init__(self, app: ASGIApp, exchange: Exchange) -> None:
        self._app = app
        self._exchange = exchange
        self._gone = asyncio.Event()
        self._is_asked = False
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def run(self, client: Any, server: Any, scheme: str) -> None:
        """Runs the application; ``status``, ``headers`` and ``body`` are its answer. Raises what it raises."""
        await self._app(self._scope(client, server, scheme), self._receive, self._send)

    def gone(self) -> None:
        """The caller went away."""
        self._gone.set()

    def _scope(self, client: Any, server: Any, scheme: str) -> Scope:
        exchange = self._exchange
        path, _, query = exchange.url.partition(b"?")
        return {
            "type": "http",
            "asgi": _VERSIONS,
            "http_version": exchange.version,
            "method": exchange.method,
            "scheme": scheme,
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": exchange.fields,
            "client": client,
            "server": server,
        }

    async def _receive(self) -> Message:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": self._exchange.whole_body(), "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        else:
            self.body += message.get("body", b"")
