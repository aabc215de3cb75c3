"""One HTTP/2 stream as the server sees it (RFC 9113, 5.1)."""

from __future__ import annotations

from collections import deque
from typing import Any


class Stream:
    """State of one request and its answer.

    ``receiving`` and ``sending`` are the two halves of the state machine: open (both), half-closed (one), closed
    (none). ``owner`` belongs to the layer above.
    """

    __slots__ = (
        "head",
        "id",
        "owner",
        "paused",
        "queue",
        "receiving",
        "recv_window_bytes",
        "send_window_bytes",
        "sending",
        "stall",
        "trailers",
    )

    def __init__(self, stream_id: int, head: Any, send_window_bytes: int, recv_window_bytes: int) -> None:
        self.id = stream_id
        self.head = head
        self.owner: Any = None
        # receiving
        self.receiving = True
        self.recv_window_bytes = recv_window_bytes
        self.paused = False
        """Set by the owner: no more credit for the peer until it is unset (back-pressure of a streaming call)."""
        # sending
        self.sending = True
        self.send_window_bytes = send_window_bytes
        self.queue: deque[memoryview] | None = None
        """DATA that waits for window, oldest first; None while nothing ever waited."""
        self.stall: tuple[int, int, float] | None = None
        """What waited when the connection looked last (pieces, bytes of the first), and since when it is so."""
        self.trailers: bytes | None = None
        """The block that ends the stream after the queue; empty bytes: end it with the last DATA."""
