"""Counts connections, by protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rapide.server.telemetry.scalars import Scalar


class Connections(Protocol):
    """Told by a door about its connections."""

    def opened(self) -> None: ...

    def closed(self) -> None: ...


class ConnectionMeter:
    """The metrics ``rapide_open_connections`` and ``rapide_connections_total`` of one protocol."""

    __slots__ = ("_protocol", "_scalar")

    def __init__(self, scalar: Callable[..., Scalar], protocol: str) -> None:
        """``scalar``: ``Telemetry.scalar``, asked when a connection comes: telemetry has started by then."""
        self._scalar = scalar
        self._protocol = protocol

    def opened(self) -> None:
        self._scalar("rapide_open_connections", protocol=self._protocol).add(1)
        self._scalar("rapide_connections_total", protocol=self._protocol).add(1)

    def closed(self) -> None:
        self._scalar("rapide_open_connections", protocol=self._protocol).add(-1)


class Uncounted:
    """For a door without telemetry."""

    __slots__ = ()

    def opened(self) -> None:
        """Nobody wants to know."""

    def closed(self) -> None:
        """Nobody wants to know."""
