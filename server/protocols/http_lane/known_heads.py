"""Heads of requests that came before, by their bytes: what the parser once said of one, it would say again.

Theory. Between two messages the parser has no memory that changes what the next bytes mean, so equal heads mean
equal requests. A head is learnt from a plain POST whose length it gives; then one look-up replaces the parser's
many calls. It begins with its method: before that empty lines may stand, and two of them end like a head. What is
unique in a head (an id, a user, a trace) would only push the others out, and is not learnt.
"""

from __future__ import annotations

from typing import Final

from rapide.server.protocols.callers import REQUEST_ID, TRACEPARENT, USER_KEY
from rapide.server.protocols.http_lane.exchange import Exchange

_BEGINNING: Final = b"POST "
_END: Final = b"\r\n\r\n"
MAX_HEADS: Final = 4096
MAX_HEAD_BYTES: Final = 1024
"""Together 4 MiB at most, of one lane."""
_UNFIT: Final = frozenset(
    {
        "connection",
        "content-encoding",
        "expect",
        "trailer",
        "transfer-encoding",
        "upgrade",
        REQUEST_ID,
        TRACEPARENT,
        USER_KEY,
    }
)


def head_of(data: bytes, start: int = 0) -> bytes:
    """The head that ``data`` has from ``start`` on, with its empty line; empty if it is not whole, or too long."""
    end = data.find(_END, start, start + MAX_HEAD_BYTES)
    return data[start : end + len(_END)] if end >= 0 else b""


class KnownHead:
    """One head. What it has in common with every exchange that begins with it is shared, and must not change."""

    __slots__ = ("_fields", "_header_bytes", "_headers", "_url", "body_bytes")

    def __init__(self, exchange: Exchange) -> None:
        self._url = exchange.url
        self._headers = exchange.headers
        self._fields = exchange.fields
        self._header_bytes = exchange.header_bytes
        self.body_bytes = int(exchange.headers["content-length"])

    def exchange(self, body: bytes, started_s: float) -> Exchange:
        """A complete request with this head."""
        new = Exchange(started_s)
        new.method = "POST"
        new.url = self._url
        new.headers = self._headers
        new.fields = self._fields
        new.header_bytes = self._header_bytes
        new.header_count = len(self._fields)
        new.is_headed = new.is_complete = True
        new.body.append(body)
        new.body_bytes = len(body)
        return new


class KnownHeads:
    """Those of one lane."""

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}

    def get(self, head: bytes) -> KnownHead | None:
        return self._heads.get(head)

    def learn(self, head: bytes, exchange: Exchange) -> None:
        """``head`` was read as ``exchange``, which is complete."""
        if not head.startswith(_BEGINNING) or not _is_plain(exchange):
            return
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        self._heads[head] = KnownHead(exchange)


def _is_plain(exchange: Exchange) -> bool:
    return (
        exchange.method == "POST"
        and exchange.version == "1.1"
        and not exchange.closes
        and exchange.headers.get("content-length", "").isdigit()
        and not (exchange.headers.keys() & _UNFIT)
    )
