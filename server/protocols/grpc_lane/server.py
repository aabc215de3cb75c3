"""The lane as a server: listens, looks after its connections, drains them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterable

from rapide.server.errors import Unavailable
from rapide.server.protocols.callers import Ids
from rapide.server.protocols.grpc_call import Procedure
from rapide.server.protocols.grpc_door import GrpcDoor
from rapide.server.protocols.grpc_lane.head import CallHead
from rapide.server.protocols.grpc_lane.hot import HotWay
from rapide.server.protocols.grpc_lane.line import LaneConnection
from rapide.server.protocols.grpc_lane.options import LaneOptions
from rapide.server.protocols.grpc_methods import PROCEDURES
from rapide.server.protocols.http2.limits import Http2Limits
from rapide.server.service import InferenceService
from rapide.server.settings import Settings
from rapide.server.telemetry.request_ids import request_ids

HOT_PATH = "/inference.GRPCInferenceService/ModelInfer"
SWEEP_S = 1.0
"""How often the times of connections are looked at: they are bounds of seconds, so a second is fine enough."""
BACKLOG = 1024


class LaneServer:
    """One lane on one event loop."""

    def __init__(
        self,
        service: InferenceService,
        door: GrpcDoor,
        procedures: Iterable[Procedure] = PROCEDURES,
        options: LaneOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._door = door
        self._procedures = {procedure.method.path: procedure for procedure in procedures}
        self._options = options or LaneOptions()
        self._clock = clock
        self._hot = HotWay(service, door, clock)
        self._hot_procedure = self._procedures.get(HOT_PATH)
        self._known_heads: dict[bytes, CallHead] = {}
        self.connections: set[LaneConnection] = set()
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    def connection(self) -> LaneConnection:
        """A protocol for one new connection."""
        return LaneConnection(
            self._door,
            self._procedures,
            self._known_heads,
            self._options,
            self.connections,
            self._clock,
            self._hot,
            self._hot_procedure,
        )

    async def start(
        self, host: str, port: int, *, reuse_port: bool = True, tls: ssl.SSLContext | None = None
    ) -> int:
        """Listens; port 0 takes a free one. Returns the port. Raises Unavailable where it is taken."""
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(
                self.connection, host, port, reuse_port=reuse_port, backlog=BACKLOG, ssl=tls
            )
        except OSError as error:
            raise Unavailable(f"cannot listen for gRPC on {host}:{port}: {error}") from None
        self._sweep()
        return int(self._listener.sockets[0].getsockname()[1])

    async def start_on(self, listening: socket.socket, *, tls: ssl.SSLContext | None = None) -> None:
        """Listens on a socket that is bound already: a Unix socket, or one that somebody else opened."""
        loop = asyncio.get_running_loop()
        create = loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
        self._listener = await create(self.connection, sock=listening, backlog=BACKLOG, ssl=tls)
        self._sweep()

    async def stop(self, grace_s: float) -> None:
        """Takes no more connections or calls, and cancels what is not answered within ``grace_s``."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.drain()
        deadline_s = self._clock() + grace_s
        while self.connections and self._clock() < deadline_s:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _sweep(self) -> None:
        now_s = self._clock()
        for connection in list(self.connections):
            connection.sweep(now_s)
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)


def build_lane_server(
    service: InferenceService, options: LaneOptions | None = None, ids: Ids | None = None
) -> LaneServer:
    """The lane for ``service``; nothing listens before ``start``."""
    return LaneServer(
        service, GrpcDoor(service, ids or request_ids()), PROCEDURES, options or lane_options(service.settings)
    )


def lane_options(settings: Settings) -> LaneOptions:
    """What the settings say about the lane."""
    return LaneOptions(
        max_message_bytes=settings.max_message_bytes,
        max_held_bytes=2 * settings.max_message_bytes,
        http2=Http2Limits(max_concurrent_streams=settings.max_concurrent_streams),
    )
