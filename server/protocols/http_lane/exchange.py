"""One request and its place in the line of answers (RFC 9112, 9.3.2: answers come in the requests' order)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_SMALL_BYTES = 4096
"""Pieces of a body below this are put together: an object for each would cost many times its bytes."""


class Exchange:
    """A request as it is read, then its answer.

    ``method`` is as sent; ``url`` too, until the head is complete: then it is path and query. ``headers`` have
    lower-case names, a repeated one keeps its last value; ``fields`` are all of them. ``answer`` is None until
    there is one; ``closes``: the connection ends with it. ``cancel`` stops the work when the caller goes away.
    ``silent_bytes`` were read since the parser last told anything of the request.
    """

    __slots__ = (
        "answer",
        "body",
        "body_bytes",
        "cancel",
        "closes",
        "fields",
        "header_bytes",
        "header_count",
        "headers",
        "is_complete",
        "is_headed",
        "method",
        "silent_bytes",
        "started_s",
        "url",
        "version",
        "wants_continue",
    )

    def __init__(self, started_s: float) -> None:
        self.started_s = started_s
        self.method = ""
        self.url = b""
        self.version = "1.1"
        self.headers: dict[str, str] = {}
        self.fields: list[tuple[bytes, bytes]] = []
        self.header_bytes = 0
        self.header_count = 0
        self.is_headed = False
        self.silent_bytes = 0
        self.body: list[bytes | bytearray] = []
        self.body_bytes = 0
        self.is_complete = False
        self.wants_continue = False
        self.closes = False
        self.answer: bytes | None = None
        self.cancel: Callable[[], Any] | None = None

    @property
    def told_bytes(self) -> int:
        """What the parser has told of the request so far."""
        return len(self.url) + self.header_bytes + self.body_bytes

    def head_without_upgrade(self) -> bytes:
        """The head as it was read, but for an Upgrade."""
        lines = [b"%s: %s\r\n" % field for field in self.fields if field[0] != b"upgrade"]
        first = b"%s %s HTTP/%s\r\n" % (self.method.encode("latin-1"), self.url, self.version.encode())
        return b"".join((first, *lines, b"\r\n"))

    def add_body(self, piece: bytes) -> None:
        """More of the body."""
        self.body_bytes += len(piece)
        parts = self.body
        if not parts or len(piece) >= _SMALL_BYTES:
            parts.append(piece)
        elif isinstance(parts[-1], bytearray):
            parts[-1] += piece
        else:
            parts.append(bytearray(piece))

    def whole_body(self) -> bytes:
        parts = self.body
        if len(parts) == 1:
            return bytes(parts[0])  # no copy: the first piece is kept as it came
        return b"".join(parts)
