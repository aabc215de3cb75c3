"""Where a connection's bytes go out: into the socket at once where it takes them, else through the transport.

Theory. uvloop sends what was written when all callbacks of the loop's turn are done. A batch is answered in one
turn, so the first caller's answer would wait for the last one's to be made, and then all callers would ask again
at the same time, the worker idle until they do. Written at once, answers are read while others are still made.
The transport keeps its buffer for what the socket does not take, and with it flow control (``pause_writing``), and
its errors: a broken connection is told by its own write. TLS needs the transport for all.
"""

from __future__ import annotations

import asyncio
import os


class Outlet:
    """The way out of one transport. Used on the event loop only."""

    __slots__ = ("_socket_fd", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        socket = transport.get_extra_info("socket")
        is_plain = socket is not None and transport.get_extra_info("ssl_object") is None
        self._socket_fd: int = socket.fileno() if is_plain else -1

    def write(self, data: bytes) -> None:
        """Sends ``data`` behind all that was written before; never blocks. Not after ``connection_lost``."""
        transport = self._transport
        is_idle = not transport.get_write_buffer_size() and not transport.is_closing()
        if is_idle and self._socket_fd >= 0:
            try:
                sent_bytes = os.write(self._socket_fd, data)
            except OSError:  # full, or broken: the transport finds out, and does what is due
                sent_bytes = 0
            if sent_bytes == len(data):
                return
            transport.write(memoryview(data)[sent_bytes:])  # no copy: it may be many megabytes
        else:
            transport.write(data)
