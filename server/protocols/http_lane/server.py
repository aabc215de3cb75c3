"""The HTTP lane as a server: listens, looks after its connections, drains them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

from rapide.server.protocols.accepting import accept
from rapide.server.protocols.callers import Ids
from rapide.server.protocols.http_app import build_admin_app, build_http_app
from rapide.server.protocols.http_door import HttpDoor
from rapide.server.protocols.http_lane.exchange import Exchange
from rapide.server.protocols.http_lane.fast import FastDoor
from rapide.server.protocols.http_lane.line import HttpConnection, Lane
from rapide.server.protocols.http_lane.options import HttpLaneOptions
from rapide.server.protocols.http_routes import PUBLIC_ROUTES
from rapide.server.service import InferenceService
from rapide.server.telemetry.connections import Connections
from rapide.server.telemetry.request_ids import request_ids
from rapide.server.tls import Tls

SWEEP_S = 1.0
"""How often the times of connections are looked at: they are bounds of seconds, so a second is fine enough."""
ALPN = "http/1.1"


class HttpLaneServer:
    """One lane on one event loop."""

    def __init__(
        self,
        app: Any,
        fast: Callable[[HttpConnection, Exchange], bool],
        options: HttpLaneOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        meter: Connections | None = None,
    ) -> None:
        """``app``: an ASGI application. ``fast`` answers what it can of the requests, without the application."""
        self._lane = Lane(app, fast, options or HttpLaneOptions(), clock, wall_clock, meter)
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_hurried = asyncio.Event()

    @property
    def connections(self) -> set[HttpConnection]:
        return self._lane.connections

    def connection(self) -> HttpConnection:
        """A protocol for one new connection."""
        if self._sweeper is None:
            self._sweep()
        return HttpConnection(self._lane)

    async def start(self, listener: socket.socket, *, tls: Tls | None = None) -> None:
        """Accepts connections from ``listener``, which it closes at the end."""
        self._listeners.append(await accept(self.connection, listener, tls, ALPN))

    async def stop(self, drain_s: float) -> None:
        """Accepts no more, closes idle connections, and waits up to ``drain_s`` for answers that are under way."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.drain()
        deadline_s = self._lane.clock() + drain_s
        while self.connections and self._lane.clock() < deadline_s and not self._is_hurried.is_set():
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def hurry(self) -> None:
        """Makes a ``stop`` that is waiting return now."""
        self._is_hurried.set()

    def _sweep(self) -> None:
        now_s = self._lane.clock()
        for connection in list(self.connections):
            connection.sweep(now_s)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)


def build_http_lane(service: InferenceService, ids: Ids | None = None) -> HttpLaneServer:
    """The public port for ``service``: inference on the lane, everything else on the ASGI application."""
    ids = ids or request_ids()
    fast = FastDoor(service, HttpDoor(service, ids), PUBLIC_ROUTES)
    return HttpLaneServer(build_http_app(service, ids), fast, _options(service), meter=service.connections("http"))


def build_admin_lane(service: InferenceService) -> HttpLaneServer:
    """The port of metrics and administration, wholly on its ASGI application."""
    return HttpLaneServer(build_admin_app(service), _never, _options(service))


def _options(service: InferenceService) -> HttpLaneOptions:
    settings = service.settings
    return HttpLaneOptions(max_body_bytes=settings.max_message_bytes, keep_alive_s=settings.keep_alive_s)


def _never(_connection: HttpConnection, _exchange: Exchange) -> bool:
    """There is no inference on this port."""
    return False
