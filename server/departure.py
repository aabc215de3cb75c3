"""When a worker leaves: a grace in which it still takes requests, then a time to finish those under way.

Said more than once (by the supervisor, by signals), the earliest instant counts: it can be hurried, not put off.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable


class Departure:
    """Instants of leaving, and waiting for them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._close_s = math.inf
        self._gone_s = math.inf
        self._changed = asyncio.Event()

    @property
    def is_wanted(self) -> bool:
        return self._close_s < math.inf

    @property
    def drain_s(self) -> float:
        """Seconds left for what is under way."""
        return max(0.0, self._gone_s - max(self._clock(), self._close_s))

    @property
    def sooner(self) -> asyncio.Event:
        """Will be set when an earlier instant is said than those known now."""
        return self._changed

    def no_later_than(self, grace_s: float, drain_s: float) -> None:
        """Closes in ``grace_s`` and is gone ``drain_s`` later, or earlier if that was said before."""
        close_s = self._clock() + grace_s
        if close_s < self._close_s or close_s + drain_s < self._gone_s:
            self._close_s = min(self._close_s, close_s)
            self._gone_s = min(self._gone_s, close_s + drain_s)
            self._changed.set()
            self._changed = asyncio.Event()

    async def wanted(self) -> None:
        """Returns once leaving is wanted at all."""
        if not self.is_wanted:
            await self.sooner.wait()

    async def closing(self) -> None:
        """Returns when the grace is over."""
        while (left_s := self._close_s - self._clock()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self.sooner.wait()
