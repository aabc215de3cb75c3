"""Hundreds of connections at once, each with as many bad or worthless requests as a read can bring."""

from __future__ import annotations

import json
import selectors
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from rapide.server.protocols.http2 import frames
from tests.integration.hostile_peers import (
    BLOCK,
    GET,
    LAST,
    OPENING,
    POST,
    STREAM_BLOCK,
    Address,
    block,
    opened,
    request,
)
from tests.integration.server_process import infer_json

CONNECTIONS = 500


@dataclass(frozen=True, slots=True)
class Crowd:
    """What each of CONNECTIONS sends, once; who is done or cut off comes again."""

    name: str
    door: str
    sent: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of it."""

    sent_bytes: int
    got_bytes: int
    ended: int
    """Connections that the server ended."""


def _calls(make: Callable[[int], bytes], count: int) -> Callable[[], bytes]:
    """One by one on streams of their own."""
    return lambda: OPENING + b"".join(make(stream_id) for stream_id in range(1, 2 * count, 2))


def _headers(stream_id: int, of: bytes) -> bytes:
    return frames.frame(frames.HEADERS, LAST, stream_id, of)


def _stream(path_block: bytes) -> Callable[[], bytes]:
    """One streaming call with 90,000 empty messages, and all the window that there is for its answers."""
    messages = frames.frame(frames.DATA, 0, 1, b"\0\0\0\0\0" * 3000)
    most = frames.MAX_WINDOW_BYTES
    wide = frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: most})
    wide += frames.window_update(0, most - frames.DEFAULT_WINDOW_BYTES)
    return lambda: OPENING + wide + opened(1, path_block) + messages * 30


def _new_names(stream_id: int) -> bytes:
    """A header block that no one has sent before."""
    more = [(b"a%d" % number, b"%d" % stream_id) for number in range(200)]
    return _headers(stream_id, block(b"/%d" % stream_id, *more))


_NOT_POST = b"\x82\x86\x84"
"""``GET http /``, in three octets."""
_UNKNOWN = block(b"/none/Such")
_BAD_BODY = json.dumps(infer_json(1, 3)).encode()
"""The model takes 4 columns."""
_BAD_POST = b"%bContent-Length: %d\r\n\r\n%b" % (POST, len(_BAD_BODY), _BAD_BODY)
_NO_MESSAGE = struct.pack(">BI", 0, 3) + b"abc"
_REFLECTION = block(b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
_BURST = 3900
"""Frames without a request that a connection may send at once."""

CROWDS = (
    Crowd("no calls at all", "grpc", _calls(lambda n: _headers(n, _NOT_POST), 20_000)),
    Crowd("unknown methods", "grpc", _calls(lambda n: _headers(n, _UNKNOWN), 5000)),
    Crowd("no messages", "grpc", _calls(lambda n: _headers(n, BLOCK), 3000)),
    Crowd("messages that are none", "grpc", _calls(lambda n: request(n, _NO_MESSAGE), 3000)),
    Crowd("calls", "grpc", _calls(request, 3000)),
    Crowd("calls that are reset", "grpc", _calls(lambda n: request(n) + frames.rst_stream(n, 8), 990)),
    Crowd("new header blocks", "grpc", _calls(_new_names, 100)),
    Crowd("streams of nothing", "grpc", _stream(STREAM_BLOCK)),
    Crowd("reflection on nothing", "grpc", _stream(_REFLECTION)),
    Crowd("PING", "grpc", lambda: OPENING + frames.ping(b"floodies") * _BURST),
    Crowd("SETTINGS", "grpc", lambda: OPENING + frames.settings({4: 65_535}) * _BURST),
    Crowd("requests that are none", "http", lambda: _BAD_POST * 3000),
    Crowd("other routes", "http", lambda: GET * 20_000),
    Crowd("empty DATA", "grpc", lambda: OPENING + opened(1) + frames.frame(frames.DATA, 0, 1) * _BURST),
)


def come(address: Address, place: int, for_s: float) -> Heard:
    """``CROWDS[place]`` sends for so long, then leaves."""
    return _Assault(address, CROWDS[place].sent()).run(for_s)


class _Assault:
    """All connections of one crowd."""

    def __init__(self, address: Address, sent: bytes) -> None:
        self._address = address
        self._sent = memoryview(sent)
        self._selector = selectors.DefaultSelector()
        self._sent_bytes = self._got_bytes = self._ended = 0
        for _ in range(CONNECTIONS):
            self._connect()

    def run(self, for_s: float) -> Heard:
        until_s = time.monotonic() + for_s
        while time.monotonic() < until_s:
            for key, ready in self._selector.select(0.1):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                if not self._is_on(sock, key.data, ready):
                    self._ended += 1
                    self._leave(sock)
                    self._connect()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            self._leave(key.fileobj)
        self._selector.close()
        return Heard(self._sent_bytes, self._got_bytes, self._ended)

    def _connect(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(self._address)
        self._selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, 0)

    def _leave(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)
        sock.close()

    def _is_on(self, sock: socket.socket, place: int, ready: int) -> bool:
        """Reads and sends what can be; whether the connection goes on."""
        try:
            if ready & selectors.EVENT_READ:
                got = sock.recv(1 << 18)
                self._got_bytes += len(got)
                if not got:
                    return False
            if ready & selectors.EVENT_WRITE:
                size = sock.send(self._sent[place : place + (1 << 18)])
                self._sent_bytes += size
                is_done = place + size >= len(self._sent)
                events = selectors.EVENT_READ | (0 if is_done else selectors.EVENT_WRITE)
                self._selector.modify(sock, events, place + size)
        except OSError:
            return False
        return True
