"""A transport that keeps what is written, for protocols that are driven by hand on a real event loop."""

from __future__ import annotations

import asyncio
from typing import Any


class Wire(asyncio.Transport):
    """One connection's transport. ``close`` and ``abort`` end the connection in the loop's next turn, as real ones
    do."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self._is_closing = False
        self.is_paused = False
        self.is_lost = False
        self.is_finished = False
        self.written = bytearray()
        protocol.connection_made(self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        assert not self._is_closing
        self.is_paused = True

    def resume_reading(self) -> None:
        assert not self._is_closing
        self.is_paused = False

    def write(self, data: Any) -> None:
        assert not self.is_over, "nothing is written after the end"
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The peer sees our end; it may still send."""
        self.is_finished = True

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be written."""
        return self._is_closing or self.is_finished

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self.lose)

    def abort(self) -> None:
        self.close()

    def lose(self) -> None:
        """The connection is gone, whoever ended it."""
        self._is_closing = True
        if not self.is_lost:
            self.is_lost = True
            self._protocol.connection_lost(None)


class Loop:
    """An event loop in which nothing may go wrong unheard."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _loop, context: self._failures.append(context))
        self._failures: list[dict[str, Any]] = []

    @property
    def asyncio(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def settle(self, turns: int = 12) -> None:
        """Lets all that can go on go on."""
        self._loop.run_until_complete(_turns(turns))
        assert not self._failures, self._failures

    def close(self) -> None:
        self._loop.close()


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
