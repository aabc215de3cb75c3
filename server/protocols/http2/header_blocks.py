"""Header blocks (HPACK, RFC 7541): decoding with a cache, encoding without state.

The theory of the cache. A block's meaning depends on the decoder's dynamic table only where the block refers to
the table or changes it. We announce ``SETTINGS_HEADER_TABLE_SIZE = 0``: once the peer has obeyed, its table is
empty and stays empty, so equal bytes mean equal headers for ever, on every connection that has obeyed, and one
dictionary look-up replaces a decoding. Until then (the first requests of a connection may be sent before our
SETTINGS arrive, and a simple peer, which uses no table at all, may not say that it has shrunk it, though RFC 7541,
4.2, asks it to) only blocks that leave the table alone are remembered; the others go through the library's
decoder, which keeps the table as it must.

What is remembered is not the header list but what the caller makes of it (``interpret``): validating and
understanding a request's head is then also paid once per distinct block.

Encoding never touches the peer's table (static names, literals without indexing), so that a block is a constant,
made once and sent on every stream of every connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

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
_INDEXED, _INCREMENTAL = 0x80, 0x40
"""The bits that tell representations apart (RFC 7541, 6.1 and 6.2.1)."""
_LAST_STATIC = 61
"""Index of the static table's last entry (RFC 7541, appendix A)."""


class KnownBlocks(Generic[Head]):
    """What header blocks mean, as far as it is remembered. Bounded by the blocks' bytes, since what a block is
    turned into may be fifty times its size."""

    __slots__ = ("_size_bytes", "heads")

    MAX_BYTES: Final = 256 * 1024
    """Beyond it all are forgotten, and learnt again: an LRU would cost every request."""
    MAX_BLOCK_BYTES: Final = 1024

    def __init__(self) -> None:
        self.heads: dict[bytes, Head] = {}
        self._size_bytes = 0

    def remember(self, block: bytes, head: Head) -> None:
        """From now on, or not at all if ``block`` is long."""
        size_bytes = len(block)
        if size_bytes > self.MAX_BLOCK_BYTES:
            return
        if self._size_bytes + size_bytes > self.MAX_BYTES:
            self.heads.clear()
            self._size_bytes = 0
        self.heads[block] = head
        self._size_bytes += size_bytes


class KnownHeads(Generic[Head]):
    """What all connections with the same ``interpret`` know."""

    __slots__ = ("anywhere", "without_table")

    def __init__(self) -> None:
        self.anywhere: KnownBlocks[Head] = KnownBlocks()
        """Blocks that leave the table alone, looked up where the peer has not shrunk it."""
        self.without_table: KnownBlocks[Head] = KnownBlocks()
        """Any blocks, looked up where it has."""


class HeaderDecoder(Generic[Head]):
    """One connection's decoder.

    ``known`` may be shared by connections. ``max_list_bytes`` bounds the decoded size (names, values and 32 bytes
    each: RFC 7541, 4.1) and with it what an HPACK bomb costs.
    """

    __slots__ = ("_decoder", "_interpret", "_known", "_table")

    def __init__(self, known: KnownHeads[Head], interpret: Callable[[Headers], Head], max_list_bytes: int) -> None:
        self._known = known
        self._interpret = interpret
        self._decoder = hpack.Decoder(max_header_list_size=max_list_bytes)
        self._table = self._decoder.header_table

    def head(self, block: bytes) -> Head:
        """What the request head in ``block`` means. Raises ConnectionFault, and whatever ``interpret`` raises."""
        known = self._known.without_table if self._table.maxsize == 0 else self._known.anywhere
        head = known.heads.get(block)
        if head is None:
            head = self._interpret(self.fields(block))
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
        if self._table.maxsize:
            if len(block) <= KnownBlocks.MAX_BLOCK_BYTES and leaves_table_alone(block):
                self._known.anywhere.remember(block, head)
        elif block and block[0] & _SIZE_UPDATE_MASK != _SIZE_UPDATE:
            # One that opens with a table size update is not the same on a connection that has not shrunk yet.
            self._known.without_table.remember(block, head)


def leaves_table_alone(block: bytes) -> bool:
    """Whether ``block``, which has been decoded, neither refers to a dynamic table nor changes it: it has only
    indexed fields of the static table, and literals that are not indexed (RFC 7541, 6.1, 6.2.2 and 6.2.3)."""
    place = 0
    while place < len(block):
        first = block[place]
        if first & _INDEXED:
            index, place = _integer(block, place, 0x7F)
            if index > _LAST_STATIC:
                return False
            continue
        if first & (_INCREMENTAL | _SIZE_UPDATE):
            return False
        index, place = _integer(block, place, 0x0F)
        if index > _LAST_STATIC:
            return False
        for _ in range(1 if index else 2):  # the value, and the name where it is none of the table's
            length, place = _integer(block, place, 0x7F)
            place += length
    return True


def _integer(block: bytes, place: int, prefix: int) -> tuple[int, int]:
    """An integer whose first octet has it under the mask ``prefix``, and where it ends (RFC 7541, 5.1)."""
    value = block[place] & prefix
    place += 1
    if value < prefix:
        return value, place
    shift = 0
    while True:
        octet = block[place]
        place += 1
        value += (octet & 0x7F) << shift
        shift += 7
        if not octet & 0x80:
            return value, place


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
