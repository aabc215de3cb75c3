"""HTTP/2 on the wire, as much as a client of unary gRPC calls needs (RFC 9113 and 7541). Pure."""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 0x1, 0x3, 0x4
DEFAULT_WINDOW_BYTES = 65_535
WIDE_WINDOW_BYTES = 2**31 - 1
"""Answers are read at once, so there is nothing to hold back."""
FRAME_BYTES = 16_384
"""The largest payload that every peer takes (§4.2)."""
CANCEL = 0x8


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame (RFC 9113 §4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def request_headers(path: str, authority: str) -> bytes:
    """The header block of a unary call, independent of any connection's state (RFC 7541 §6.1 and §6.2.2)."""

    def text(value: str) -> bytes:
        encoded = value.encode()
        if len(encoded) > 126:
            raise ValueError(f"{value[:40]!r}… is too long for this generator's one-byte lengths")
        return bytes((len(encoded),)) + encoded

    block = bytes((0x80 | 3, 0x80 | 6))  # :method POST and :scheme http, from the static table
    block += bytes((4,)) + text(path) + bytes((1,)) + text(authority)  # :path and :authority
    for name, value in (("content-type", "application/grpc"), ("te", "trailers")):
        block += b"\x00" + text(name) + text(value)
    return block


def message_frame(message: bytes) -> bytes:
    """A gRPC message, uncompressed, with its five bytes in front."""
    return struct.pack(">BI", 0, len(message)) + message
