"""The HTTP door on uvicorn: the reference engine. One listening socket of ours, no signals, no logs of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from rapide.server.protocols.http_app import build_http_app
from rapide.server.service import InferenceService
from rapide.server.tls import Tls


class HttpServer:
    """Serves one ASGI application on one listening socket, which it closes at the end."""

    def __init__(self, app: ASGIApp, *, keep_alive_s: float) -> None:
        """``keep_alive_s``: how long an idle connection is kept."""
        self._server = _Server(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                interface="asgi3",
                loop="none",
                log_config=None,
                log_level="error",  # it warns of every malformed request: whoever sends them must not fill our log
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=keep_alive_s,  # type: ignore[arg-type] # any number of seconds will do
            )
        )
        self._running: asyncio.Task[None] | None = None

    async def start(self, listener: socket.socket, *, tls: Tls | None = None) -> None:
        """Accepts connections from ``listener``."""
        config = self._server.config
        config.load()
        config.ssl = tls.context("http/1.1") if tls is not None else None
        self._running = asyncio.create_task(self._server.serve(sockets=[listener]))
        await self._server.listening.wait()

    async def stop(self, drain_s: float) -> None:
        """Accepts no more, closes idle connections, and waits up to ``drain_s`` for answers that are under way."""
        if self._running is not None:
            self._server.config.timeout_graceful_shutdown = drain_s  # type: ignore[assignment] # as above
            self._server.should_exit = True
            await self._running

    def hurry(self) -> None:
        """Makes a ``stop`` that is waiting return now."""
        self._server.force_exit = True


def build_http_server(service: InferenceService) -> HttpServer:
    """The public port for ``service``, wholly on the ASGI application."""
    return HttpServer(build_http_app(service), keep_alive_s=service.settings.keep_alive_s)


class _Server(uvicorn.Server):
    """Leaves the process's signals alone, and tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()
