"""One memory-mapped file per worker slot, holding everything that the worker counts.

Theory. A worker appends *records* (a kind, a JSON key, a body) to its slot's file and writes bodies in place
through a shared mapping; other processes read the file. The file outlives its writer: a replaced worker finds the
records of its forerunner by their keys and goes on counting, so counters never go back. Space is allocated
before it is mapped (a full disk is an ``OSError`` here, never a SIGBUS later), in segments that never move, so
bodies need no remapping when the file grows.

Layout: a header page, then records aligned to 64 bytes; no record spans two segments. ``used_bytes`` in the header
moves after a record is complete. Put the folder on a memory file system: a disk would be written to for nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rapide.server.state_folder import SLOT_BYTES
from rapide.server.telemetry import process
from rapide.server.telemetry.version_block import BLOCK

HEADER_BYTES: Final = 4096
SEGMENT_BYTES: Final = SLOT_BYTES
"""The first of each worker is allocated before any worker starts."""
_ALIGN: Final = 64
_HEADER: Final = struct.Struct("<16sqQQqd16s")
"""Magic and layout, slot, used bytes, process id, its start in clock ticks, lives (how often the file was opened),
and the boot of the machine: instants in the file are on a clock that starts with it."""
_RECORD: Final = struct.Struct("<IIQ")
"""kind, bytes of the key, bytes of the body."""
_USED_OFFSET: Final = 24
_MAGIC: Final = b"rapide" + hashlib.sha256(f"1{BLOCK.descr}{SEGMENT_BYTES}".encode()).digest()[:10]
"""Files of another layout are started anew."""

COUNTER, GAUGE, VERSION = 1, 2, 3
_SKIP: Final = 0
"""Kind of the filler at the end of a segment."""

Key = tuple[str, ...]
"""What a record is about: metric name, label names and values; or model and version."""


class SlotInUse(OSError):
    """Another living process writes this slot."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record's body lies in its file."""

    kind: int
    key: Key
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SlotHeader:
    """Whose file it is. ``lives`` counts the processes that have had it, this one included; ``slot`` is negative
    for memory that a worker has beside its slot."""

    slot: int
    used_bytes: int
    pid: int
    started_ticks: int
    lives: int

    @property
    def alive(self) -> bool:
        """Whether the process that last opened the slot still runs (gauges of the dead mean nothing)."""
        return process.started_ticks(self.pid) == self.started_ticks


class SlotFile:
    """The writer's side. One per process. Records are made by one thread at a time."""

    def __init__(self, path: Path | None, slot: int) -> None:
        """``path`` None: memory of this process only, for tests and one-off use."""
        self.path = path
        self.slot = slot
        self._fd = -1
        self._segments: list[memoryview] = []
        self._used = HEADER_BYTES
        self._places: dict[tuple[int, Key], Place] = {}

    def open(self) -> None:
        """Takes the slot over. Raises SlotInUse, or OSError where the file cannot be made; then it is closed."""
        if self.path is None:
            self._fd = os.memfd_create("rapide-telemetry")
        else:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._fd)
                raise SlotInUse(f"slot {self.slot} is written by a living process") from None
        try:
            self._take_over()
        except OSError:
            self.close()
            raise

    def _take_over(self) -> None:
        header = read_header(self._fd)
        lives = 1
        if header is None:
            os.ftruncate(self._fd, 0)
        else:
            self._used, lives = header.used_bytes, header.lives + 1
            self._places = {(place.kind, place.key): place for place in places(self._fd, header)}
        for _ in range(max(1, -(-os.fstat(self._fd).st_size // SEGMENT_BYTES))):
            self._add_segment()
        pid = os.getpid()
        ticks, boot = process.started_ticks(pid), process.boot_id()
        _HEADER.pack_into(self._segments[0], 0, _MAGIC, self.slot, self._used, pid, ticks, float(lives), boot)

    def close(self) -> None:
        """Lets go of the slot. Mappings live on until their last user is gone."""
        if self._fd >= 0:
            if self.path is not None:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            os.close(self._fd)
            self._fd = -1
        self._segments.clear()

    @property
    def descriptor(self) -> int:
        return self._fd

    def body(self, kind: int, key: Key, size_bytes: int) -> memoryview:
        """The record's memory: the forerunner's, or zeros. Raises OSError if there is no room."""
        place = self._places.get((kind, key)) or self._append(kind, key, size_bytes)
        segment, offset = divmod(place.offset_bytes, SEGMENT_BYTES)
        return self._segments[segment][offset : offset + place.size_bytes]

    def places(self, kind: int) -> list[Place]:
        return [place for place in self._places.values() if place.kind == kind]

    def _append(self, kind: int, key: Key, size_bytes: int) -> Place:
        text = json.dumps(key, separators=(",", ":")).encode()
        head_bytes = _aligned(_RECORD.size + len(text))
        total = head_bytes + _aligned(size_bytes)
        if total > SEGMENT_BYTES - HEADER_BYTES:
            raise OSError(f"a record of {total} bytes does not fit a segment of {SEGMENT_BYTES}")
        last = (self._used + total - 1) // SEGMENT_BYTES
        if last == len(self._segments):
            self._add_segment()
        if last != self._used // SEGMENT_BYTES:
            self._skip_rest_of_segment()
        segment, offset = divmod(self._used, SEGMENT_BYTES)
        view = self._segments[segment]
        _RECORD.pack_into(view, offset, kind, len(text), size_bytes)
        view[offset + _RECORD.size : offset + _RECORD.size + len(text)] = text
        place = Place(kind, key, self._used + head_bytes, size_bytes)
        self._set_used(self._used + total)
        self._places[kind, key] = place
        return place

    def _skip_rest_of_segment(self) -> None:
        segment, offset = divmod(self._used, SEGMENT_BYTES)
        rest = SEGMENT_BYTES - offset
        _RECORD.pack_into(self._segments[segment], offset, _SKIP, 0, rest - _ALIGN)
        self._set_used(self._used + rest)

    def _set_used(self, used_bytes: int) -> None:
        self._used = used_bytes
        struct.pack_into("<Q", self._segments[0], _USED_OFFSET, used_bytes)

    def _add_segment(self) -> None:
        start = len(self._segments) * SEGMENT_BYTES
        os.posix_fallocate(self._fd, start, SEGMENT_BYTES)
        self._segments.append(memoryview(mmap.mmap(self._fd, SEGMENT_BYTES, offset=start)))


def read_header(descriptor: int) -> SlotHeader | None:
    """The header, or None for an empty file, one of another layout, or one from before the machine's last boot."""
    raw = os.pread(descriptor, _HEADER.size, 0)
    if len(raw) < _HEADER.size:
        return None
    magic, slot, used_bytes, pid, ticks, lives, boot = _HEADER.unpack(raw)
    if (magic, boot) != (_MAGIC, process.boot_id()):
        return None
    if not HEADER_BYTES <= used_bytes <= os.fstat(descriptor).st_size:
        return None
    return SlotHeader(slot, used_bytes, pid, ticks, int(lives))


def places(descriptor: int, header: SlotHeader) -> Iterator[Place]:
    """All complete records of a file."""
    offset = HEADER_BYTES
    while offset < header.used_bytes:
        kind, key_bytes, size_bytes = _RECORD.unpack(os.pread(descriptor, _RECORD.size, offset))
        head_bytes = _aligned(_RECORD.size + key_bytes)
        if kind != _SKIP:
            key = tuple(json.loads(os.pread(descriptor, key_bytes, offset + _RECORD.size)))
            yield Place(kind, key, offset + head_bytes, size_bytes)
        offset += head_bytes + _aligned(size_bytes)


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // _ALIGN) * _ALIGN
