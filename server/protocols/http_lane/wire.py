"""HTTP/1.1 replies as bytes (RFC 9112, section 4): status line, headers, body."""

from __future__ import annotations

import email.utils
import http
from collections.abc import Iterable

from rapide.server.context import AnsweredBy, CallContext
from rapide.server.protocols.callers import REQUEST_ID
from rapide.server.protocols.http_call import HttpReply

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus
}
_STATUS_LINES[499] = b"HTTP/1.1 499 Client Closed Request\r\n"


class ReplyWriter:
    """Turns replies into bytes; remembers what does not change from one to the next."""

    __slots__ = ("_date", "_date_s", "_heads")

    def __init__(self) -> None:
        self._heads: dict[tuple[int, str, AnsweredBy | None], bytes] = {}
        self._date = b""
        self._date_s = -1

    def reply(self, reply: HttpReply, context: CallContext, now_s: float, *, closes: bool) -> bytes:
        """One whole response. ``now_s``: wall-clock time. The door saw to it that the id is fit for a header."""
        if int(now_s) != self._date_s:
            self._turn_to(now_s)
        kind = (reply.status, reply.media_type, context.answered_by)
        head = self._heads.get(kind)
        if head is None:
            head = self._heads[kind] = self._head(reply, context.answered_by)
        more = b""
        if reply.headers:
            more = b"".join([b"%s: %s\r\n" % (name.encode(), _value(value)) for name, value in reply.headers])
        return b"".join(
            (
                head,
                context.request_id.encode("latin-1"),
                b"\r\ncontent-length: ",
                b"%d" % len(reply.body),
                b"\r\n",
                more,
                CLOSE if closes else b"\r\n",
                reply.body,
            )
        )

    def plain(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, now_s: float, *, closes: bool
    ) -> bytes:
        """A response whose headers are complete but for date and connection."""
        lines = b"".join([b"%s: %s\r\n" % (name, value) for name, value in headers])
        return b"".join((status_line(status), lines, self.date(now_s), CLOSE if closes else b"\r\n", body))

    def date(self, now_s: float) -> bytes:
        """The Date header (RFC 9110, 6.6.1), made once a second."""
        if int(now_s) != self._date_s:
            self._turn_to(now_s)
        return self._date

    def _turn_to(self, now_s: float) -> None:
        """A second begins: no head is remembered for longer."""
        self._heads.clear()
        self._date_s = int(now_s)
        self._date = b"date: " + email.utils.formatdate(now_s, usegmt=True).encode() + b"\r\n"

    def _head(self, reply: HttpReply, who: AnsweredBy | None) -> bytes:
        """What replies of one kind begin with, up to the request's id."""
        answered_by = who.headers if who is not None else ()
        return b"".join(
            (
                status_line(reply.status),
                b"content-type: ",
                reply.media_type.encode(),
                b"\r\n",
                self._date,
                *[b"%s: %s\r\n" % (name.encode(), _value(value)) for name, value in answered_by],
                REQUEST_ID_NAME,
            )
        )


CLOSE = b"connection: close\r\n\r\n"
REQUEST_ID_NAME = REQUEST_ID.encode() + b": "


def status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def _value(text: str) -> bytes:
    """A field value that cannot end its line."""
    octets = text.encode("latin-1", "replace")
    return (
        octets if b"\r" not in octets and b"\n" not in octets else octets.replace(b"\r", b" ").replace(b"\n", b" ")
    )
