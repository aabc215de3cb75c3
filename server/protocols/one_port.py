"""One port for gRPC and HTTP: what a connection says first decides which lane takes it over.

Over TLS the handshake has usually decided (ALPN). Otherwise it is HTTP/2's preface (RFC 9113, 3.4), which no
HTTP/1.1 request begins with: from the first octet that differs it is HTTP/1.1, after the last one it is gRPC.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from rapide.server.protocols.accepting import accept
from rapide.server.protocols.http2.frames import PREFACE
from rapide.server.tls import Tls

SILENCE_S = 10.0
"""How long a connection may take to tell what it speaks; half-open ones cost a file descriptor."""
_ALPN = ("http/1.1", "h2")
"""Our order counts: whoever speaks both (curl, browsers) wants HTTP, and gRPC clients speak only h2."""

MakeProtocol = Callable[[], asyncio.Protocol]


class OnePort:
    """Hands connections on; keeps only those that have not said anything yet."""

    def __init__(self, grpc: MakeProtocol, http: MakeProtocol, silence_s: float = SILENCE_S) -> None:
        """``grpc`` and ``http`` make a protocol for one connection each."""
        self.makers = {"h2": grpc, "http/1.1": http}
        self.silence_s = silence_s
        self.undecided: set[FirstOctets] = set()
        self._listeners: list[asyncio.Server] = []

    async def start(self, listener: socket.socket, *, tls: Tls | None = None) -> None:
        """Accepts connections from ``listener``, which it closes at the end."""
        self._listeners.append(await accept(lambda: FirstOctets(self), listener, tls, *_ALPN))

    def close(self) -> None:
        """Takes no more connections; whoever has said nothing yet is let go."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.undecided):
            connection.abort()


class FirstOctets(asyncio.Protocol):
    """A connection until it is known what it speaks."""

    def __init__(self, port: OnePort) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._seen = b""
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        agreed = tls.selected_alpn_protocol() if tls is not None else None
        if agreed in self._port.makers:
            self._hand_over(agreed)
            return
        self._port.undecided.add(self)
        self._patience = asyncio.get_running_loop().call_later(self._port.silence_s, self.abort)

    def data_received(self, data: bytes) -> None:
        seen = self._seen = self._seen + data
        if seen.startswith(PREFACE):
            self._hand_over("h2")
        elif not PREFACE.startswith(seen):
            self._hand_over("http/1.1")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever the reason
        self._leave()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _hand_over(self, protocol: str) -> None:
        self._leave()
        transport = self._transport
        assert transport is not None  # noqa: S101 - there is a connection
        chosen = self._port.makers[protocol]()
        transport.set_protocol(chosen)
        chosen.connection_made(transport)
        if self._seen:
            chosen.data_received(self._seen)

    def _leave(self) -> None:
        self._port.undecided.discard(self)
        if self._patience is not None:
            self._patience.cancel()
