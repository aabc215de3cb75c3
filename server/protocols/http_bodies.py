"""HTTP content codings: gzip and deflate, in with a bound on what comes out, out where it pays (RFC 9110, 8.4)."""

from __future__ import annotations

import asyncio
import re
import zlib
from typing import Final

from rapide.server.errors import InvalidRequest, TooLarge, UnsupportedMedia

MIN_COMPRESSED_BYTES: Final = 1400
"""A smaller reply fits one packet anyway: compressing it costs time and saves none."""
THREAD_ABOVE_BYTES: Final = 64 * 1024
"""Where (de)compressing takes about a millisecond; it leaves the event loop then (zlib releases the GIL)."""
LEVEL: Final = 1
"""The fastest: tensors hardly shrink more at higher levels, and the client waits meanwhile."""
MAX_MEMBERS: Final = 16
"""Gzip data may be several members in a row (RFC 1952, section 2.2); each costs a copy of the rest, so not
many."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_DEFLATE: Final = zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS
_CODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _DEFLATE}
_ACCEPTED: Final = re.compile(r"\s*([A-Za-z0-9*-]+)\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?$")


async def decoded(body: bytes, coding: str, limit_bytes: int) -> bytes:
    """``body`` without its Content-Encoding.

    Raises UnsupportedMedia for an unknown coding, InvalidRequest for damaged data, TooLarge above ``limit_bytes``
    (noticed while decompressing: a bomb never unfolds).
    """
    coding = coding.strip().lower()
    if coding in {"", "identity"}:
        return body
    if coding not in _CODINGS:
        raise UnsupportedMedia(f"content-encoding {coding[:32]!r} is not read here; use gzip, deflate or none")
    if len(body) <= THREAD_ABOVE_BYTES:
        return inflate(body, coding, limit_bytes)
    return await asyncio.get_running_loop().run_in_executor(None, inflate, body, coding, limit_bytes)


def inflate(body: bytes, coding: str, limit_bytes: int) -> bytes:
    """As ``decoded``, on the calling thread."""
    try:
        return _inflate(body, _CODINGS[coding], limit_bytes)
    except zlib.error:
        if coding == "deflate":  # some clients send the bare stream (RFC 9110, section 8.4.1.2, note)
            try:
                return _inflate(body, _RAW_DEFLATE, limit_bytes)
            except zlib.error:
                pass
        raise InvalidRequest(f"the body is not valid {coding} data, although content-encoding says so") from None


def _inflate(body: bytes, window_bits: int, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    room_bytes = limit_bytes
    for _ in range(MAX_MEMBERS if window_bits == _GZIP else 1):
        stream = zlib.decompressobj(window_bits)
        part = stream.decompress(body, room_bytes + 1)
        room_bytes -= len(part)
        if room_bytes < 0:
            raise TooLarge(f"the decompressed body is larger than {limit_bytes} bytes")
        parts.append(part)
        if not stream.eof:
            raise zlib.error("truncated")
        body = stream.unused_data
        if not body:
            return b"".join(parts)
    raise zlib.error("trailing data")


async def encoded(body: bytes, accepted: str) -> tuple[bytes, str]:
    """``body`` in the best coding that the caller takes, and that coding's name (empty: as it is)."""
    if len(body) < MIN_COMPRESSED_BYTES:
        return body, ""
    coding = choose(accepted)
    if not coding:
        return body, ""
    if len(body) <= THREAD_ABOVE_BYTES:
        return deflate(body, coding), coding
    return await asyncio.get_running_loop().run_in_executor(None, deflate, body, coding), coding


def deflate(body: bytes, coding: str) -> bytes:
    stream = zlib.compressobj(LEVEL, zlib.DEFLATED, _CODINGS[coding])
    return stream.compress(body) + stream.flush()


def choose(accepted: str) -> str:
    """``gzip`` or ``deflate`` where the Accept-Encoding header ``accepted`` prefers it, else the empty text.

    Weights as in RFC 9110, section 12.5.3; at equal weight gzip, since clients agree on what it means.
    """
    if not accepted:
        return ""
    weights: dict[str, float] = {}
    for item in accepted.lower().split(","):
        match = _ACCEPTED.match(item)
        if match:
            weights[match[1]] = float(match[2]) if match[2] else 1.0
    otherwise = weights.get("*", 0.0)
    best = max(("gzip", "deflate"), key=lambda coding: weights.get(coding, otherwise))
    return best if weights.get(best, otherwise) > 0 else ""
