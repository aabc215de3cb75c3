"""Questions to the model ``echo``, and whether the answer is theirs."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import grpc
import grpc.aio
import numpy as np

from rapide.proto import open_inference_pb2 as pb
from rapide.proto import services
from tests.serving import Served

LARGE = (1, 13 << 20)
"""A shape of 52 MiB, below the bound on messages."""
ANY_SIZE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
Array = np.ndarray[Any, np.dtype[np.float32]]


def row(number: int) -> Array:
    return np.array([[number, -number]], np.float32)


def large() -> Array:
    return np.arange(LARGE[1], dtype=np.float32).reshape(LARGE)


def request(tensor: Array, id_: str = "") -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="echo", id=id_, raw_input_contents=[tensor.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=tensor.shape)
    return message


def check(answer: pb.ModelInferResponse, tensor: Array) -> None:
    assert tuple(answer.outputs[0].shape) == tensor.shape
    assert answer.raw_output_contents[0] == tensor.tobytes()


def stub(channel: Any) -> Any:
    return services.stub(channel, services.OPEN_INFERENCE)


async def ask_many(channel: grpc.aio.Channel, times: int, in_flight: int) -> None:
    """``times`` calls, each with its own answer."""
    await ask_until(channel, iter(range(times)), in_flight)


async def ask_while(channel: grpc.aio.Channel, goes_on: Callable[[], bool], in_flight: int) -> None:
    """Calls without a pause for as long as ``goes_on``; none may fail."""

    def numbers() -> Iterator[int]:
        for number in count():
            if not goes_on():
                return
            yield number

    await ask_until(channel, numbers(), in_flight)


async def ask_until(channel: grpc.aio.Channel, numbers: Iterator[int], in_flight: int) -> None:
    ask = stub(channel)

    async def caller() -> None:
        for number in numbers:
            check(await ask.ModelInfer(request(row(number)), timeout=30), row(number))

    async with asyncio.TaskGroup() as callers:
        for _ in range(in_flight):
            callers.create_task(caller())


def connections(served: Served, protocol: str = "grpc") -> int:
    """How many connections the server has taken until now."""
    with urllib.request.urlopen(f"{served.metrics_url}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    found = re.search(rf'^rapide_connections_total{{protocol="{protocol}"}} (\d+)', page, re.MULTILINE)
    return int(found[1]) if found else 0
