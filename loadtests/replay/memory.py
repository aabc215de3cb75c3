"""The results of a process, in memory that it shares with the one that started it.

So nothing is sent at the end, progress costs the generator nothing, and what a killed process had measured is
still there.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any

import numpy as np

from rapide.loadtests.replay.generator import Record

COUNTERS = 5
"""Sent, ended, answered well, nanoseconds at rest, nanoseconds in all."""
_BYTES_PER_REQUEST = 8 + 8 + 2


def size_bytes(count: int) -> int:
    """Of the memory for ``count`` requests."""
    return COUNTERS * 8 + count * _BYTES_PER_REQUEST


@dataclass(frozen=True, slots=True)
class Arrays:
    """Views on the memory."""

    counters: np.ndarray[Any, np.dtype[np.int64]]
    latency_s: np.ndarray[Any, np.dtype[np.float64]]
    lateness_s: np.ndarray[Any, np.dtype[np.float64]]
    codes: np.ndarray[Any, np.dtype[np.int16]]


def arrays(memory: mmap.mmap, count: int) -> Arrays:
    """The whole of ``memory``, which is for ``count`` requests."""
    offset = COUNTERS * 8
    return Arrays(
        np.frombuffer(memory, np.int64, COUNTERS),
        np.frombuffer(memory, np.float64, count, offset),
        np.frombuffer(memory, np.float64, count, offset + 8 * count),
        np.frombuffer(memory, np.int16, count, offset + 16 * count),
    )


def record(memory: mmap.mmap, count: int) -> Record:
    """As ``arrays``, for the generator: memoryviews take one number in a fifth of the time that numpy needs."""
    views = arrays(memory, count)
    return Record(views.latency_s.data, views.lateness_s.data, views.codes.data, views.counters.data)
