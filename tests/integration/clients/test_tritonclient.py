"""tritonclient over HTTP and gRPC, sync and asyncio, against both lanes."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio

from rapide.loadtests.bench.contestants import HOST
from tests.integration.clients.echo import Array, connections, large, row
from tests.serving import Served

pytestmark = pytest.mark.integration
TIMES = 300


def http_address(lanes: Served) -> str:
    return f"{HOST}:{lanes.ports.http}"


def tensor(library: Any, array: Array, **how: bool) -> Any:
    made = library.InferInput("x", list(array.shape), "FP32")
    made.set_data_from_numpy(array, **how)
    return made


def check(result: Any, array: Array) -> None:
    np.testing.assert_array_equal(result.as_numpy("y"), array)


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_http(lanes: Served, binary: bool) -> None:
    library = tritonclient.http
    with library.InferenceServerClient(http_address(lanes), concurrency=8) as client:
        assert client.is_model_ready("echo")
        outputs = [library.InferRequestedOutput("y", binary_data=binary)]
        pending = []
        for number in range(TIMES):
            inputs = [tensor(library, row(number), binary_data=binary)]
            pending.append(client.async_infer("echo", inputs, outputs=outputs))
        for number, answer in enumerate(pending):
            check(answer.get_result(), row(number))


def test_http_large(lanes: Served) -> None:
    with tritonclient.http.InferenceServerClient(http_address(lanes), network_timeout=60) as client:
        check(client.infer("echo", [tensor(tritonclient.http, large())]), large())


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp, of 52 MiB at once
async def test_http_aio(lanes: Served) -> None:
    async with tritonclient.http.aio.InferenceServerClient(http_address(lanes)) as client:

        async def ask(array: Array) -> None:
            check(await client.infer("echo", [tensor(tritonclient.http, array)]), array)

        await asyncio.gather(*(ask(row(number)) for number in range(TIMES)), ask(large()))


def test_grpc(lanes: Served) -> None:
    with tritonclient.grpc.InferenceServerClient(lanes.grpc) as client:
        assert client.is_model_ready("echo")
        for number in range(TIMES):
            check(client.infer("echo", [tensor(tritonclient.grpc, row(number))]), row(number))
        check(client.infer("echo", [tensor(tritonclient.grpc, large())]), large())


def test_grpc_loses_no_call_when_connections_age(ageing: Served) -> None:
    enough = connections(ageing) + 3
    with tritonclient.grpc.InferenceServerClient(ageing.grpc) as client:
        number = 0
        while number % 100 or connections(ageing) < enough:
            check(client.infer("echo", [tensor(tritonclient.grpc, row(number))]), row(number))
            number += 1


async def test_grpc_aio_loses_no_call_when_connections_age(ageing: Served) -> None:
    enough = connections(ageing) + 3
    async with tritonclient.grpc.aio.InferenceServerClient(ageing.grpc) as client:

        async def ask(number: int) -> None:
            check(await client.infer("echo", [tensor(tritonclient.grpc, row(number))]), row(number))

        while await asyncio.to_thread(connections, ageing) < enough:
            await asyncio.gather(*map(ask, range(100)))


def test_grpc_stream(lanes: Served) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(lanes.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(TIMES):
            client.async_stream_infer("echo", [tensor(tritonclient.grpc, row(number))])
        for number in range(TIMES):
            result, error = answers.get(timeout=30)
            assert error is None
            check(result, row(number))
        client.stop_stream()


async def test_grpc_aio(lanes: Served) -> None:
    async with tritonclient.grpc.aio.InferenceServerClient(lanes.grpc) as client:

        async def ask(array: Array) -> None:
            check(await client.infer("echo", [tensor(tritonclient.grpc, array)]), array)

        await asyncio.gather(*(ask(row(number)) for number in range(TIMES)), ask(large()))


async def test_grpc_aio_stream(lanes: Served) -> None:
    async def asked() -> AsyncIterator[dict[str, Any]]:
        for number in range(TIMES):
            yield {"model_name": "echo", "inputs": [tensor(tritonclient.grpc, row(number))]}

    async with tritonclient.grpc.aio.InferenceServerClient(lanes.grpc) as client:
        number = 0
        async for result, error in client.stream_infer(asked()):
            assert error is None
            check(result, row(number))
            number += 1
    assert number == TIMES
