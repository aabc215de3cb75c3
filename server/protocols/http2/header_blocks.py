"""Header blocks (HPACK, RFC 7541): decoding with a cache, encoding without state.

The theory of the cache. A block's meaning depends on the decoder's dynamic table only where the block refers to
the table or changes it. We announce ``SETTINGS_HEADER_TABLE_SIZE = 0``: once the peer has obeyed, its table is
empty and stays empty, so equal bytes mean equal headers for ever, on every connection that has obeyed, and one
dictionary look-up replaces a decoding. Until then (the first requests of a connection may be sent before our
SETTINGS arrive, and a sloppy peer may never shrink its table) blocks go through the library's decoder, which
keeps the table as it must, and nothing is remembered.

What is remembered is not the header list but what the caller makes of it (``interpret``): validating and
understanding a request's head is then also paid once per distinct block.

Encoding never touches the peer's table (static names, literals without indexing), so that a block is a constant,
made once and sent on every stream of every connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

import hpack

from rapide.server.protocols.http2.faults import ConnectionFault
from rapide.server.protocols.http2.frames import ErrorCode

Headers = list[tuple[bytes, bytes]]
Head = TypeVar("Head")
_STATIC_STATUS = {200: b"\x88", 204: b"\x89", 304: b"\x8b", 400: b"\x8c", 404: b"\x8d", 500: b"\x8e"}
"""Indexed fields of ``:status`` (RFC 7541, appendix A)."""
_SIZE_UPDATE_MASK, _SIZE_UPDATE = 0xE0, 0x20
_MAX_SIZE_UPDATES = 2
"""Of one block: the smallest size since the last one, and the final one (RFC 7541, 4.2)."""


class HeaderDecoder(Generic[Head]):
    """One connection's decoder.

    ``known`` may be shared by connections: it holds only blocks that mean the same everywhere. ``max_list_bytes``
    bounds the decoded size (names, values and 32 bytes each: RFC 7541, 4.1) and with it what an HPACK bomb costs.
    """

    __slots__ = ("_decoder", "_interpret", "_known", "_table")

    MAX_KNOWN = 4096
    MAX_KNOWN_BLOCK_BYTES = 1024

    def __init__(
        self, known: dict[bytes, Head], interpret: Callable[[Headers], Head], max_list_bytes: int
    ) -> None:
        self._known = known
        self._interpret = interpret
        self._decoder = hpack.Decoder(max_header_list_size=max_list_bytes)
        self._table = self._decoder.header_table

    def head(self, block: bytes) -> Head:
        """What the request head in ``block`` means. Raises ConnectionFault, and whatever ``interpret`` raises."""
        if self._table.maxsize == 0:
            known = self._known.get(block)
            if known is not None:
                return known
        head = self._interpret(self.fields(block))
        if self._table.maxsize == 0 and len(block) <= self.MAX_KNOWN_BLOCK_BYTES:
            self._remember(block, head)
        return head

    def fields(self, block: bytes) -> Headers:
        """The header fields of ``block``, in order. Raises ConnectionFault: a lost table cannot be found again."""
        if block and block[0] & _SIZE_UPDATE_MASK == _SIZE_UPDATE:
            _check_size_updates(block)
        try:
            return [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except hpack.OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, str(error)) from error
        except (hpack.HPACKError, IndexError) as error:
            # Not its text, which may repeat the whole block, or tell where in memory it stands.
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"header block: {type(error).__name__}") from error

    def _remember(self, block: bytes, head: Head) -> None:
        # A block that opens with a table size update is not the same on a connection that has not shrunk yet.
        if not block or block[0] & _SIZE_UPDATE_MASK == _SIZE_UPDATE:
            return
        if len(self._known) >= self.MAX_KNOWN:
            self._known.clear()  # refilled by the next requests; an LRU would cost every request
        self._known[block] = head


def _check_size_updates(block: bytes) -> None:
    """Thousands of table size updates fit into a block, and each costs the decoder a microsecond."""
    place = count = 0
    while place < len(block) and block[place] & _SIZE_UPDATE_MASK == _SIZE_UPDATE:
        count += 1
        if count > _MAX_SIZE_UPDATES:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "header block: too many table size updates")
        has_more = block[place] & 0x1F == 0x1F  # an integer of several octets (5.1)
        place += 1
        while has_more and place < len(block):
            has_more = block[place] & 0x80 != 0
            place += 1


def encode_fields(fields: Iterable[tuple[bytes, bytes]], status: int | None = None) -> bytes:
    """A block of literals without indexing (RFC 7541, 6.2.2), plain octets; ``:status`` first when given."""
    parts = []
    if status is not None:
        parts.append(_STATIC_STATUS.get(status) or b"\x08\x03%d" % status)
    for name, value in fields:
        parts.append(b"\x00" + _string(name) + _string(value))
    return b"".join(parts)


def _string(octets: bytes) -> bytes:
    """A string literal without Huffman coding (RFC 7541, 5.2)."""
    length = len(octets)
    if length < 0x7F:
        return bytes((length,)) + octets
    out = bytearray((0x7F,))
    length -= 0x7F
    while length >= 0x80:
        out.append(0x80 | length & 0x7F)
        length >>= 7
    out.append(length)
    return bytes(out) + octets
