"""One request and its place in the line of answers (RFC 9112, 9.3.2: answers come in the requests' order)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Exchange:
    """A request as it is read, then its answer.

    ``method`` and ``url`` are as sent; ``headers`` have lower-case names, a repeated one keeps its last value;
    ``fields`` are all of them as sent. ``answer`` is None until there is one; ``closes``: the connection ends with
    it. ``cancel`` stops the work when the caller goes away.
    """

    __slots__ = (
        "answer",
        "body",
        "body_bytes",
        "cancel",
        "closes",
        "fields",
        "header_bytes",
        "headers",
        "is_complete",
        "method",
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
        self.body: list[bytes] = []
        self.body_bytes = 0
        self.is_complete = False
        self.wants_continue = False
        self.closes = False
        self.answer: bytes | None = None
        self.cancel: Callable[[], Any] | None = None

    def whole_body(self) -> bytes:
        parts = self.body
        return parts[0] if len(parts) == 1 else b"".join(parts)
