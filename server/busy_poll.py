"""Keeps an event loop awake for a while after it has answered, so that the next request finds it running.

Theory. A worker that sleeps is woken by the kernel, which takes some 50 µs on a good day; on a virtual machine the
host has to give its core back first, mostly at once and sometimes after a millisecond; and then everything it
knows has left the caches. A loop that looks at its sockets again and again has none of that: a lone request takes
half the time. Its price is a core that is never idle while requests come. Seastar does the same under the name
``--idle-poll-time-us``, Linux for one socket under ``SO_BUSY_POLL``.

While a callback waits to be called soon, the loop polls its sockets without blocking: that is all of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class BusyPoll:
    """Of one event loop, on its thread; all engines of a worker share it."""

    __slots__ = ("_clock", "_is_polling", "_loop", "_span_s", "_threads", "_until_s")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, span_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._loop = loop
        self._span_s = span_s
        self._clock = clock
        self._until_s = 0.0
        self._is_polling = False
        self._threads = 0

    def answered(self, now_s: float) -> None:
        """From now on the loop stays awake for ``span_s`` seconds, unless a model runs on a thread."""
        if self._threads:
            return
        self._until_s = now_s + self._span_s
        if not self._is_polling:
            self._is_polling = True
            self._loop.call_soon(self._look)

    def thread_begins(self) -> None:
        """The loop gives way to it: the two would take the interpreter from each other, and a single core, too."""
        self._threads += 1
        self._until_s = 0.0

    def thread_ends(self) -> None:
        """Of each that began."""
        self._threads -= 1

    def _look(self) -> None:
        if self._clock() < self._until_s:
            self._loop.call_soon(self._look)
        else:
            self._is_polling = False
