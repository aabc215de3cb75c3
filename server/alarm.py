"""Rings once, after a time that is given to the microsecond.

Theory. An event loop's own timers are coarse: libuv, under uvloop, counts whole milliseconds and rounds, so that a
batch that is to wait for 0.2 ms does not wait, or waits for the processor; and one that is to wait for 1 ms waits
for up to 2. Linux has timers that are files (timerfd_create(2)), which wake a loop as a socket does, as late as
anybody is woken: some 50 µs. Where there is none, or a loop that cannot watch files, the loop's timer it is."""

from __future__ import annotations

import asyncio
import ctypes
import os
from collections.abc import Callable
from typing import Final

_CLOCK_MONOTONIC: Final = 1
_CLOSE_ON_EXEC: Final = os.O_CLOEXEC
_NON_BLOCKING: Final = os.O_NONBLOCK
_FARTHEST_S: Final = 1e9
"""Some thirty years. What is due later rings then."""
_COUNT_BYTES: Final = 8
"""Of the number of expirations, which is all that such a file holds."""
_LIBC: Final = ctypes.PyDLL(None)
"""Its calls keep the interpreter's lock: these do not block, and waiting for it would take longer."""


class _TimeSpec(ctypes.Structure):
    """``struct itimerspec``: a time after which it repeats, which is zero here, and the time until it rings."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Alarm:
    """Of one owner, on one event loop, on its thread. It has no file before it is first set."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._file: int | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._spec = _TimeSpec()
        self._is_open = False

    def set(self, delay_s: float) -> None:
        """Rings ``delay_s`` seconds from now, at once where that is not positive; an earlier setting is gone."""
        if not self._is_open:
            self._open()
        if self._file is None:
            self.cancel()
            self._handle = self._loop.call_later(max(0.0, delay_s), self._ring)
        else:
            self._set_file(max(1, int(min(delay_s, _FARTHEST_S) * 1e9)))  # zero would mean never

    def cancel(self) -> None:
        """It does not ring, until it is set again."""
        if self._file is not None:
            self._set_file(0)
        elif self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def close(self) -> None:
        """Cancels, and gives the file back; it has one again when it is set again."""
        self.cancel()
        if self._file is not None:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = None
        self._is_open = False

    def _open(self) -> None:
        self._is_open = True
        create = getattr(_LIBC, "timerfd_create", None)
        file: int = -1 if create is None else create(_CLOCK_MONOTONIC, _CLOSE_ON_EXEC | _NON_BLOCKING)
        if file < 0:  # no Linux, or no files left
            return
        try:
            self._loop.add_reader(file, self._expired)
        except NotImplementedError:
            os.close(file)
        else:
            self._file = file

    def _set_file(self, delay_ns: int) -> None:
        self._spec.value_s, self._spec.value_ns = divmod(delay_ns, 1_000_000_000)
        _LIBC.timerfd_settime(self._file, 0, ctypes.byref(self._spec), None)

    def _expired(self) -> None:
        if self._file is None:
            return
        try:
            os.read(self._file, _COUNT_BYTES)
        except BlockingIOError:  # set anew or cancelled since the loop saw it ring
            return
        self._ring()
