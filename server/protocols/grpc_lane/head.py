"""The head of a call: what a gRPC request's header fields mean (doc/PROTOCOL-HTTP2.md, "Requests").

Made once per distinct header block (http2/header_blocks.py), so everything that can be worked out from the fields
alone is worked out here: which method, how long, which encoding, what the caller says about itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rapide.server.protocols.http2.faults import StreamFault
from rapide.server.protocols.http2.fields import check_field
from rapide.server.protocols.http2.frames import ErrorCode
from rapide.server.protocols.http2.header_blocks import Headers
from rapide.server.protocols.http2.limits import Http2Limits

_TIMEOUT_UNITS_S = {
    ord("H"): 3600.0,
    ord("M"): 60.0,
    ord("S"): 1.0,
    ord("m"): 1e-3,
    ord("u"): 1e-6,
    ord("n"): 1e-9,
}
_MAX_TIMEOUT_DIGITS = 8
_MAX_LENGTH_DIGITS = 18
MAX_HEAD_BYTES = Http2Limits().max_header_list_bytes
_FIELD_OVERHEAD_BYTES = 32
"""What each field counts beside its octets (RFC 7541, section 4.1)."""
_PSEUDO_FIELDS = frozenset({b":method", b":scheme", b":path", b":authority"})


@dataclass(frozen=True, slots=True)
class CallHead:
    """One call's head.

    ``refusal`` is set where the call can only be answered with an HTTP status (not gRPC at all).
    """

    path: str
    timeout_s: float | None
    """None: the caller set no deadline."""
    bad_timeout: str
    """The text of a ``grpc-timeout`` that cannot be read; empty where all is well."""
    encoding: bytes
    accepts: frozenset[bytes]
    metadata: Mapping[str, str]
    """The regular fields; a repeated name keeps its values joined by commas, as HTTP joins them."""
    refusal: int
    """An HTTP status, or 0."""
    oversize_bytes: int
    """The size of a head that exceeds MAX_HEAD_BYTES, or 0."""
    content_bytes: int | None
    """``content-length``: what all DATA together must be. gRPC clients send none; curl and proxies do."""


def interpret_head(fields: Headers) -> CallHead:
    """What ``fields`` mean. Raises StreamFault(PROTOCOL_ERROR) for what HTTP/2 calls malformed (8.1.1)."""
    pseudo, regular = split_fields(fields)
    get = regular.get
    size_bytes = sum(len(name) + len(value) + _FIELD_OVERHEAD_BYTES for name, value in fields)
    timeout_s, bad_timeout = parse_timeout(get(b"grpc-timeout"))
    return CallHead(
        path=pseudo[b":path"].decode("ascii", "replace"),
        timeout_s=timeout_s,
        bad_timeout=bad_timeout,
        encoding=get(b"grpc-encoding", b"identity"),
        accepts=frozenset(name.strip() for name in get(b"grpc-accept-encoding", b"identity").split(b",")),
        metadata={name.decode("latin-1"): value.decode("latin-1") for name, value in regular.items()},
        refusal=_refusal(pseudo[b":method"], get(b"content-type", b"")),
        oversize_bytes=size_bytes if size_bytes > MAX_HEAD_BYTES else 0,
        content_bytes=_content_bytes(get(b"content-length")),
    )


def split_fields(fields: Headers) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """Pseudo fields and regular fields of a request. Raises StreamFault for a malformed list."""
    pseudo: dict[bytes, bytes] = {}
    regular: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] == b":":
            if regular or name in pseudo or name not in _PSEUDO_FIELDS:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"pseudo field {name[:32]!r} in a wrong place")
            pseudo[name] = value
            continue
        check_field(name, value)
        regular[name] = regular[name] + b"," + value if name in regular else value
    if not pseudo.get(b":path") or b":method" not in pseudo or b":scheme" not in pseudo:
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a request needs :method, :scheme and :path")
    return pseudo, regular


def _content_bytes(text: bytes | None) -> int | None:
    if text is not None and not (text.isdigit() and len(text) <= _MAX_LENGTH_DIGITS):
        raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"content-length {text[:32]!r}")
    return None if text is None else int(text)


def parse_timeout(text: bytes | None) -> tuple[float | None, str]:
    """Seconds of a ``grpc-timeout`` (up to eight digits and a unit), and the text itself where it is malformed."""
    if text is None:
        return None, ""
    unit_s = _TIMEOUT_UNITS_S.get(text[-1]) if text else None
    digits = text[:-1]
    if unit_s is None or not digits.isdigit() or len(digits) > _MAX_TIMEOUT_DIGITS:
        return None, text[:32].decode("ascii", "replace") or "(empty)"
    return int(digits) * unit_s, ""


def _refusal(method: bytes, content_type: bytes) -> int:
    if method != b"POST":
        return 405
    if content_type != b"application/grpc" and not content_type.startswith(
        (b"application/grpc+", b"application/grpc;")
    ):
        return 415
    return 0
