"""Work that must never hold up the event loop: a bounded backlog and one thread that takes it.

What does not fit is dropped and counted: telemetry may lose a line, a request must not lose time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_MOST_AT_ONCE: Final = 512
"""Items given to the consumer together: one write or one export for all of them."""


class Backlog(Generic[T]):
    """Items offered by any thread, consumed in order by one of its own.

    ``consume`` gets lists of items and must not raise. At exit the thread is not waited for: ``close`` is.
    """

    def __init__(
        self, name: str, consume: Callable[[list[T]], None], on_drop: Callable[[], None], limit: int = 8192
    ) -> None:
        """``limit``: items waiting at most; ``on_drop`` is called for each one above it."""
        self._name = name
        self._consume = consume
        self._on_drop = on_drop
        self._limit = limit
        self._items: deque[T] = deque()
        self._wake = threading.Event()
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
        self._thread.start()

    def offer(self, item: T) -> None:
        """Queues an item, or drops it if there is no room. Never blocks."""
        if len(self._items) >= self._limit:
            self._on_drop()
            return
        self._items.append(item)
        if not self._wake.is_set():
            self._wake.set()

    def close(self, timeout_s: float) -> bool:
        """Lets the thread finish what waits; False if it could not in time (its consumer is stuck)."""
        self._is_closing = True
        self._wake.set()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._items:
                self._consume([self._items.popleft() for _ in range(min(len(self._items), _MOST_AT_ONCE))])
            if self._is_closing:
                return
