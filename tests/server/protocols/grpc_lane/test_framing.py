"""gRPC messages however their bytes are cut, compressed or not; lies and bombs are refused early."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.errors import InvalidRequest, RapideError, TooLarge, UnsupportedMedia
from rapide.server.protocols.grpc_lane.framing import PREFIX, MessageReader, decompress, frame_message


def read(data: bytes, cut: int = 1 << 30, encoding: bytes = b"identity", bound: int = 1 << 20) -> list[bytes]:
    reader = MessageReader(bound, encoding)
    messages = []
    for start in range(0, len(data), cut):
        messages += reader.feed(data, start, min(start + cut, len(data)))
    reader.finish()
    return messages


@given(
    messages=st.lists(st.binary(max_size=200), max_size=6),
    cut=st.integers(1, 50),
    encoding=st.sampled_from([b"identity", b"gzip", b"deflate"]),
)
def test_what_is_framed_is_read_however_it_is_cut(messages: list[bytes], cut: int, encoding: bytes) -> None:
    data = b"".join(frame_message(message, encoding) for message in messages)
    assert read(data, cut, encoding) == messages


def test_compression_is_what_others_call_by_its_name() -> None:
    assert decompress(gzip.compress(b"text" * 100), b"gzip", 1000) == b"text" * 100
    assert gzip.decompress(frame_message(b"text" * 100, b"gzip")[5:]) == b"text" * 100
    assert zlib.decompress(frame_message(b"text" * 100, b"deflate")[5:]) == b"text" * 100


@pytest.mark.parametrize(
    ("data", "encoding", "error", "text"),
    [
        (PREFIX.pack(2, 1) + b"x", b"identity", InvalidRequest, "message flag 2 is unknown"),
        (PREFIX.pack(1, 1) + b"x", b"identity", InvalidRequest, "without grpc-encoding"),
        (PREFIX.pack(0, 1001), b"identity", TooLarge, "message of 1001 bytes; at most 1000"),
        (PREFIX.pack(0, 2**32 - 1), b"identity", TooLarge, "message of 4294967295 bytes"),
        (PREFIX.pack(0, 5) + b"four", b"identity", InvalidRequest, "ended within a message: 9 bytes"),
        (b"\0\0", b"identity", InvalidRequest, "ended within a message: 2 bytes"),
        (PREFIX.pack(1, 4) + b"junk", b"gzip", InvalidRequest, "is not gzip"),
        (PREFIX.pack(1, 4) + b"junk", b"snappy", UnsupportedMedia, "expected one of identity, deflate, gzip"),
        (frame_message(b"x" * 5000, b"gzip"), b"gzip", TooLarge, "decompresses to more than 1000"),
        (
            PREFIX.pack(1, 12) + gzip.compress(b"x" * 500, mtime=0)[:12],
            b"gzip",
            InvalidRequest,
            "the gzip message is truncated",
        ),
    ],
)
def test_lies_are_refused(data: bytes, encoding: bytes, error: type[RapideError], text: str) -> None:
    with pytest.raises(error, match=text):
        read(data, encoding=encoding, bound=1000)


def test_a_length_above_the_bound_is_refused_before_its_bytes_come() -> None:
    reader = MessageReader(1000)
    assert reader.feed(b"\0\0\0", 0, 3) == []
    with pytest.raises(TooLarge):
        reader.feed(b"\xff\xff", 0, 2)


def test_a_message_in_many_pieces_keeps_nothing_but_its_bytes() -> None:
    """Each piece came with a large read, most of which was for others."""
    reader = MessageReader(1 << 20)
    reader.feed(PREFIX.pack(0, 100_000), 0, 5)
    tracemalloc.start()
    try:
        for _ in range(2000):
            reader.feed(bytes(50_000), 17, 18)
        assert tracemalloc.get_traced_memory()[0] < 200_000
    finally:
        tracemalloc.stop()
    assert reader.waiting_bytes == 2005


def test_the_pieces_of_a_message_cost_the_same_however_many_came_before() -> None:
    """Looking through all earlier pieces for each new one would take minutes here."""
    reader = MessageReader(1 << 20)
    data = frame_message(bytes(1 << 19))
    messages = []
    for place in range(len(data)):
        messages += reader.feed(data, place, place + 1)
        assert reader.waiting_bytes in (place + 1, 0)
    assert messages == [bytes(1 << 19)]
