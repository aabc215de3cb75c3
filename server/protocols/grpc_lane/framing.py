"""gRPC's length-prefixed messages (doc/PROTOCOL-HTTP2.md: one flag byte, four bytes of length, the message).

A reader is fed whatever DATA brings, in any pieces, and gives whole messages. It never holds more than the bound:
a length above ``max_message_bytes`` is refused when its prefix is read, not when its bytes have arrived.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from rapide.server.errors import InvalidRequest, TooLarge, UnsupportedMedia

PREFIX = struct.Struct(">BI")
PREFIX_BYTES = 5

ENCODINGS = (b"identity", b"deflate", b"gzip")
ACCEPT_ENCODING = b", ".join(ENCODINGS)
_GZIP_WINDOW, _ZLIB_WINDOW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
_WINDOW_BITS = {b"gzip": _GZIP_WINDOW, b"deflate": _ZLIB_WINDOW}


INLINE_BYTES = 64 << 10
"""What is decompressed where it is read. A kilobyte may unfold to a megabyte: more is done where nobody waits."""


class Packed(bytes):
    """A message still compressed, because it unfolds to more than INLINE_BYTES."""


class MessageReader:
    """Reassembles the messages of one call.

    ``encoding`` is the call's ``grpc-encoding``: what a set compression flag means.
    """

    __slots__ = ("_encoding", "_held", "_max_message_bytes", "_missing")

    def __init__(self, max_message_bytes: int, encoding: bytes = b"identity") -> None:
        self._max_message_bytes = max_message_bytes
        self._encoding = encoding
        self._held = bytearray()
        """Copied, not referred to: a view of one byte would keep the whole read alive that it came with."""
        self._missing = PREFIX_BYTES
        """How many bytes until the next decision: the rest of the prefix, or of prefix and message."""

    @property
    def waiting_bytes(self) -> int:
        """What is held of an unfinished message."""
        return len(self._held)

    def feed(self, buffer: bytes, start: int, end: int) -> list[bytes]:
        """The messages that ``buffer[start:end]`` completes, decompressed or Packed.

        Raises TooLarge, UnsupportedMedia (unknown encoding) and InvalidRequest (a flag or content that lies).
        """
        messages: list[bytes] = []
        if not self._held:
            start = self._take_whole(buffer, start, end, messages)
        view = memoryview(buffer)
        held = self._held
        while end - start >= self._missing:
            stop = start + self._missing
            held += view[start:stop]
            start = stop
            flag, length = PREFIX.unpack_from(held)
            if len(held) == PREFIX_BYTES:
                self._check(flag, length)
                self._missing = length
            if len(held) == PREFIX_BYTES + length:
                message = bytes(memoryview(held)[PREFIX_BYTES:])
                held = self._held = bytearray()
                self._missing = PREFIX_BYTES
                messages.append(_opened(message, self._encoding, self._max_message_bytes) if flag else message)
        held += view[start:end]
        self._missing -= end - start
        return messages

    def _take_whole(self, buffer: bytes, start: int, end: int, messages: list[bytes]) -> int:
        """Adds the messages that stand whole in ``buffer`` from ``start`` on: there may be thousands in one frame.
        Gives where the rest begins."""
        while end - start >= PREFIX_BYTES:
            flag, length = PREFIX.unpack_from(buffer, start)
            if flag or length > self._max_message_bytes:
                self._check(flag, length)
            stop = start + PREFIX_BYTES + length
            if stop > end:
                break
            message = buffer[start + PREFIX_BYTES : stop]
            messages.append(_opened(message, self._encoding, self._max_message_bytes) if flag else message)
            start = stop
        return start

    def finish(self) -> None:
        """The peer has sent all. Raises InvalidRequest when a message stayed incomplete."""
        if self._held:
            raise InvalidRequest(f"the call ended within a message: {self.waiting_bytes} bytes of it came")

    def _check(self, flag: int, length: int) -> None:
        if flag > 1:
            raise InvalidRequest(f"message flag {flag} is unknown; expected 0 (plain) or 1 (compressed)")
        if flag and self._encoding == b"identity":
            raise InvalidRequest("a compressed message came without grpc-encoding")
        if length > self._max_message_bytes:
            raise TooLarge(f"message of {length} bytes; at most {self._max_message_bytes} are taken")


def _opened(message: bytes, encoding: bytes, max_bytes: int) -> bytes:
    """``message`` without its compression where that is quickly done, else Packed."""
    if max_bytes <= INLINE_BYTES:
        return decompress(message, encoding, max_bytes)
    try:
        return decompress(message, encoding, INLINE_BYTES)
    except TooLarge:
        return Packed(message)


def decompress(message: bytes, encoding: bytes, max_bytes: int) -> bytes:
    """``message`` without its compression; never makes more than ``max_bytes`` (a bomb is refused half way)."""
    window_bits = _WINDOW_BITS.get(encoding)
    if window_bits is None:
        known = ", ".join(name.decode() for name in ENCODINGS)
        raise UnsupportedMedia(f"grpc-encoding {encoding[:32]!r} is not read here; expected one of {known}")
    engine = zlib.decompressobj(window_bits)
    try:
        plain = engine.decompress(message, max_bytes + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the message is not {encoding.decode()}: {error}") from error
    if len(plain) > max_bytes:
        raise TooLarge(f"the message decompresses to more than {max_bytes} bytes")
    if not engine.eof:
        raise InvalidRequest(f"the {encoding.decode()} message is truncated")
    return plain


def _compress(window_bits: int) -> Callable[[bytes], bytes]:
    def compress(message: bytes) -> bytes:
        engine = zlib.compressobj(level=1, wbits=window_bits)  # level 1: CPU is what this server saves
        return engine.compress(message) + engine.flush()

    return compress


_COMPRESSORS: dict[bytes, Callable[[bytes], bytes]] = {
    name: _compress(bits) for name, bits in _WINDOW_BITS.items()
}


def frame_message(message: bytes, encoding: bytes = b"identity") -> bytes:
    """``message`` with its prefix, compressed when ``encoding`` is gzip or deflate."""
    compress = _COMPRESSORS.get(encoding)
    if compress is None:
        return PREFIX.pack(0, len(message)) + message
    small = compress(message)
    return PREFIX.pack(1, len(small)) + small
