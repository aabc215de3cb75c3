"""Reads slot files of any process: whole and exact figures, whatever their writers do meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rapide.server.telemetry.fold import fold
from rapide.server.telemetry.slots import COUNTER, GAUGE, VERSION, Key, Place, SlotHeader, places, read_header
from rapide.server.telemetry.version_block import ARRIVALS, BLOCK, HEAD, RECENT, ROWS_MASK, Block

_ATTEMPTS = 8
"""Reads of a block whose writer folds meanwhile: a fold comes once in a thousand requests, a read takes 0.1 ms."""


@dataclass(frozen=True, slots=True)
class VersionSnapshot:
    """One model version in one worker, everything folded up to one instant."""

    slot: int
    alive: bool
    model: str
    version: str
    digest: str
    labels: tuple[str, ...]
    """Names of the rows of ``totals["requests"]``."""
    reasons: tuple[str, ...]
    gauges: tuple[int, ...]
    """Zeros if the worker is dead."""
    totals: Block
    arrivals_s: Block
    """The last instants, monotonic, oldest first, shape [n]."""
    arrival_rows: Block
    """Rows of those requests, shape [n]."""
    tallies: Block
    """``version_block.TALLIES``."""


@dataclass(frozen=True, slots=True)
class ScalarSnapshot:
    """One counter or gauge in one worker."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: float


@dataclass(frozen=True, slots=True)
class SlotSnapshot:
    """All that one worker slot holds."""

    header: SlotHeader
    alive: bool
    versions: tuple[VersionSnapshot, ...]
    scalars: tuple[ScalarSnapshot, ...]


def read_directory(directory: Path, wall_offset_s: float, only: Key | None = None) -> list[SlotSnapshot]:
    """Every slot of a server, in the order of their names. Files that are not slots are passed over.

    ``wall_offset_s``: epoch seconds minus monotonic seconds, now. ``only``: read this model and version alone.
    """
    snapshots: list[SlotSnapshot] = []
    for path in sorted(directory.glob("worker-*")):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            snapshots.extend(read_slot(descriptor, wall_offset_s, only))
        finally:
            os.close(descriptor)
    return snapshots


def read_slot(descriptor: int, wall_offset_s: float, only: Key | None = None) -> Iterator[SlotSnapshot]:
    """The slot behind an open file, or nothing if it is not one (yet)."""
    header = read_header(descriptor)
    if header is None:
        return
    alive = header.alive
    versions, scalars = [], []
    for place in places(descriptor, header):
        if only is not None and place.key != only:
            continue
        if place.kind == VERSION:
            versions.append(_read_version(descriptor, place, header.slot, alive, wall_offset_s))
        elif place.kind in (COUNTER, GAUGE) and (alive or place.kind == COUNTER):
            value = float(np.frombuffer(os.pread(descriptor, 8, place.offset_bytes), dtype="<f8")[0])
            scalars.append(ScalarSnapshot(place.key[0], _label_pairs(place.key), value))
    yield SlotSnapshot(header, alive, tuple(versions), tuple(scalars))


def _label_pairs(key: Key) -> tuple[tuple[str, str], ...]:
    return tuple(zip(key[1::2], key[2::2], strict=True))


def _read_version(descriptor: int, place: Place, slot: int, alive: bool, wall_offset_s: float) -> VersionSnapshot:
    head, block, overwritten = _read_block(descriptor, place)
    cursors = tuple(int(cursor) for cursor in head["cursors"])
    bank = int(head["sequence"]) & 1
    totals = block["banks"][bank : bank + 1].reshape(())
    fold(totals, block, cursors, wall_offset_s)
    model, version = place.key
    order = np.arange(min(overwritten, cursors[ARRIVALS]), cursors[ARRIVALS]) % RECENT
    return VersionSnapshot(
        slot=slot,
        alive=alive,
        model=model,
        version=version,
        digest=head["digest"].item().decode(),
        labels=_names(head["labels"]),
        reasons=_names(head["reasons"]),
        gauges=tuple(int(gauge) if alive else 0 for gauge in head["gauges"]),
        totals=totals,
        arrivals_s=block["arrival_s"][order],
        arrival_rows=block["arrival_rows"][order] & ROWS_MASK,
        tallies=block["tallies"],
    )


def _read_block(descriptor: int, place: Place) -> tuple[Block, Block, int]:
    """Head and block that belong together, and how many arrivals may have been overwritten since they came, the
    one that is being written included.

    The head, with its cursors, is read first, so all that the cursors cover is in the block read after it; an
    unchanged ``sequence`` afterwards says that nothing was folded.
    """
    for _ in range(_ATTEMPTS):
        head = _at(descriptor, place, HEAD)
        block = _at(descriptor, place, BLOCK)
        later = _at(descriptor, place, HEAD)
        if later["sequence"] == head["sequence"]:
            break
    return head, block, max(0, int(later["cursors"][ARRIVALS]) + 1 - RECENT)


def _at(descriptor: int, place: Place, dtype: np.dtype[np.void]) -> Block:
    raw = bytearray(os.pread(descriptor, dtype.itemsize, place.offset_bytes))
    found: Block = np.frombuffer(raw, dtype=dtype, count=1).reshape(())
    return found


def _names(table: Block) -> tuple[str, ...]:
    return tuple(name.decode() for name in table)
