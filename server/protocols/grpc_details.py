"""A failure in a form that programs read: ``google.rpc.Status``, the value of ``grpc-status-details-bin``.

Its details are a ``google.rpc.ErrorInfo`` (reason: the name that metrics and docs/reference/errors.md use, in
capitals, as AIP-193 wants it), and a ``google.rpc.RetryInfo`` where waiting helps. The few fields are written by
hand: the generated classes live in protobuf's default pool, which is not ours (proto/pool.py).
"""

from __future__ import annotations

from typing import Final

NAME: Final = "grpc-status-details-bin"
DOMAIN: Final = "rapide"
MAX_BYTES: Final = 4096
"""Peers take some 8 KiB of trailers by default, and the text stands in them once already."""
_TYPE: Final = "type.googleapis.com/google.rpc."


def details(code: int, text: str, reason: str, retry_after_s: int | None) -> bytes:
    """The serialised Status; empty where it would be too large for a peer."""
    infos = [_any("ErrorInfo", _text(1, reason.upper()) + _text(2, DOMAIN))]
    if retry_after_s is not None:
        infos.append(_any("RetryInfo", _octets(1, _number(1, retry_after_s))))
    status = _number(1, code) + _text(2, text) + b"".join(_octets(3, info) for info in infos)
    return status if len(status) <= MAX_BYTES else b""


def _any(name: str, message: bytes) -> bytes:
    """``google.protobuf.Any``."""
    return _text(1, _TYPE + name) + _octets(2, message)


def _number(field: int, value: int) -> bytes:
    return bytes((field << 3,)) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _octets(field, value.encode("utf-8", "replace"))


def _octets(field: int, value: bytes) -> bytes:
    return bytes((field << 3 | 2,)) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
