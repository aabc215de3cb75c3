"""Content codings: both ways, bounded, and damaged."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.errors import InvalidRequest, TooLarge, UnsupportedMedia
from rapide.server.protocols import http_bodies
from rapide.server.protocols.http_bodies import choose, decoded, deflate, encoded, inflate

MEGABYTE = 1 << 20


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(body) + stream.flush()


@given(st.binary(max_size=4096), st.sampled_from(["gzip", "deflate"]))
def test_what_is_compressed_comes_back(body: bytes, coding: str) -> None:
    assert inflate(deflate(body, coding), coding, 4096) == body


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"tensor", mtime=0)),
        ("X-GZIP ", gzip.compress(b"tensor", mtime=0)),
        ("gzip", gzip.compress(b"ten", mtime=0) + gzip.compress(b"sor", mtime=0)),
        ("deflate", zlib.compress(b"tensor")),
        ("deflate", raw_deflate(b"tensor")),
        ("identity", b"tensor"),
        ("", b"tensor"),
    ],
)
async def test_codings_that_are_read(coding: str, body: bytes) -> None:
    assert await decoded(body, coding, 6) == b"tensor"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress"])
async def test_other_codings_are_named(coding: str) -> None:
    with pytest.raises(UnsupportedMedia, match=f"'{coding}' is not read here; use gzip, deflate or none"):
        await decoded(b"x", coding, 100)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b""),
        ("gzip", b"not gzip"),
        ("gzip", gzip.compress(b"tensor", mtime=0)[:-1]),
        ("gzip", gzip.compress(b"tensor", mtime=0) + b"more"),
        ("gzip", gzip.compress(b"x", mtime=0) * (http_bodies.MAX_MEMBERS + 1)),
        ("deflate", b"not deflate"),
        ("deflate", zlib.compress(b"tensor") + b"more"),
        ("deflate", zlib.compress(b"tensor")[:-1]),
    ],
)
async def test_damaged_bodies(coding: str, body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=f"not valid {coding} data"):
        await decoded(body, coding, 1000)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_bomb_never_unfolds(coding: str) -> None:
    bomb = deflate(bytes(256 * MEGABYTE), coding)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match=f"larger than {MEGABYTE} bytes"):
            await decoded(bomb, coding, MEGABYTE)
        assert tracemalloc.get_traced_memory()[1] < 4 * MEGABYTE
    finally:
        tracemalloc.stop()


async def test_the_limit_itself_is_allowed() -> None:
    assert await decoded(gzip.compress(bytes(1000)), "gzip", 1000) == bytes(1000)
    with pytest.raises(TooLarge):
        await decoded(gzip.compress(bytes(1001)), "gzip", 1000)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("deflate, gzip;q=0.5", "deflate"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0", ""),
        ("gzip;q=0, *", "deflate"),
        ("gzip;q=0, deflate;q=0.0", ""),
        ("identity", ""),
        ("br", ""),
        ("", ""),
        ("gzip;q=nonsense", ""),
        ("GZIP ; q=1", "gzip"),
    ],
)
def test_the_coding_that_the_caller_prefers(accepted: str, coding: str) -> None:
    assert choose(accepted) == coding


async def test_small_answers_stay_as_they_are() -> None:
    small, large = bytes(http_bodies.MIN_COMPRESSED_BYTES - 1), bytes(http_bodies.MIN_COMPRESSED_BYTES)

    assert await encoded(small, "gzip") == (small, "")
    body, coding = await encoded(large, "gzip")
    assert coding == "gzip"
    assert gzip.decompress(body) == large


async def test_large_bodies_are_worked_on_elsewhere_with_the_same_result() -> None:
    body = bytes(http_bodies.THREAD_ABOVE_BYTES + 1)

    packed, coding = await encoded(body, "deflate")

    assert coding == "deflate"
    assert await decoded(packed, "deflate", len(body)) == body
