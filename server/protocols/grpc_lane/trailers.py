"""How a call ends: trailers with a status (doc/PROTOCOL-HTTP2.md, "Responses")."""

from __future__ import annotations

from functools import lru_cache

from rapide.server.protocols.http2.header_blocks import encode_fields

CONTENT_TYPE = (b"content-type", b"application/grpc")
_PLAIN = frozenset(range(0x20, 0x7F)) - {ord("%")}

OK = encode_fields([(b"grpc-status", b"0")])
"""The trailers of every call that went well."""


def percent_encode(text: str) -> bytes:
    """``grpc-message``: UTF-8 with every octet outside printable ASCII, and ``%``, as ``%XX``."""
    octets = text.encode("utf-8", "replace")
    if _PLAIN.issuperset(octets):
        return octets
    return b"".join(bytes((octet,)) if octet in _PLAIN else b"%%%02X" % octet for octet in octets)


@lru_cache(maxsize=256)
def _status_fields(code: int, message: str) -> tuple[tuple[bytes, bytes], ...]:
    fields = [(b"grpc-status", b"%d" % code)]
    if message:
        fields.append((b"grpc-message", percent_encode(message)))
    return tuple(fields)


def trailers(code: int, message: str = "") -> bytes:
    """The block that ends a call whose HEADERS were sent already."""
    return OK if code == 0 else encode_fields(_status_fields(code, message))


def trailers_only(code: int, message: str, metadata: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
    """The one block of a call that ends without any message."""
    return encode_fields((CONTENT_TYPE, *metadata, *_status_fields(code, message)), status=200)
