"""What is remembered of header blocks, against the library's decoder: the memory must never change a meaning."""

from __future__ import annotations

import hpack
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.protocols.http2.faults import ConnectionFault
from rapide.server.protocols.http2.header_blocks import (
    HeaderDecoder,
    Headers,
    KnownBlocks,
    KnownHeads,
    encode_fields,
    leaves_table_alone,
)

MAX_LIST_BYTES = 1 << 16
STATIC = encode_fields([(b"te", b"trailers")], status=200)
"""Static names and literals, as a client without a table sends them."""


def decoder(known: KnownHeads[Headers], seen: list[Headers] | None = None) -> HeaderDecoder[Headers]:
    def interpret(fields: Headers) -> Headers:
        if seen is not None:
            seen.append(fields)
        return fields

    return HeaderDecoder(known, interpret, MAX_LIST_BYTES)


def integer(value: int, prefix_bits: int, first: int) -> bytes:
    """An HPACK integer (RFC 7541, 5.1)."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes((first | value,))
    out = bytearray((first | limit,))
    value -= limit
    while value >= 0x80:
        out.append(0x80 | value & 0x7F)
        value >>= 7
    out.append(value)
    return bytes(out)


names = st.binary(min_size=1, max_size=200)
strings = names.map(lambda octets: integer(len(octets), 7, 0) + octets)
huffman = names.map(hpack.Encoder().huffman_coder.encode).map(
    lambda octets: integer(len(octets), 7, 0x80) + octets
)
either = st.one_of(strings, huffman)


def literal(first: int, prefix_bits: int) -> st.SearchStrategy[bytes]:
    named = st.builds(lambda index, value: integer(index, prefix_bits, first) + value, st.integers(1, 61), either)
    new = st.builds(lambda name, value: bytes((first,)) + name + value, either, either)
    return st.one_of(named, new)


lonely = st.one_of(
    st.integers(1, 61).map(lambda index: integer(index, 7, 0x80)), literal(0x00, 4), literal(0x10, 4)
)
"""Representations that leave a table alone."""
sociable = st.one_of(literal(0x40, 6), st.just(integer(62, 7, 0x80)), st.just(integer(62, 4, 0) + b"\x01x"))
"""Representations that change it, or that refer to it."""


@given(st.lists(lonely, max_size=8).map(b"".join))
def test_blocks_of_static_fields_and_plain_literals_leave_the_table_alone(block: bytes) -> None:
    assert leaves_table_alone(block)


@given(st.lists(lonely, max_size=4), sociable, st.lists(lonely, max_size=4))
def test_one_field_that_needs_the_table_is_enough(before: list[bytes], field: bytes, after: list[bytes]) -> None:
    assert not leaves_table_alone(b"".join([*before, field, *after]))


updates = st.sampled_from([b"\x20", b"\x3f\xe1\x1f", b"\x20\x3f\xe1\x1f"])
"""Table size updates: to nothing, to 4,096 octets, and both."""
fields = st.one_of(lonely, literal(0x40, 6), sociable)
blocks = st.builds(
    lambda update, body: update + b"".join(body), st.one_of(st.just(b""), updates), st.lists(fields, max_size=4)
)


def alone(peer: hpack.Decoder, block: bytes) -> Headers | None:
    """What the library makes of it; None where it is wrong."""
    try:
        return [(bytes(name), bytes(value)) for name, value in peer.decode(block, raw=True)]
    except (hpack.HPACKError, IndexError):
        return None


def remembering(connection: HeaderDecoder[Headers], block: bytes) -> Headers | None:
    try:
        return connection.head(block)
    except ConnectionFault:
        return None


@given(
    st.lists(blocks, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20),
)
def test_connections_that_share_a_memory_decode_as_if_alone(
    pool: list[bytes], steps: list[tuple[int, int]]
) -> None:
    """The same few blocks on four connections, whose tables are shrunk, grown and filled by them: whatever was
    remembered, each is told what a decoder of its own tells it, and its table is the same afterwards."""
    known: KnownHeads[Headers] = KnownHeads()
    lanes = [(decoder(known), hpack.Decoder(MAX_LIST_BYTES)) for _ in range(4)]
    broken = set()
    for lane, choice in steps:
        ours, peer = lanes[lane]
        if lane in broken:
            continue
        block = pool[choice % len(pool)]
        told, expected = remembering(ours, block), alone(peer, block)
        assert told == expected
        if expected is None:
            broken.add(lane)  # the connection ends
        else:
            assert list(ours._table.dynamic_entries) == list(peer.header_table.dynamic_entries)
            assert ours._table.maxsize == peer.header_table.maxsize


def test_a_client_without_a_table_is_understood_once() -> None:
    """Also one that does not say that its table is empty, for it never had one."""
    known: KnownHeads[Headers] = KnownHeads()
    seen: list[Headers] = []
    for _ in range(2):
        connection = decoder(known, seen)
        for _ in range(3):
            assert connection.head(STATIC) == [(b":status", b"200"), (b"te", b"trailers")]
    assert len(seen) == 1


def test_what_is_remembered_is_bounded() -> None:
    """Whether or not the peer has shrunk its table."""
    known: KnownHeads[Headers] = KnownHeads()
    plain, shrunk = decoder(known), decoder(known)
    shrunk.head(b"\x20")
    for connection in (plain, shrunk):
        for number in range(4000):
            connection.head(encode_fields([(b"id", b"%0200d" % number)]))
        connection.head(encode_fields([(b"id", b"x" * KnownBlocks.MAX_BLOCK_BYTES)]))
    for blocks_known in (known.anywhere.heads, known.without_table.heads):
        assert 0 < sum(map(len, blocks_known)) <= KnownBlocks.MAX_BYTES
        assert max(map(len, blocks_known)) <= KnownBlocks.MAX_BLOCK_BYTES
