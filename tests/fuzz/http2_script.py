"""A grammar of what an HTTP/2 client may send, valid and damaged, mixed with what the server's owner does.

A script is the wire's bytes with *acts* between them: frames of a type that HTTP/2 does not have, which the
harness performs instead of passing them on. So a script is plain bytes: it can be changed, spliced and kept in a
corpus. The first byte chooses the limits.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import hpack

from rapide.server.protocols.http2 import frames
from rapide.server.protocols.http2.header_blocks import encode_fields

ACT = 0xFE
"""The frame type of an act: its flags say which, its stream is an index into the streams seen so far."""


class Act(enum.IntEnum):
    """What the owner of a connection does. The payload is a number: bytes of an answer, or seconds."""

    RESPOND = 0
    SEND_HEAD = 1
    SEND_DATA = 2
    SEND_TRAILERS = 3
    RESET = 4
    PAUSE = 5
    RESUME = 6
    GO_AWAY = 7
    REFUSE_NEW = 8
    PING = 9
    PASS_TIME = 10
    SEND_LAST = 11
    REFUSE = 12


@dataclass(frozen=True, slots=True)
class Performed:
    """An act as the harness reads it."""

    act: Act
    index: int
    number: int


def act(what: Act, index: int = 0, number: int = 0) -> bytes:
    return frames.frame(ACT, what, index, number.to_bytes(3, "big"))


def steps(script: bytes) -> Iterator[bytes | Performed]:
    """The script's parts in order: bytes for the wire, and acts."""
    position = len(frames.PREFACE) if script.startswith(frames.PREFACE) else 0
    start = 0
    while position + frames.HEADER_BYTES <= len(script):
        high, low, kind, flags, index = frames.FRAME_HEADER.unpack_from(script, position)
        end = position + frames.HEADER_BYTES + (high << 8 | low)
        if kind == ACT and end <= len(script):
            if start < position:
                yield script[start:position]
            payload = script[position + frames.HEADER_BYTES : end]
            yield Performed(Act(flags % len(Act)), index, int.from_bytes(payload[:3], "big"))
            start = end
        position = end
    if start < len(script):
        yield script[start:]


Maker = Callable[["Client", Random], bytes]


@dataclass(slots=True)
class Client:
    """What a client remembers while it writes. ``blocks`` are the header blocks it may open a request with, and
    ``bodies`` what it may send as DATA."""

    blocks: Sequence[bytes]
    bodies: Sequence[bytes] = (b"", b"x", bytes(100), bytes(16_384), bytes(9_000))
    next_id: int = 1
    ids: list[int] = field(default_factory=list)
    encoder: hpack.Encoder = field(default_factory=hpack.Encoder)

    def some_id(self, random: Random) -> int:
        """Mostly a stream that is open, sometimes another."""
        if self.ids and random.random() < 0.9:
            return random.choice(self.ids[-8:])
        return random.choice((0, 1, 2, self.next_id, self.next_id + 2, 2**31 - 1))


def script(random: Random, client: Client) -> bytes:
    """A new one."""
    parts = [bytes([random.choice((0, 0, 1))]), frames.PREFACE if random.random() < 0.97 else random.randbytes(24)]
    if random.random() < 0.97:
        parts.append(_settings(client, random) if random.random() < 0.3 else frames.settings({}))
    makers, weights = zip(*_MAKERS, strict=True)
    for maker in random.choices(makers, weights, k=random.choice((3, 10, 30, 60))):
        made = maker(client, random)
        parts += [made] * (random.choice((2, 5, 300)) if random.random() < 0.02 else 1)
    return b"".join(parts)


def _request(client: Client, random: Random) -> bytes:
    stream_id = client.next_id
    client.next_id += 2
    client.ids.append(stream_id)
    ended = random.random() < 0.4
    opening = _headers(stream_id, random.choice(client.blocks), random, ended=ended)
    if ended or random.random() < 0.3:
        return opening
    return opening + _body(stream_id, random.choice(client.bodies), random, ended=random.random() < 0.8)


def _headers(stream_id: int, block: bytes, random: Random, *, ended: bool) -> bytes:
    flags = frames.END_STREAM if ended else 0
    extra, tail = b"", b""
    if random.random() < 0.1:
        flags |= frames.PRIORITY_FLAG
        extra = random.randbytes(5)
    if random.random() < 0.1:
        flags |= frames.PADDED
        tail = bytes(random.choice((0, 1, 30, 255)))
        extra = bytes([len(tail)]) + extra
    if random.random() < 0.85:
        return frames.frame(frames.HEADERS, flags | frames.END_HEADERS, stream_id, extra + block + tail)
    cuts = sorted(random.randint(0, len(block)) for _ in range(random.choice((1, 2, 3, 12))))
    pieces = [block[start:end] for start, end in zip([0, *cuts], [*cuts, len(block)], strict=True)]
    out = [frames.frame(frames.HEADERS, flags, stream_id, extra + pieces[0] + tail)]
    out += [frames.frame(frames.CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1]]
    return b"".join(out) + frames.frame(frames.CONTINUATION, frames.END_HEADERS, stream_id, pieces[-1])


def _body(stream_id: int, body: bytes, random: Random, *, ended: bool) -> bytes:
    size = random.choice((1, 100, 5000, 16_384, 16_384))
    pieces = [body[start : start + size] for start in range(0, len(body), max(size, len(body) // 20))] or [b""]
    return b"".join(
        frames.frame(
            frames.DATA, frames.END_STREAM if ended and number == len(pieces) - 1 else 0, stream_id, piece
        )
        for number, piece in enumerate(pieces)
    )


def _indexed_request(client: Client, random: Random) -> bytes:
    """A client with a dynamic table, as most have; it may shrink it when it hears that we want none."""
    if random.random() < 0.3:
        client.encoder.header_table_size = random.choice((0, 0, 100, 4096))
    fields = [(":method", "POST"), (":scheme", "http"), (":path", random.choice(("/a", "/b"))), ("x", "y" * 40)]
    stream_id = client.next_id
    client.next_id += 2
    client.ids.append(stream_id)
    block = client.encoder.encode(fields, huffman=random.random() < 0.5)
    return frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream_id, block)


def _bad_block(client: Client, random: Random) -> bytes:
    block = random.choice(
        (
            random.randbytes(random.randint(0, 40)),
            b"\xff" * random.randint(1, 600) + b"\x01",
            b"\x20" * random.choice((1, 3000)),
            b"\x3f\xe1\x1f" + client.blocks[0],
            encode_fields([(b"x-" + random.randbytes(3), random.randbytes(20))]),
            encode_fields([(b"x-long", bytes(random.choice((1000, 20_000))))])[:16_000],
            b"\x40\x01a\x7f\xb1\x17" + b"x" * 3000 + b"\xbe" * random.choice((1, 10)),
        )
    )
    return frames.frame(frames.HEADERS, frames.END_HEADERS, client.next_id, block)


def _data(client: Client, random: Random) -> bytes:
    flags = random.choice((0, 0, 0, frames.END_STREAM, frames.PADDED, frames.PADDED | frames.END_STREAM))
    payload = random.choice(client.bodies)[: random.choice((0, 1, 5, 2000, 16_384))]
    if flags & frames.PADDED:
        padding = random.choice((0, 1, 200, 255))
        payload = bytes([padding]) + payload[:16_000] + bytes(padding if random.random() < 0.95 else 0)
    return frames.frame(frames.DATA, flags, client.some_id(random), payload)


def _trailers(client: Client, random: Random) -> bytes:
    block = encode_fields([(b"x-checksum", b"1")])
    return _headers(client.some_id(random), block, random, ended=random.random() < 0.9)


def _settings(_client: Client, random: Random) -> bytes:
    values = {
        frames.SETTINGS_HEADER_TABLE_SIZE: (0, 4096, 2**32 - 1),
        frames.SETTINGS_ENABLE_PUSH: (0, 1, 1, 2),
        frames.SETTINGS_MAX_CONCURRENT_STREAMS: (0, 100),
        frames.SETTINGS_INITIAL_WINDOW_SIZE: (0, 1, 100, 65_535, 65_535, 1 << 20, 2**31 - 1, 2**31),
        frames.SETTINGS_MAX_FRAME_SIZE: (16_384, 16_384, 20_000, 2**24 - 1, 100),
        0x99: (1,),
    }
    keys = random.choices(list(values), (1, 1, 1, 8, 3, 1), k=random.choice((0, 1, 1, 2, 40)))
    pairs = b"".join(key.to_bytes(2, "big") + random.choice(values[key]).to_bytes(4, "big") for key in keys)
    return frames.frame(frames.SETTINGS, 0, 0, pairs) if random.random() < 0.8 else frames.SETTINGS_ACK


def _window_update(client: Client, random: Random) -> bytes:
    stream_id = 0 if random.random() < 0.4 else client.some_id(random)
    return frames.window_update(
        stream_id, random.choice((0, 1, 1, 10, 1000, 1000, 65_535, 65_535, 1 << 20, 2**31 - 1))
    )


def _reset(client: Client, random: Random) -> bytes:
    return frames.rst_stream(client.some_id(random), random.choice((0, 8, 0xFFFFFFFF)))


def _ping(_client: Client, random: Random) -> bytes:
    return frames.frame(frames.PING, random.choice((0, 0, 1)), 0, random.randbytes(8))


def _priority(client: Client, random: Random) -> bytes:
    return frames.frame(frames.PRIORITY, 0, client.some_id(random), random.randbytes(5))


def _goaway(_client: Client, random: Random) -> bytes:
    return frames.goaway(0, random.choice((0, 2)), b"bye")


def _damaged(client: Client, random: Random) -> bytes:
    """A known frame of any length, flags and stream, or none at all."""
    if random.random() < 0.2:
        return random.randbytes(random.randint(1, 30))
    payload = random.randbytes(random.choice((0, 1, 3, 4, 5, 6, 8, 20)))
    return frames.frame(random.randrange(12), random.randrange(256), client.some_id(random), payload)


def _oversize(client: Client, random: Random) -> bytes:
    size = random.choice((16_384, 16_385, 2**24 - 1))
    return frames.frame_header(size, random.randrange(10), 0, client.some_id(random)) + bytes(min(size, 20_000))


def _act(_client: Client, random: Random) -> bytes:
    what = random.choices(
        list(Act),
        (10, 3, 5, 4, 2, 3, 3, 0.2, 0.4, 0.5, 2, 3, 2),  # as Act's order
    )[0]
    number = random.choice((0, 1, 1000, 16_384, 65_535, 65_536, 200_000))
    return act(what, random.randrange(6), number)


_MAKERS: tuple[tuple[Maker, float], ...] = (
    (_request, 12),
    (_indexed_request, 2),
    (_data, 6),
    (_trailers, 2),
    (_settings, 2),
    (_window_update, 5),
    (_reset, 2),
    (_ping, 1),
    (_priority, 1),
    (_goaway, 0.2),
    (_bad_block, 0.3),
    (_damaged, 0.5),
    (_oversize, 0.1),
    (_act, 16),
)
