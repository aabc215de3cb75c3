"""The lane as a server: listens, looks after its connections, drains them."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from rapide.server.errors import Unavailable
from rapide.server.protocols.accepting import accept
from rapide.server.protocols.callers import Ids
from rapide.server.protocols.grpc_call import Procedure
from rapide.server.protocols.grpc_door import GrpcDoor
from rapide.server.protocols.grpc_lane.head import CallHead
from rapide.server.protocols.grpc_lane.hot import HotWay
from rapide.server.protocols.grpc_lane.line import LaneConnection
from rapide.server.protocols.grpc_lane.options import LaneOptions
from rapide.server.protocols.grpc_methods import PROCEDURES
from rapide.server.protocols.http2.header_blocks import KnownHeads
from rapide.server.protocols.http2.limits import Http2Limits
from rapide.server.protocols.turns import Turns
from rapide.server.service import InferenceService
from rapide.server.settings import Settings
from rapide.server.sockets import listen
from rapide.server.telemetry.connections import Connections, Uncounted
from rapide.server.telemetry.request_ids import request_ids
from rapide.server.tls import Tls

HOT_PATH = "/inference.GRPCInferenceService/ModelInfer"
SWEEP_S = 1.0
"""How often the times of connections are looked at: they are bounds of seconds, so a second is fine enough."""
ALPN = "h2"


class LaneServer:
    """One lane on one event loop."""

    def __init__(
        self,
        service: InferenceService,
        door: GrpcDoor,
        procedures: Iterable[Procedure] = PROCEDURES,
        options: LaneOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
        meter: Connections | None = None,
    ) -> None:
        self._door = door
        self._procedures = {procedure.method.path: procedure for procedure in procedures}
        self._options = options or LaneOptions()
        self._clock = clock
        self.hot = HotWay(service, door.ids, clock)
        self._hot_procedure = self._procedures.get(HOT_PATH)
        self._known_heads: KnownHeads[CallHead] = KnownHeads()
        self.connections: set[LaneConnection] = set()
        self._meter = meter or Uncounted()
        self._unpacker = ThreadPoolExecutor(1, "unpacker")
        """One thread, which starts when there is something to do: many bombs at once take one core, not all."""
        self._turns = Turns()
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None

    def connection(self) -> LaneConnection:
        """A protocol for one new connection."""
        if self._sweeper is None:
            self._sweep()
        return LaneConnection(
            self._door,
            self._procedures,
            self._known_heads,
            self._options,
            self.connections,
            self._clock,
            self.hot,
            self._hot_procedure,
            self._meter,
            self._unpacker,
            self._turns,
        )

    async def start(self, host: str, port: int, *, tls: Tls | None = None) -> int:
        """Listens, sharing the port with other workers; port 0 takes a free one. Returns the port. Raises
        Unavailable where it is taken."""
        try:
            listener = listen(host, port)
        except OSError as error:
            raise Unavailable(f"cannot listen for gRPC on {host}:{port}: {error}") from None
        await self.start_on(listener, tls=tls)
        return int(listener.getsockname()[1])

    async def start_on(self, listener: socket.socket, *, tls: Tls | None = None) -> None:
        """Accepts connections from ``listener``, which it closes at the end."""
        self._listeners.append(await accept(self.connection, listener, tls, ALPN))

    async def stop(self, grace_s: float) -> None:
        """Takes no more connections or calls, and cancels what is not answered within ``grace_s``."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.drain()
        deadline_s = self._clock() + grace_s
        while self.connections and self._clock() < deadline_s:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.abort()
        self._unpacker.shutdown(wait=False, cancel_futures=True)
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
        service,
        GrpcDoor(service, ids or request_ids()),
        PROCEDURES,
        options or lane_options(service.settings),
        meter=service.connections("grpc"),
    )


def lane_options(settings: Settings) -> LaneOptions:
    """What the settings say about the lane."""
    return LaneOptions(
        max_message_bytes=settings.max_message_bytes,
        max_held_bytes=2 * settings.max_message_bytes,
        max_age_s=settings.max_connection_age_s,
        http2=Http2Limits(max_concurrent_streams=settings.max_concurrent_streams),
    )
