"""The hot way against the general way, on real sockets: the same answers, errors, labels, cancellations."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import socket
import time
from collections.abc import AsyncIterator, Iterable
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest
import pytest_asyncio

from rapide.proto import open_inference_pb2 as pb
from rapide.proto import services
from rapide.server.protocols.grpc_lane import hot
from rapide.server.protocols.grpc_lane.framing import PREFIX
from rapide.server.protocols.grpc_lane.server import HOT_PATH, LaneServer
from rapide.server.protocols.http2 import frames
from rapide.server.protocols.http2.header_blocks import encode_fields
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES
from tests import models
from tests.doors import Doors, opened
from tests.idle import idle_service
from tests.versions import publish_version, set_labels

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    root = tmp_path_factory.mktemp("hot") / "models"
    publish_version(root, "linear", models.linear())
    publish_version(root, "classes", models.classifier())
    publish_version(root, "two", models.two_inputs())
    publish_version(root, "text", models.text_classifier())
    for datatype in (DataType.FP64, DataType.INT8, DataType.FP16, DataType.BF16):
        publish_version(root, f"same-{datatype.lower()}", models.identity(datatype))
    for value in (1.0, 2.0):
        publish_version(root, "versions", models.constant(value))
    set_labels(root, "versions", "stable=1", "canary=2:50%")
    async with opened(root, tmp_path_factory.mktemp("state"), grpc_engine="lane") as doors:
        yield doors


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def channel(doors: Doors) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(doors.grpc) as channel:
        yield channel


class Watched:
    """Counts what the hot way of ``doors`` takes, and can tell it to take nothing."""

    def __init__(self, doors: Doors) -> None:
        lane = doors.app._doors._grpc
        assert isinstance(lane, LaneServer)
        self._hot = lane.hot
        self._before = self._hot.taken

    @property
    def taken(self) -> int:
        return self._hot.taken - self._before

    def shut(self, is_shut: bool) -> None:
        self._hot.is_open = not is_shut


@pytest.fixture
def watched(doors: Doors) -> Watched:
    return Watched(doors)


def request(
    model: str,
    *arrays: np.ndarray,
    names: tuple[str, ...] = ("x",),
    datatype: DataType = DataType.FP32,
    **fields: Any,
) -> pb.ModelInferRequest:
    return pb.ModelInferRequest(
        model_name=model,
        inputs=[
            pb.ModelInferRequest.InferInputTensor(name=name, datatype=str(datatype), shape=array.shape)
            for name, array in zip(names, arrays, strict=True)
        ],
        raw_input_contents=[array.tobytes() for array in arrays],
        **fields,
    )


async def ask(
    channel: grpc.aio.Channel, message: pb.ModelInferRequest, **options: Any
) -> tuple[bytes, dict[str, str]]:
    """The serialised answer and its initial metadata without the request's id."""
    pending = services.stub(channel, services.OPEN_INFERENCE).ModelInfer(message, timeout=5, **options)
    answer = await pending
    metadata = {name: value for name, value in await pending.initial_metadata() if name != "x-request-id"}
    return answer.SerializeToString(), metadata


def rows(count: int, width: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 100, (count, width)).astype(dtype)


SAME = [
    ("one row", request("linear", rows(1, 4))),
    ("many rows", request("linear", rows(37, 4))),
    ("no rows", request("linear", rows(0, 4))),
    ("with an id", request("linear", rows(2, 4), id="call-7")),
    ("by version", request("linear", rows(2, 4), model_version="1")),
    ("two outputs", request("classes", rows(3, 2))),
    (
        "one output of two",
        request(
            "classes",
            rows(3, 2),
            outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="probabilities")],
        ),
    ),
    (
        "outputs the other way round",
        request(
            "classes",
            rows(3, 2),
            outputs=[
                pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in ("probabilities", "label")
            ],
        ),
    ),
    (
        "two inputs",
        request("two", rows(2, 2, "<i4"), rows(2, 2, "<i4"), names=("a", "b"), datatype=DataType.INT32),
    ),
    *(
        (
            str(datatype),
            request(f"same-{datatype.lower()}", rows(5, 3, NUMPY_DTYPES[datatype]), datatype=datatype, id="odd"),
        )
        for datatype in (DataType.FP64, DataType.INT8, DataType.FP16, DataType.BF16)
    ),
]


@pytest.mark.parametrize("message", [row[1] for row in SAME], ids=[row[0] for row in SAME])
async def test_both_ways_answer_the_same(message: Any, channel: grpc.aio.Channel, watched: Watched) -> None:
    watched.shut(True)
    general = await ask(channel, message)
    watched.shut(False)
    assert await ask(channel, message) == general
    assert watched.taken == 1
    many = await asyncio.gather(*(ask(channel, message) for _ in range(20)))
    assert many == [general] * 20, "merged with others, each still has its own rows"
    assert watched.taken == 21


async def test_rows_of_different_callers_are_not_mixed(channel: grpc.aio.Channel, watched: Watched) -> None:
    values = [rows(1, 4) + number for number in range(100)]
    answers = await asyncio.gather(
        *(ask(channel, request("linear", value, id=str(i))) for i, value in enumerate(values))
    )
    for number, (raw, _) in enumerate(answers):
        answer = pb.ModelInferResponse.FromString(raw)
        assert answer.id == str(number)
        got = np.frombuffer(answer.raw_output_contents[0], "<f4")
        np.testing.assert_allclose(
            got, (values[number] @ models.LINEAR_WEIGHTS + models.LINEAR_BIAS)[0], rtol=1e-5
        )
    assert watched.taken > 90


async def test_an_answered_call_is_no_garbage(channel: grpc.aio.Channel, watched: Watched) -> None:
    """What only the collector can find makes it stop the loop, again and again."""
    message = request("linear", rows(1, 4))
    await ask(channel, message)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await ask(channel, message)
        left = [each for each in gc.get_objects() if isinstance(each, hot.HotCall)]
    finally:
        gc.enable()
    assert watched.taken >= 20
    assert left == []


async def test_text_goes_the_general_way(channel: grpc.aio.Channel, watched: Watched) -> None:
    for _ in range(6):
        answer = pb.ModelInferResponse.FromString((await ask(channel, request("text", rows(1, 2))))[0])
        assert answer.outputs[0].datatype == "BYTES"
    assert watched.taken == 0


async def test_labels_and_shares_hold_on_the_hot_way(channel: grpc.aio.Channel, watched: Watched) -> None:
    message = request("versions", rows(1, 1))
    seen: dict[str, set[str]] = {}
    for number in range(200):
        key = f"user-{number % 20}"
        raw, metadata = await ask(channel, message, metadata=(("rapide-user-key", key),))
        value = np.frombuffer(pb.ModelInferResponse.FromString(raw).raw_output_contents[0], "<f4")[0]
        assert metadata["rapide-model-version"] == str(int(value)), "who answered is who is named"
        seen.setdefault(key, set()).add(metadata["rapide-model-label"])
    assert all(len(labels) == 1 for labels in seen.values()), "a user stays where they are"
    assert set.union(*seen.values()) == {"stable", "canary"}
    _, pinned = await ask(channel, message, metadata=(("rapide-version", "2"),))
    _, labelled = await ask(channel, message, metadata=(("rapide-label", "canary"),))
    assert pinned["rapide-model-version"] == labelled["rapide-model-version"] == "2"
    assert watched.taken > 190


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (request("linear", rows(1, 5)), grpc.StatusCode.INVALID_ARGUMENT),
        (request("nobody", rows(1, 4)), grpc.StatusCode.NOT_FOUND),
        (request("linear", rows(1, 4), model_version="9"), grpc.StatusCode.NOT_FOUND),
    ],
    ids=["shape", "model", "version"],
)
async def test_errors_are_the_general_ways(
    message: Any, code: Any, channel: grpc.aio.Channel, watched: Watched
) -> None:
    texts = set()
    for _ in range(3):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(channel, message)
        assert caught.value.code() is code
        texts.add(caught.value.details())
    assert len(texts) == 1
    assert watched.taken == 0


async def test_a_queue_that_is_full_refuses_and_recovers(tmp_path: Path) -> None:
    publish_version(tmp_path / "models", "linear", models.linear())
    message = request("linear", rows(3, 4))
    async with (
        opened(tmp_path / "models", tmp_path / "state", grpc_engine="lane", max_queue_rows=6) as doors,
        grpc.aio.insecure_channel(doors.grpc) as channel,
    ):
        watched = Watched(doors)
        await ask(channel, message)
        results = await asyncio.gather(*(ask(channel, message) for _ in range(50)), return_exceptions=True)
        assert watched.taken == 50, "refusing costs no more than answering"
        codes = {error.code() for error in results if isinstance(error, grpc.aio.AioRpcError)}
        assert codes <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert any(isinstance(result, tuple) for result in results)
        await ask(channel, message)


async def test_the_profile_knows_both_ways_inputs_and_answers(tmp_path: Path) -> None:
    """The same rows eight times, the first by the general way: seven repeats, and answers that took their time."""
    root = tmp_path / "models"
    publish_version(root, "linear", models.linear())
    async with opened(root, tmp_path / "state", grpc_engine="lane") as doors:
        watched = Watched(doors)
        async with grpc.aio.insecure_channel(doors.grpc) as channel:
            for number in range(8):
                await ask(channel, request("linear", rows(2, 4), id=f"call-{number}"))
            await ask(channel, request("linear", rows(3, 4)))
        async with httpx.AsyncClient() as http:
            (found,) = (await http.get(f"{doors.metrics}/profile")).json()["models"]
    assert watched.taken >= 6
    assert (found["inputs"]["looked"], found["inputs"]["repeats"]) == (9, 7)
    batch = next(batch for batch in found["batches"] if batch["rows"] == 2)
    assert 0 < batch["output_s"] < batch["runs"] * 0.1
    assert found["overhead_s"]["sum"] < found["duration_s"]["sum"]
    assert sum(count for _, count in found["deadline_slack_s"]["bins"]) == 9


async def test_cancelled_calls_leave_nothing_behind(
    doors: Doors, channel: grpc.aio.Channel, watched: Watched
) -> None:
    message = request("linear", rows(1, 4))
    await ask(channel, message)
    stub = services.stub(channel, services.OPEN_INFERENCE)
    for _ in range(20):
        calls = [stub.ModelInfer(message, timeout=5) for _ in range(10)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        assert len([answer for answer in await asyncio.gather(*calls, return_exceptions=True) if answer]) == 10
    lane = doors.app._doors._grpc
    async with asyncio.timeout(5):
        while any(connection.http2.active_streams for connection in lane.connections):
            await asyncio.sleep(0.01)


async def test_a_version_switched_under_load(tmp_path: Path) -> None:
    root = tmp_path / "models"
    publish_version(root, "versions", models.constant(1.0))
    set_labels(root, "versions", "stable=1")
    message = request("versions", rows(2, 1))
    async with (
        opened(root, tmp_path / "state", grpc_engine="lane") as doors,
        grpc.aio.insecure_channel(doors.grpc) as channel,
    ):
        watched = Watched(doors)
        stop = asyncio.Event()
        versions: list[tuple[float, str]] = []

        async def caller() -> None:
            while not stop.is_set():
                raw, metadata = await ask(channel, message)
                values = set(np.frombuffer(pb.ModelInferResponse.FromString(raw).raw_output_contents[0], "<f4"))
                assert len(values) == 1
                versions.append((values.pop(), metadata["rapide-model-version"]))

        async def more_answers() -> None:
            before = len(versions)
            async with asyncio.timeout(20):
                while len(versions) < before + 50:
                    await asyncio.sleep(0.005)

        callers = [asyncio.create_task(caller()) for _ in range(4)]
        await more_answers()
        for value in (2.0, 3.0, 4.0):
            publish_version(root, "versions", models.constant(value))
            set_labels(root, "versions", f"stable={int(value)}")
            await doors.admin.load_all()
            await more_answers()
        stop.set()
        await asyncio.gather(*callers)
        assert {version for _, version in versions} == {"1", "2", "3", "4"}
        assert all(str(int(value)) == version for value, version in versions)
        assert watched.taken > len(versions) / 2


async def test_tensors_in_shared_memory_have_no_pattern(channel: grpc.aio.Channel, watched: Watched) -> None:
    """They are read by the general way each time, and after a few such messages nobody looks at them again."""
    region, key = f"hot-{os.getpid()}", f"/rapide-hot-{os.getpid()}"
    memory = shared_memory.SharedMemory(key[1:], create=True, size=64)
    try:
        memory.buf[:16] = rows(1, 4).tobytes()
        stub = services.stub(channel, services.OPEN_INFERENCE)
        await stub.SystemSharedMemoryRegister(
            pb.SystemSharedMemoryRegisterRequest(name=region, key=key, offset=0, byte_size=64)
        )
        message = request("linear", rows(1, 4))
        del message.raw_input_contents[:]
        message.inputs[0].parameters["shared_memory_region"].string_param = region
        message.inputs[0].parameters["shared_memory_byte_size"].int64_param = 16
        answers = {(await ask(channel, message))[0] for _ in range(6)}
        await stub.SystemSharedMemoryUnregister(pb.SystemSharedMemoryUnregisterRequest(name=region))
    finally:
        memory.close()
        memory.unlink()
    assert len(answers) == 1
    assert watched.taken == 0


async def test_patterns_of_one_size_stay_few_and_those_in_use_stay() -> None:
    """A client that names its inputs in ever another order must not slow down the look-ups of the others."""

    def in_order(names: Iterable[str]) -> bytes:
        message = pb.ModelInferRequest(model_name="m", raw_input_contents=[b"1234"] * 5)
        for name in names:
            message.inputs.add(name=name, datatype="FP32", shape=[1, 1])
        return message.SerializeToString()

    way = hot.HotWay(idle_service(), lambda: "id", time.monotonic)
    usual, *others = [in_order(names) for names in itertools.permutations("abcde")]
    way.learn(usual)
    for other in others:
        way.learn(other)
        assert way._find(other, 0, len(other)) is not None
        assert way._find(usual, 0, len(usual)) is not None
    assert [len(patterns) for patterns in way._by_size.values()] == [hot.MAX_SAME_SIZE]
    assert way._count == hot.MAX_SAME_SIZE


async def test_a_length_that_lies_is_no_usual_request(doors: Doors, channel: grpc.aio.Channel) -> None:
    """RFC 9113, 8.1.1, also where the message itself has a known pattern."""
    message = request("linear", rows(1, 4))
    await ask(channel, message)
    raw = message.SerializeToString()
    framed = PREFIX.pack(0, len(raw)) + raw
    reader, writer = await asyncio.open_connection(*doors.grpc.split(":"))
    writer.write(frames.PREFACE + frames.settings({}))
    for stream_id, announced in ((1, len(framed)), (3, len(framed) + 1)):
        fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", HOT_PATH.encode())]
        fields += [(b"content-type", b"application/grpc"), (b"content-length", b"%d" % announced)]
        writer.write(frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, encode_fields(fields)))
        writer.write(frames.frame(frames.DATA, frames.END_STREAM, stream_id, framed))
    got = b""
    async with asyncio.timeout(5):
        while b"bytes came" not in got or b"grpc-status\x010" not in got:  # the refusal, which needs no run, first
            got += await reader.read(65_536)
    writer.close()
    await writer.wait_closed()


async def test_an_answer_that_no_other_can_join_leaves_at_once(doors: Doors, channel: grpc.aio.Channel) -> None:
    """Not when the whole batch is answered: its reader would wait for the answers of all others to be made."""
    message = request("linear", rows(1, 4))
    await ask(channel, message)
    raw = message.SerializeToString()
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", HOT_PATH.encode())]
    head = encode_fields([*fields, (b"content-type", b"application/grpc")])
    asked = frames.frame(frames.HEADERS, frames.END_HEADERS, 1, head)
    asked += frames.frame(frames.DATA, frames.END_STREAM, 1, PREFIX.pack(0, len(raw)) + raw)
    host, port = doors.grpc.split(":")
    read_when_finished: list[bytes] = []
    observers = doors.app._telemetry._observers
    with socket.create_connection((host, int(port))) as client:
        client.setblocking(False)
        client.sendall(frames.PREFACE + frames.settings({}))
        await asyncio.get_running_loop().sock_recv(client, 65_536)  # its SETTINGS
        observers.append(lambda _: read_when_finished.append(client.recv(65_536)))
        try:
            client.sendall(asked)
            async with asyncio.timeout(5):
                while not read_when_finished:
                    await asyncio.sleep(0.001)
        finally:
            observers.pop()
    assert b"grpc-status\x010" in read_when_finished[0]
