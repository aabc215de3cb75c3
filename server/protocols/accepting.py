"""How both lanes take connections from a listening socket."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

from rapide.server.tls import Tls

BACKLOG = 1024
HANDSHAKE_S = 10.0
"""How long a TLS handshake may take: half-open ones cost a file descriptor."""
GOODBYE_S = 2.0
"""How long a peer may take to answer the end of TLS, before the connection is closed without."""


async def accept(
    factory: Callable[[], asyncio.Protocol], listener: socket.socket, tls: Tls | None, *protocols: str
) -> asyncio.Server:
    """Connections to ``listener`` become protocols of ``factory``; ``protocols`` are what ALPN offers.

    Connections to a Unix socket are never encrypted: they do not leave the machine, and the file's permissions say
    who may come.
    """
    loop = asyncio.get_running_loop()
    if listener.family == socket.AF_UNIX:
        # The file is the supervisor's, which removes it: other workers listen on it, too.
        mine: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        return await loop.create_unix_server(factory, sock=listener, backlog=BACKLOG, **mine)
    more: dict[str, Any] = {}
    if tls is not None:
        more = {
            "ssl": tls.context(*protocols),
            "ssl_handshake_timeout": HANDSHAKE_S,
            "ssl_shutdown_timeout": GOODBYE_S,
        }
    return await loop.create_server(factory, sock=listener, backlog=BACKLOG, **more)
