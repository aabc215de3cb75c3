"""Where an ONNX file says that its weights lie, and the check that they lie inside the version's folder.

A model can name any path as the place of a tensor's data. Whoever opens it would read that file, so each place is
checked before the runtime sees the model (CVE-2022-25882 and CVE-2024-27318 were this hole in onnx).

The file is protobuf (onnx.proto). Only the messages that can lead to a TensorProto are walked; a model that does
not contain the word ``location`` has no external data and costs one search.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rapide.server.errors import BrokenVersion
from rapide.server.repository.layout import is_safe_relative

_MARK = b"location"
_DEPTH = 100
"""Nesting that protobuf's own parsers accept at most."""
_TENSOR = "TensorProto"
_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: _TENSOR, 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: _TENSOR,
        6: "GraphProto",
        10: _TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {13: "StringStringEntryProto"},
    "StringStringEntryProto": {},
}
"""Message → field number → message: every way to external data."""


@dataclass(frozen=True, slots=True)
class ExternalData:
    """The place of one tensor's data: a file, and the bytes of it (``length`` 0: the tensor's size)."""

    location: str
    offset: int = 0
    length: int = 0


def external_data(model: bytes) -> list[ExternalData]:
    """The places that ``model`` (a serialised ModelProto) names. Raises BrokenVersion for what is no protobuf."""
    if _MARK not in model:
        return []
    return [_place(entries) for entries in _tensors(memoryview(model), "ModelProto", _DEPTH) if entries]


def check_external_data(places: Collection[ExternalData], folder: Path, published: Collection[str] | None) -> None:
    """Raises BrokenVersion unless each place is a regular file in ``folder``, no link on its way, long enough.

    ``published``: the files that the manifest vouches for; None where there is no manifest.
    """
    for place in places:
        name = place.location
        if not is_safe_relative(name):
            raise BrokenVersion(
                f"its weights are to be read from {name[:256]!r}, which may lead out of its folder"
            )
        if published is not None and name not in published:
            raise BrokenVersion(f"its weights are to be read from {name!r}, which its manifest does not list")
        size_bytes = _regular_size_bytes(folder, name)
        if place.offset < 0 or place.length < 0 or place.offset + place.length > size_bytes:
            raise BrokenVersion(
                f"its weights are to be read from {name!r} up to byte {place.offset + place.length}, "
                f"but the file has {size_bytes}"
            )


def _regular_size_bytes(folder: Path, name: str) -> int:
    path = folder
    status = None
    for part in name.split("/"):
        path /= part
        try:
            status = os.lstat(path)
        except OSError as error:
            raise BrokenVersion(f"its weights are to be read from {name!r}: {error.strerror}") from error
        if stat.S_ISLNK(status.st_mode):
            raise BrokenVersion(f"its weights are to be read from {name!r}, which is a link")
    if status is None or not stat.S_ISREG(status.st_mode):
        raise BrokenVersion(f"its weights are to be read from {name!r}, which is no regular file")
    return status.st_size


def _place(entries: dict[str, str]) -> ExternalData:
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", "0"))
    except ValueError:
        raise BrokenVersion("the place of a tensor's data is not a number") from None
    return ExternalData(entries.get("location", ""), offset, length)


def _tensors(message: memoryview, kind: str, depth: int) -> Iterator[dict[str, str]]:
    """The external-data entries of every tensor in ``message``."""
    if not depth:
        raise BrokenVersion(f"its graph is nested more than {_DEPTH} levels deep")
    children = _CHILDREN[kind]
    entries: dict[str, str] = {}
    for number, content in _fields(message):
        child = children.get(number)
        if child is None:
            continue
        if kind == _TENSOR:
            texts = {field: bytes(value).decode("utf-8", "replace") for field, value in _fields(content)}
            entries[texts.get(1, "")] = texts.get(2, "")
        else:
            yield from _tensors(content, child, depth - 1)
    yield entries


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The length-delimited fields: number and content. Raises BrokenVersion for what is no protobuf."""
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 2:
            length, position = _varint(message, position)
            yield tag >> 3, message[position : position + length]
            position += length
        elif kind == 0:
            _, position = _varint(message, position)
        elif kind in _FIXED_BYTES:
            position += _FIXED_BYTES[kind]
        else:
            raise _malformed()
    if position > end:
        raise _malformed()


_FIXED_BYTES = {1: 8, 5: 4}
"""Bytes after the tag, by wire type."""


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    for byte in message[position : position + 10]:
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise _malformed()


def _malformed() -> BrokenVersion:
    return BrokenVersion("the file is no ONNX model, or damaged")
