"""HTTP/1.1 requests over one connection, one at a time (RFC 9112); answers are read by httptools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import httptools

from rapide.loadtests.wire.connection import ANSWERED, Broken

MOST_ERROR_BYTES = 200
"""Of an error's body, as much is kept to be shown."""


class HttpConnection:
    """The client's end of a connection; see ``connection.Connection``. A call is a whole request's bytes."""

    def __init__(self) -> None:
        self.has_room = True
        self.is_closing = False
        self.errors: dict[int, str] = {}
        self._out = b""
        self._number: int | None = None
        self._ended: list[tuple[int, int]] = []
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)

    def ask(self, number: int, call: bytes) -> None:
        self._number = number
        self._out += call
        self.has_room = False

    def take(self) -> bytes:
        out, self._out = self._out, b""
        return out

    def in_flight(self) -> Iterable[int]:
        return () if self._number is None else (self._number,)

    def give_up(self, _number: int) -> bool:
        """An answer that comes later would be taken for the next request's."""
        self._number = None
        self.is_closing, self.has_room = True, False
        return False

    def receive(self, data: bytes) -> list[tuple[int, int]]:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise Broken(f"an answer that is not HTTP/1.1: {error}", self._ended) from None
        ended, self._ended = self._ended, []
        return ended

    def on_body(self, body: bytes) -> None:
        """httptools read a part of an answer's body."""
        if len(self._body) < MOST_ERROR_BYTES and self._parser.get_status_code() != 200:
            self._body += body[:MOST_ERROR_BYTES]

    def on_message_complete(self) -> None:
        """httptools read the end of an answer."""
        status = self._parser.get_status_code()
        if status < 200:  # a provisional answer (100 Continue)
            return
        if status != 200:
            self.errors.setdefault(status, self._body[:MOST_ERROR_BYTES].decode(errors="replace"))
        self._body = b""
        if not self._parser.should_keep_alive():
            self.is_closing = True
        self.has_room = not self.is_closing
        if self._number is None:
            raise Broken("an answer that nobody asked for")
        self._ended.append((self._number, ANSWERED if status == 200 else status))
        self._number = None


def request_bytes(host: str, port: int, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """One POST, whole."""
    lines = [f"POST {path} HTTP/1.1", f"host: {host}:{port}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
