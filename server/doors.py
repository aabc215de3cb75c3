"""The public doors of one worker: which engine listens where, in the clear or under TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rapide.server import sockets
from rapide.server.protocols.grpc_lane.server import LaneServer, build_lane_server
from rapide.server.protocols.http_lane.server import HttpLaneServer, build_http_lane
from rapide.server.protocols.one_port import OnePort
from rapide.server.service import InferenceService
from rapide.server.settings import Settings
from rapide.server.tls import Tls, load_tls

if TYPE_CHECKING:
    from rapide.server.protocols.grpc_aio import GrpcServer
    from rapide.server.protocols.http_uvicorn import HttpServer


def _grpcio(service: InferenceService) -> GrpcServer:
    from rapide.server.protocols.grpc_aio import build_grpc_server  # noqa: PLC0415 - see _GRPC_ENGINES

    return build_grpc_server(service)


def _uvicorn(service: InferenceService) -> HttpServer:
    from rapide.server.protocols.http_uvicorn import build_http_server  # noqa: PLC0415 - see _GRPC_ENGINES

    return build_http_server(service)


# The reference engines are imported only where they are chosen: each costs a worker 50 ms and some megabytes.
_GRPC_ENGINES: Mapping[str, Callable[[InferenceService], GrpcServer | LaneServer]] = {
    "grpcio": _grpcio,
    "lane": build_lane_server,
}
_HTTP_ENGINES: Mapping[str, Callable[[InferenceService], HttpServer | HttpLaneServer]] = {
    "uvicorn": _uvicorn,
    "lane": build_http_lane,
}


class Doors:
    """gRPC and HTTP on their ports, on one, and on Unix sockets. Nothing listens before ``open``."""

    def __init__(self, settings: Settings, service: InferenceService) -> None:
        self._settings = settings
        self._grpc = _GRPC_ENGINES[settings.grpc_engine](service)
        self._http = _HTTP_ENGINES[settings.http_engine](service)
        self._one_port: OnePort | None = None

    async def open(self, unix: Mapping[str, socket.socket]) -> None:
        """Listens on the ports, and on what the supervisor has opened, by setting's name. Raises OSError or
        Unavailable where a port cannot be shared, SettingsError for TLS files that cannot be used."""
        settings, tls = self._settings, load_tls(self._settings)
        http_port = sockets.listen(settings.host, settings.http_port)
        if settings.one_port:
            await self._share(http_port, tls)
        else:
            # Either says that the server is ready, so both ports listen before one answers: HTTP's does already.
            await self._grpc.start(settings.host, settings.grpc_port, tls=tls)
            await self._http.start(http_port, tls=tls)
        if "http_socket" in unix:
            assert isinstance(self._http, HttpLaneServer)  # noqa: S101 - settings.check_together
            await self._http.start(unix["http_socket"])
        if "grpc_socket" in unix:
            assert isinstance(self._grpc, LaneServer)  # noqa: S101 - the same
            await self._grpc.start_on(unix["grpc_socket"])

    async def close(self, drain_s: float) -> None:
        """Accepts nothing new and finishes what is under way within ``drain_s``."""
        if self._one_port is not None:
            self._one_port.close()
        await asyncio.gather(self._grpc.stop(drain_s), self._http.stop(drain_s))

    async def hurry(self, drain_s: float) -> None:
        """Makes a ``close`` that is waiting end within ``drain_s``."""
        await self._grpc.stop(drain_s)
        self._http.hurry()

    async def _share(self, listener: socket.socket, tls: Tls | None) -> None:
        grpc, http = self._grpc, self._http
        assert isinstance(grpc, LaneServer)  # noqa: S101 - settings.check_together
        assert isinstance(http, HttpLaneServer)  # noqa: S101 - the same
        self._one_port = OnePort(grpc.connection, http.connection)
        await self._one_port.start(listener, tls=tls)
