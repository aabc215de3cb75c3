"""Peers that mean harm, as bytes on real sockets: what each sends, and how the server should take it."""

from __future__ import annotations

import contextlib
import gzip
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from rapide.server.protocols.http2 import frames
from rapide.server.protocols.http2.frames import ErrorCode
from rapide.server.protocols.http2.header_blocks import encode_fields
from tests.integration.server_process import infer_message

Address = tuple[str, int]
Pieces = Callable[[], Iterator[bytes]]

PATH = b"/inference.GRPCInferenceService/ModelInfer"
STREAM_PATH = b"/inference.GRPCInferenceService/ModelStreamInfer"
OPENING = frames.PREFACE + frames.settings({})
LAST, ENDED = frames.END_HEADERS | frames.END_STREAM, frames.END_STREAM


def block(path: bytes = PATH, *more: tuple[bytes, bytes]) -> bytes:
    pseudo = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path)]
    return encode_fields([*pseudo, (b"content-type", b"application/grpc"), *more])


BLOCK, STREAM_BLOCK = block(), block(STREAM_PATH)
MESSAGE = struct.pack(">BI", 0, len(message := infer_message("linear", 1, 4))) + message


def request(stream_id: int, message: bytes = MESSAGE) -> bytes:
    head = frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, BLOCK)
    return head + frames.frame(frames.DATA, ENDED, stream_id, message)


def opened(stream_id: int, of: bytes = BLOCK) -> bytes:
    return frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, of)


@dataclass(frozen=True, slots=True)
class Taken:
    """How the server took it."""

    sent_bytes: int
    got: bytes
    is_ended: bool
    """Whether the server ended the connection."""
    is_reset: bool = False
    """Whether it did so while we were sending: TCP then drops what we have not read."""


@dataclass(frozen=True, slots=True)
class Peer:
    """``pieces`` are sent one after the other, over ``count`` connections at once.

    ``said``: what the server must answer. ``is_ended``: it must end the connection, else it may keep it. A peer
    that does not read (``reads``) is only left after a minute.
    """

    name: str
    door: str
    pieces: Pieces
    said: bytes = b""
    is_ended: bool = True
    reads: bool = True
    count: int = 1


def goaway(code: ErrorCode) -> bytes:
    return struct.pack(">I", code)


CALM = goaway(ErrorCode.ENHANCE_YOUR_CALM)
PROTOCOL = goaway(ErrorCode.PROTOCOL_ERROR)


def attack(address: Address, peer: Peer, within_s: float = 30.0) -> list[Taken]:
    """Sends what ``peer`` sends, and waits for the ends that must come; AssertionError where they do not."""
    until_s = time.monotonic() + within_s
    return [_one(sock, peer, until_s) for sock in [_connected(address, peer) for _ in range(peer.count)]]


def assault(address: Address, place: int, for_s: float) -> list[Taken]:
    """What ``PEERS[place]`` does, again and again, on new connections, for so long; what is left to be read is
    waited for."""
    until_s = time.monotonic() + for_s
    taken = attack(address, PEERS[place])
    while time.monotonic() < until_s:
        taken += attack(address, PEERS[place])
    return taken


def _connected(address: Address, peer: Peer) -> socket.socket:
    sock = socket.socket()
    if not peer.reads:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(address)
    sock.setblocking(False)
    return sock


def _one(sock: socket.socket, peer: Peer, until_s: float) -> Taken:
    got, sent_bytes = b"", 0
    pieces = peer.pieces()
    with sock:
        waiting = next(pieces, b"")
        while waiting or (peer.is_ended and peer.reads):
            assert time.monotonic() < until_s, f"{peer.name}: still not ended after {sent_bytes} bytes"
            readable, writable, _ = select.select(
                [sock] if peer.reads else [], [sock] if waiting else [], [], 1.0 if peer.reads else 0.5
            )
            if not (readable or writable or peer.reads):
                return Taken(sent_bytes, got, False)  # it reads us no more
            try:
                if readable:
                    data = sock.recv(1 << 18)
                    if not data:
                        return Taken(sent_bytes, got, True)
                    got = (got + data)[-4096:]
                if writable:
                    size = sock.send(waiting)
                    sent_bytes += size
                    waiting = waiting[size:] or next(pieces, b"")
            except ConnectionError:
                return Taken(sent_bytes, got, True, True)
        if peer.reads:
            _wait_until_digested(sock, until_s)
    return Taken(sent_bytes, got, False)


def _wait_until_digested(sock: socket.socket, until_s: float) -> None:
    """Ends our side and waits for the server's end: by then it has worked on all that we sent."""
    sock.settimeout(max(0.1, until_s - time.monotonic()))
    with contextlib.suppress(ConnectionError):
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1 << 18):
            pass


def repeated(piece: bytes, count: int, first: bytes = OPENING) -> Pieces:
    """``first``, then ``piece`` so many times."""

    def pieces() -> Iterator[bytes]:
        yield first
        at_once = max(1, 16_384 // len(piece))
        for _ in range(0, count, at_once):
            yield piece * at_once

    return pieces


def numbered(make: Callable[[int], bytes], count: int, first: bytes = OPENING) -> Pieces:
    """``first``, then what ``make`` gives for each of a client's streams."""

    def pieces() -> Iterator[bytes]:
        yield first
        for start in range(1, 2 * count, 200):
            yield b"".join(make(stream_id) for stream_id in range(start, start + 200, 2))

    return pieces


def _indexed_bomb() -> bytes:
    """A field of 3 KB put into the table once, and then named by one byte, thousands of times."""
    return b"\x40\x01a\x7f\xb9\x16" + b"x" * 3000 + b"\xbe" * 10_000


def _bombs() -> Iterator[bytes]:
    """16 KB that are a message of 16 MB, whole, of a call that is never ended; fifty of them."""
    small = gzip.compress(bytes(16 << 20))
    framed = struct.pack(">BI", 1, len(small)) + small
    pieces = [framed[start : start + 16_384] for start in range(0, len(framed), 16_384)]
    head = block(PATH, (b"grpc-encoding", b"gzip"))
    yield OPENING
    for stream_id in range(1, 101, 2):
        yield opened(stream_id, head)
        yield b"".join(frames.frame(frames.DATA, 0, stream_id, piece) for piece in pieces)


def _garbage() -> Iterator[bytes]:
    random = Random(7)
    yield OPENING
    for _ in range(50):
        yield random.randbytes(4000)


def _byte_by_byte() -> Iterator[bytes]:
    """A message of 60 MB begun, a byte for each frame."""
    yield OPENING + opened(1) + frames.frame(frames.DATA, 0, 1, struct.pack(">BI", 0, 60 << 20))
    for _ in range(100):
        yield frames.frame(frames.DATA, 0, 1, b"x") * 1000


def _dribble() -> Iterator[bytes]:
    """A thousand answers without window, which is then opened a byte at a time for all of them."""
    yield OPENING + frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    yield b"".join(request(stream_id) for stream_id in range(1, 2001, 2))
    for _ in range(40):
        for size in range(1, 60):
            yield frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: size}) * 10
        yield frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})


def _unread_streams() -> Iterator[bytes]:
    """Streaming calls that get no window, and are sent more and more."""
    yield OPENING + frames.settings({frames.SETTINGS_INITIAL_WINDOW_SIZE: 0})
    yield b"".join(opened(stream_id, STREAM_BLOCK) for stream_id in range(1, 401, 2))
    filled = struct.pack(">BI", 0, 16_000) + bytes(16_000)
    for _ in range(60):
        for stream_id in range(1, 401, 2):
            yield frames.frame(frames.DATA, 0, stream_id, filled)


GET = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /v2/models/linear/infer HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

PEERS = (
    Peer("rapid reset", "grpc", numbered(lambda n: request(n) + frames.rst_stream(n, 8), 50_000), CALM),
    Peer("reset by us", "grpc", numbered(lambda n: opened(n) + frames.window_update(n, 0), 50_000), CALM),
    Peer("too many streams", "grpc", numbered(opened, 50_000), CALM),
    Peer(
        "CONTINUATION flood",
        "grpc",
        repeated(frames.frame(frames.CONTINUATION, 0, 1), 50_000, OPENING + frames.frame(frames.HEADERS, 0, 1)),
        CALM,
    ),
    Peer(
        "large CONTINUATION",
        "grpc",
        repeated(
            frames.frame(frames.CONTINUATION, 0, 1, b"\0" * 16_000),
            500,
            OPENING + frames.frame(frames.HEADERS, 0, 1),
        ),
        CALM,
    ),
    Peer("HPACK bomb", "grpc", repeated(opened(1, _indexed_bomb()), 1), CALM),
    Peer(
        "HPACK size updates",
        "grpc",
        numbered(lambda n: opened(n, b"\x20" * 16_000), 200),
        goaway(ErrorCode.COMPRESSION_ERROR),
    ),
    Peer("SETTINGS flood", "grpc", repeated(frames.settings({4: 65_535}), 200_000), CALM),
    Peer("SETTINGS in one frame", "grpc", repeated(frames.frame(4, 0, 0, b"\0\4\0\0\1\0" * 2000), 100), CALM),
    Peer("PING flood", "grpc", repeated(frames.ping(b"floodies"), 200_000), CALM),
    Peer(
        "empty DATA flood", "grpc", repeated(frames.frame(frames.DATA, 0, 1), 200_000, OPENING + opened(1)), CALM
    ),
    Peer("PRIORITY flood", "grpc", repeated(frames.frame(frames.PRIORITY, 0, 1, b"12345"), 200_000), CALM),
    Peer("WINDOW_UPDATE flood", "grpc", repeated(frames.window_update(0, 1), 200_000), CALM),
    Peer("extension flood", "grpc", repeated(frames.frame(0x99, 0, 0), 200_000), CALM),
    Peer("GOAWAY flood", "grpc", repeated(frames.goaway(0, 0), 200_000), CALM),
    Peer("window dribble", "grpc", _dribble, CALM),
    Peer("window overflow", "grpc", repeated(frames.window_update(0, 2**31 - 1), 2), goaway(ErrorCode(3))),
    Peer("streams without window", "grpc", _unread_streams, is_ended=False),
    Peer("calls whose answers are not read", "grpc", numbered(request, 200_000), is_ended=False, reads=False),
    Peer("half-open connections", "grpc", lambda: iter([frames.PREFACE[:10]]), is_ended=False, count=200),
    Peer(
        "oversize frame",
        "grpc",
        repeated(frames.frame_header(2**24 - 1, 0, 0, 1) + bytes(16_384), 100),
        goaway(ErrorCode(6)),
    ),
    Peer(
        "oversize message",
        "grpc",
        numbered(lambda n: request(n, struct.pack(">BI", 0, 2**32 - 1)), 2000),
        is_ended=False,
    ),
    Peer("message bombs", "grpc", _bombs, is_ended=False),
    Peer("a message byte by byte", "grpc", _byte_by_byte, is_ended=False),
    Peer("bad preface", "grpc", lambda: iter([GET * 100]), PROTOCOL),
    Peer(
        "streams reopened",
        "grpc",
        repeated(frames.frame(frames.HEADERS, LAST, 1, BLOCK), 1000),
        goaway(ErrorCode(5)),
    ),
    Peer("streams going back", "grpc", repeated(opened(5) + opened(3), 1), goaway(ErrorCode(5))),
    Peer("garbage after the preface", "grpc", _garbage, count=20),
    Peer("endless header", "http", repeated(b"x" * 1000, 100_000, POST + b"h: "), b" 431 "),
    Peer("endless headers", "http", repeated(b"h: v\r\n", 100_000, POST), b" 431 "),
    Peer("endless chunk extension", "http", repeated(b"x" * 1000, 100_000, CHUNKED + b"1;"), b" 413 "),
    Peer("endless trailers", "http", repeated(b"t: v\r\n", 100_000, CHUNKED + b"0\r\n"), b" 431 "),
    Peer("tiny chunks", "http", repeated(b"2\r\nab\r\n", 400_000, CHUNKED), is_ended=False),
    Peer(
        "oversize body", "http", repeated(b"x" * 1000, 10, POST + b"Content-Length: 99999999999\r\n\r\n"), b" 413 "
    ),
    Peer(
        "slow requests", "http", lambda: iter([POST + b"Content-Length: 100\r\n\r\nx"]), is_ended=False, count=200
    ),
    Peer("answers that are not read", "http", repeated(GET, 500_000, b""), is_ended=False, reads=False),
    Peer("HTTP/2 on the wrong door", "http", repeated(frames.ping(b"floodies"), 1000), b" 400 "),
    Peer("garbage", "http", lambda: iter([Random(3).randbytes(4000)] * 5), b" 400 ", count=20),
)
