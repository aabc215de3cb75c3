"""grpcio, sync and asyncio, against the gRPC lane."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import grpc
import grpc.aio
import pytest

from tests.integration.clients.echo import (
    ANY_SIZE,
    OWN_CONNECTION,
    ask_many,
    ask_while,
    check,
    connections,
    large,
    request,
    row,
    stub,
)
from tests.serving import Served

pytestmark = pytest.mark.integration
STREAMED = 500


def test_thousands_of_calls_on_many_connections(lanes: Served) -> None:
    def caller(first: int) -> None:
        with grpc.insecure_channel(lanes.grpc, options=OWN_CONNECTION) as channel:
            for number in range(first, first + 100):
                check(stub(channel).ModelInfer(request(row(number)), timeout=30), row(number))

    before = connections(lanes)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(caller, range(0, 2000, 100)))
    assert connections(lanes) == before + 20


async def test_thousands_of_calls_side_by_side(lanes: Served) -> None:
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(lanes.grpc, options=OWN_CONNECTION))
            for _ in range(50)
        ]
        await asyncio.gather(*(ask_many(channel, times=60, in_flight=8) for channel in channels))


def test_a_stream_in_order(lanes: Served) -> None:
    with grpc.insecure_channel(lanes.grpc) as channel:
        asked = (request(row(number), str(number)) for number in range(STREAMED))
        answers = list(stub(channel).ModelStreamInfer(asked, timeout=60))
    assert [answer.infer_response.id for answer in answers] == [str(number) for number in range(STREAMED)]
    check(answers[-1].infer_response, row(STREAMED - 1))


async def test_a_stream_as_a_conversation(lanes: Served) -> None:
    async with grpc.aio.insecure_channel(lanes.grpc) as channel:
        talk = stub(channel).ModelStreamInfer(timeout=60)
        for number in range(100):
            await talk.write(request(row(number)))
            check((await talk.read()).infer_response, row(number))
        await talk.done_writing()
        assert await talk.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_large_message_both_ways(lanes: Served, compression: grpc.Compression) -> None:
    tensor = large() if compression is grpc.Compression.NoCompression else large() // 4096
    with grpc.insecure_channel(lanes.grpc, options=ANY_SIZE) as channel:
        check(stub(channel).ModelInfer(request(tensor), timeout=60, compression=compression), tensor)


def test_a_large_message_on_a_stream(lanes: Served) -> None:
    tensor = large()

    def asked() -> Iterator[object]:
        yield request(row(1))
        yield request(tensor)
        yield request(row(2))

    with grpc.insecure_channel(lanes.grpc, options=ANY_SIZE) as channel:
        answers = list(stub(channel).ModelStreamInfer(asked(), timeout=60))
    for answer, expected in zip(answers, (row(1), tensor, row(2)), strict=True):
        check(answer.infer_response, expected)


async def test_small_calls_beside_large_ones(lanes: Served) -> None:
    tensor = large()
    async with grpc.aio.insecure_channel(lanes.grpc, options=ANY_SIZE) as channel:
        uploads = [asyncio.ensure_future(stub(channel).ModelInfer(request(tensor), timeout=60)) for _ in range(2)]
        await ask_many(channel, times=200, in_flight=4)
        for answer in await asyncio.gather(*uploads):
            check(answer, tensor)


async def test_no_call_is_lost_when_connections_age(ageing: Served) -> None:
    # grpcio asks again, by itself, only what no server has seen: its own calls that GOAWAY kept from starting.
    async with grpc.aio.insecure_channel(ageing.grpc, options=OWN_CONNECTION) as channel:
        enough = connections(ageing) + 4
        async with asyncio.TaskGroup() as group:
            is_enough = asyncio.Event()
            group.create_task(ask_while(channel, lambda: not is_enough.is_set(), in_flight=16))
            while await asyncio.to_thread(connections, ageing) < enough:
                check(await stub(channel).ModelInfer(request(row(7)), timeout=30), row(7))
            is_enough.set()


def test_no_call_of_threads_is_lost_when_connections_age(ageing: Served) -> None:
    with grpc.insecure_channel(ageing.grpc, options=OWN_CONNECTION) as channel, ThreadPoolExecutor(8) as pool:
        enough = connections(ageing) + 3
        is_enough = threading.Event()

        def caller(first: int) -> None:
            for number in itertools.count(first):
                check(stub(channel).ModelInfer(request(row(number)), timeout=30), row(number))
                if is_enough.is_set():
                    return

        callers = [pool.submit(caller, first) for first in range(8)]
        while connections(ageing) < enough and not any(one.done() for one in callers):
            time.sleep(0.05)
        is_enough.set()
        for one in callers:
            one.result(60)


async def test_a_stream_outlives_the_age_of_its_connection(ageing: Served) -> None:
    async with grpc.aio.insecure_channel(ageing.grpc, options=OWN_CONNECTION) as channel:
        enough = connections(ageing) + 2

        async def asked() -> AsyncIterator[object]:
            while await asyncio.to_thread(connections, ageing) < enough:
                yield request(row(1))
                # Another call: it opens the new connection once the old one has said goodbye.
                check(await stub(channel).ModelInfer(request(row(2)), timeout=30), row(2))
            yield request(row(3))

        last = None
        async for answer in stub(channel).ModelStreamInfer(asked(), timeout=60):
            last = answer.infer_response
        assert last is not None
        check(last, row(3))
