"""What is remembered of header blocks, against the library's decoder: the memory must never change a meaning."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.protocols.http2.header_blocks import (
    HeaderDecoder,
    Headers,
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


@given(st.lists(st.lists(st.one_of(lonely, literal(0x40, 6)), max_size=4).map(b"".join), max_size=12), st.data())
def test_connections_that_share_a_memory_decode_as_if_alone(blocks: list[bytes], data: st.DataObject) -> None:
    """Whatever was remembered, on a connection that has shrunk its table or on one that has not."""
    known: KnownHeads[Headers] = KnownHeads()
    lanes = [(decoder(known), hpack.Decoder(MAX_LIST_BYTES)) for _ in range(3)]
    for shrunk in lanes[:1]:
        assert shrunk[0].head(b"\x20") == list(shrunk[1].decode(b"\x20", raw=True))
    for block in blocks:
        ours, alone = data.draw(st.sampled_from(lanes))
        assert ours.head(block) == [(bytes(name), bytes(value)) for name, value in alone.decode(block, raw=True)]


def test_a_client_without_a_table_is_understood_once() -> None:
    """It need not say that its table is empty: it never had one."""
    known: KnownHeads[Headers] = KnownHeads()
    seen: list[Headers] = []
    for _ in range(2):
        connection = decoder(known, seen)
        for _ in range(3):
            assert connection.head(STATIC) == [(b":status", b"200"), (b"te", b"trailers")]
    assert len(seen) == 1


@pytest.mark.parametrize("shrinks", [b"", b"\x20"])
def test_what_is_remembered_is_bounded(shrinks: bytes) -> None:
    known: KnownHeads[Headers] = KnownHeads()
    connection = decoder(known)
    connection.head(shrinks)
    for number in range(KnownHeads.MAX_KNOWN + 10):
        connection.head(encode_fields([(b"id", b"%d" % number)]))
    connection.head(encode_fields([(b"id", b"x" * KnownHeads.MAX_KNOWN_BLOCK_BYTES)]))
    assert 0 < len(known.anywhere) + len(known.without_table) <= KnownHeads.MAX_KNOWN
    longest = max(len(block) for block in [*known.anywhere, *known.without_table])
    assert longest <= KnownHeads.MAX_KNOWN_BLOCK_BYTES
