"""Whether a file can be a whole ONNX model, judged from its outline without reading its content.

A model is one protobuf message (onnx.proto, ModelProto) whose graph is a single length-prefixed field that holds
nearly all of the bytes. Hopping from field to field therefore costs a handful of tiny reads however large the
model is, and ends exactly at the end of the file, unless the file was cut short: so looks a copy in progress.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from rapide.server.repository.shells import shell_of

_GRAPH_FIELD = 7
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT_BYTES = 10
_MAX_FIELDS = 100_000
"""Top-level fields: operator sets, metadata, functions. Real models have tens."""


def outline_fault(path: Path) -> str | None:
    """Why the file at ``path`` cannot be a whole model; None where nothing speaks against it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return _fault(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _fault(descriptor: int, size_bytes: int) -> str | None:
    if not size_bytes:
        return "the file is empty"
    shell = shell_of(os.pread(descriptor, 16, 0))
    if shell:
        return f"the file is {shell}, no ONNX model"
    position = fields = 0
    has_graph = False
    while position < size_bytes:
        head = os.pread(descriptor, 2 * _LONGEST_VARINT_BYTES, position)
        tag, length = _varint(head, 0)
        wire_type, number = tag & 7, tag >> 3
        fields += 1
        if not length or not number or wire_type not in _SKIPS or fields > _MAX_FIELDS:
            return "the file is no ONNX model"
        position += length + _SKIPS[wire_type](head, length)
        has_graph = has_graph or (number == _GRAPH_FIELD and wire_type == _BYTES)
    if position > size_bytes:
        return "the file ends in the middle of the model"
    return None if has_graph else "the file has no graph"


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """The value at ``start`` and its length in bytes; (0, 0) where none ends within the data."""
    value = 0
    for index, byte in enumerate(data[start : start + _LONGEST_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, index + 1
    return 0, 0


def _skip_bytes(head: bytes, start: int) -> int:
    value, length = _varint(head, start)
    return value + length if length else _LONGEST_VARINT_BYTES  # cut off: beyond the end


def _skip_varint(head: bytes, start: int) -> int:
    return _varint(head, start)[1] or _LONGEST_VARINT_BYTES


_SKIPS: Mapping[int, Callable[[bytes, int], int]] = {
    _VARINT: _skip_varint,
    _FIXED64: lambda _head, _start: 8,
    _BYTES: _skip_bytes,
    _FIXED32: lambda _head, _start: 4,
}
"""How many bytes follow a tag of each wire type, given what follows it."""
