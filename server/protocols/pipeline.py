"""Works on items of a stream side by side and gives the results in the items' order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_order(
    items: AsyncIterator[Item],
    work: Callable[[Item], Coroutine[Any, Any, Result]],
    most: int,
    until: asyncio.Event,
) -> AsyncGenerator[Result, None]:
    """The results of ``work`` in the order of ``items``; at most ``most`` are worked on or wait to be taken.

    No item is read while there is no room: a slow taker slows the sender. None is read any more once ``until`` is
    set: what was read is finished. An exception of ``items`` or ``work`` ends it at once; then, and when it is
    closed, what is under way is cancelled and awaited.
    """
    pending: deque[asyncio.Task[Result]] = deque()
    room = asyncio.Semaphore(most)
    changed = asyncio.Event()

    async def read() -> None:
        source = aiter(items)
        while True:
            await room.acquire()
            try:
                item = await anext(source)
            except StopAsyncIteration:
                return
            pending.append(asyncio.create_task(work(item)))
            changed.set()

    reader = asyncio.create_task(read())
    reader.add_done_callback(lambda _: changed.set())
    ending = asyncio.create_task(until.wait())
    ending.add_done_callback(lambda _: reader.cancel())
    try:
        while True:
            while pending:
                result = await pending[0]
                pending.popleft()
                room.release()
                yield result
            if reader.done():
                if not reader.cancelled():
                    reader.result()
                return
            changed.clear()
            await changed.wait()
    finally:
        await _cancel(ending, reader, *pending)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
