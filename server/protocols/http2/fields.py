"""What HTTP/2 asks of a field, wherever it stands (RFC 9113, 8.2)."""

from __future__ import annotations

from rapide.server.protocols.http2.faults import StreamFault
from rapide.server.protocols.http2.frames import ErrorCode
from rapide.server.protocols.http2.header_blocks import Headers

_CONNECTION_FIELDS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
"""Meaningless on HTTP/2, and a way to smuggle requests through proxies (8.2.2)."""
_NAME_OCTETS = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


def check_field(name: bytes, value: bytes) -> None:
    """Raises StreamFault for a regular field that makes a message malformed."""
    if not name or not _NAME_OCTETS.issuperset(name) or name in _CONNECTION_FIELDS:
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"field name {name[:32]!r}")
    if name == b"te" and value != b"trailers":
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "te is something else than trailers")
    if b"\0" in value or b"\n" in value or b"\r" in value:
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"control characters in field {name[:32]!r}")


def check_trailers(fields: Headers) -> None:
    """Raises StreamFault for malformed trailers; pseudo fields have no place in them (8.1)."""
    for name, value in fields:
        check_field(name, value)
