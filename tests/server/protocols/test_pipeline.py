"""Work on a stream side by side: order, room, failure, leaving early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.protocols.pipeline import in_order


class Bench:
    """Work that is finished by hand, in any order."""

    def __init__(self) -> None:
        self.begun: dict[int, asyncio.Future[str]] = {}

    async def work(self, item: int) -> str:
        self.begun[item] = asyncio.get_running_loop().create_future()
        return await self.begun[item]

    def finish(self, item: int) -> None:
        self.begun[item].set_result(f"done {item}")


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@given(st.permutations(range(6)))
def test_results_keep_the_order_of_the_items_whatever_finishes_first(order: list[int]) -> None:
    async def run() -> list[str]:
        bench = Bench()

        async def collect() -> list[str]:
            return [result async for result in in_order(numbers(6), bench.work, 6, asyncio.Event())]

        collecting = asyncio.create_task(collect())
        await settle()
        assert set(bench.begun) == set(range(6)), "all run side by side"
        for item in order:
            bench.finish(item)
            await settle()
        return await collecting

    assert asyncio.run(run()) == [f"done {item}" for item in range(6)]


async def test_no_more_items_are_read_than_there_is_room_for() -> None:
    bench = Bench()
    results = in_order(numbers(10), bench.work, 3, asyncio.Event())
    async with aclosing(results):
        first = asyncio.ensure_future(anext(results))
        await settle()
        assert set(bench.begun) == {0, 1, 2}

        bench.finish(0)
        assert await first == "done 0"
        await settle()

        assert set(bench.begun) == {0, 1, 2, 3}


async def test_an_empty_stream_has_no_results() -> None:
    assert [result async for result in in_order(numbers(0), Bench().work, 3, asyncio.Event())] == []


async def test_a_failure_ends_it_and_cancels_the_rest() -> None:
    bench = Bench()
    results = in_order(numbers(3), bench.work, 3, asyncio.Event())
    first = asyncio.ensure_future(anext(results))
    await settle()

    bench.begun[0].set_exception(ValueError("broken"))

    with pytest.raises(ValueError, match="broken"):
        await first
    assert bench.begun[1].cancelled()
    assert bench.begun[2].cancelled()


async def test_a_failing_source_fails_after_what_came_before() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise ConnectionError("gone")

    async def work(item: int) -> int:
        return item

    results = in_order(source(), work, 3, asyncio.Event())
    assert await anext(results) == 1
    with pytest.raises(ConnectionError, match="gone"):
        await anext(results)


async def test_leaving_early_cancels_what_is_under_way() -> None:
    bench = Bench()
    results = in_order(numbers(3), bench.work, 3, asyncio.Event())
    first = asyncio.ensure_future(anext(results))
    await settle()
    bench.finish(0)
    await first

    await results.aclose()

    assert bench.begun[1].cancelled()
    assert bench.begun[2].cancelled()


async def test_once_told_to_end_it_finishes_what_was_read_and_reads_no_more() -> None:
    bench, until = Bench(), asyncio.Event()
    endless = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 0
        yield 1
        await endless.wait()
        yield 2

    results = in_order(source(), bench.work, 3, until)
    first = asyncio.ensure_future(anext(results))
    await settle()
    assert set(bench.begun) == {0, 1}
    until.set()
    await settle()
    endless.set()
    bench.finish(0)
    assert await first == "done 0"
    bench.finish(1)
    assert [result async for result in results] == ["done 1"]
    assert set(bench.begun) == {0, 1}
