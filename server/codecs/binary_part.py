"""The binary tensor extension of JSON bodies: where the JSON ends, and the tensors that follow it."""

from __future__ import annotations

from rapide.server.codecs.describe import shown
from rapide.server.errors import InvalidRequest

HEADER_LENGTH = "inference-header-content-length"
"""The HTTP header that holds the length of the JSON part; in answers too, when they have a binary part."""


def parse_header_length(text: str | None) -> int | None:
    """The value of HEADER_LENGTH. Raises InvalidRequest unless it is absent or plain digits."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest(f"Inference-Header-Content-Length must be a number of bytes, got {shown(text)}")
    return int(text)


class BinaryPart:
    """Hands out the bytes after the JSON, piece by piece, as views."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def take(self, size: int, what: str) -> memoryview:
        """The next ``size`` bytes. Raises InvalidRequest, naming ``what`` they were for, when fewer are left."""
        left = len(self._data) - self._position
        if size > left:
            raise InvalidRequest(
                f"{what} has binary_data_size {size}, but {left} bytes are left after the JSON part and the "
                "inputs before it; check Inference-Header-Content-Length"
            )
        start, self._position = self._position, self._position + size
        return self._data[start : self._position]

    def check_used_up(self) -> None:
        """Raises InvalidRequest when bytes are left over."""
        if left := len(self._data) - self._position:
            raise InvalidRequest(
                f"{left} bytes are left over after the JSON part and all binary inputs; "
                "check Inference-Header-Content-Length and each binary_data_size"
            )


def split_body(body: bytes | memoryview, header_length: int | None) -> tuple[bytes | memoryview, BinaryPart]:
    """The JSON part and the binary part. Raises InvalidRequest when the body is shorter than its JSON part."""
    whole = memoryview(body)
    if header_length is None:
        return body, BinaryPart(whole[:0])
    if not 0 < header_length <= len(whole):
        raise InvalidRequest(
            f"Inference-Header-Content-Length is {header_length}, but the body has {len(whole)} bytes; "
            "it must be the length of the JSON part"
        )
    return whole[:header_length], BinaryPart(whole[header_length:])
