"""The gRPC API over real sockets: every method, metadata, streams, deadlines, cancellation, health and
reflection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from rapide.proto import (
    health_pb2,
    model_config_pb2,
    predict_pb2,
    reflection_v1_pb2,
    reflection_v1alpha_pb2,
    services,
)
from rapide.proto import open_inference_pb2 as pb
from rapide.server.protocols.grpc_inference import MAX_STREAM_REQUESTS
from rapide.server.protocols.grpc_methods import PROCEDURES
from rapide.server.protocols.grpc_reflection import SERVICES
from tests import models
from tests.doors import ENGINES, Doors, opened
from tests.wires import Tensor

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inference(channel: grpc.aio.Channel) -> Any:
    return services.stub(channel, services.OPEN_INFERENCE)


def request(model: str = "two", rows: Any = (1, 2), **more: Any) -> pb.ModelInferRequest:
    """``a`` and ``b`` are both ``rows``."""
    data = np.array(rows, np.int32).reshape(-1, 2)
    tensors = [Tensor(name, data.reshape(-1).tolist(), data.shape) for name in ("a", "b")]
    return pb.ModelInferRequest(
        model_name=model,
        inputs=[tensor.message() for tensor in tensors],
        raw_input_contents=[tensor.raw() for tensor in tensors],
        **more,
    )


def slow_request() -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    return pb.ModelInferRequest(
        model_name="slow", inputs=[tensor], raw_input_contents=[np.ones((1, 4), np.float32).tobytes()]
    )


def sums(response: pb.ModelInferResponse) -> list[int]:
    return [int(value) for value in np.frombuffer(response.raw_output_contents[0], np.int32)]


async def metadata_of(call: Any) -> dict[str, str]:
    return dict(await call.initial_metadata())


def dict_of(metadata: Any) -> dict[str, str]:
    return dict(metadata)


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    """Until it is so; ten seconds at most."""
    async with asyncio.timeout(10):
        while not await look():
            await asyncio.sleep(0.01)


# Methods.


async def test_every_method_of_every_service_is_answered() -> None:
    defined = [method.path for service in SERVICES for method in services.methods(service)]

    assert sorted(procedure.method.path for procedure in PROCEDURES) == sorted(defined)


async def test_an_inference(inference: Any) -> None:
    response = await inference.ModelInfer(request(id="mine"))

    assert (response.model_name, response.model_version, response.id) == ("two", "1", "mine")
    assert [(output.name, output.datatype, list(output.shape)) for output in response.outputs] == [
        ("sum", "INT32", [1, 2]),
        ("difference", "INT32", [1, 2]),
    ]
    assert sums(response) == [2, 4]


async def test_named_features(channel: grpc.aio.Channel) -> None:
    stub = services.stub(channel, services.PREDICT)
    given = predict_pb2.PredictRequest(
        model="price",
        version="1",
        request_id="mine-9",
        columns={
            "fuel": predict_pb2.Column(strings=predict_pb2.Strings(values=["petrol", "diesel"])),
            "mileage": predict_pb2.Column(integers=predict_pb2.Integers(values=[5, 7])),
        },
    )

    call = stub.Predict(given)
    answer = await call

    assert (answer.model, answer.version, answer.label, answer.request_id) == ("price", "1", "", "mine-9")
    assert list(answer.columns["price"].floats.values) == [105.0, 7.0]
    assert (await metadata_of(call))["x-request-id"] == "mine-9"


async def test_descriptions(inference: Any) -> None:
    assert (await inference.ServerLive(pb.ServerLiveRequest())).live
    assert (await inference.ServerReady(pb.ServerReadyRequest())).ready
    assert (await inference.ServerMetadata(pb.ServerMetadataRequest())).name == "rapide"
    metadata = await inference.ModelMetadata(pb.ModelMetadataRequest(name="two"))
    assert [(spec.name, spec.datatype, list(spec.shape)) for spec in metadata.inputs] == [
        ("a", "INT32", [-1, 2]),
        ("b", "INT32", [-1, 2]),
    ]
    assert list(metadata.versions) == ["1", "2"]
    config = (await inference.ModelConfig(pb.ModelConfigRequest(name="text"))).config
    assert (config.max_batch_size, config.input[0].data_type) == (64, model_config_pb2.TYPE_STRING)
    statistics = (await inference.ModelStatistics(pb.ModelStatisticsRequest(name="two"))).model_stats
    assert [entry.version for entry in statistics] == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "version", "ready"),
    [("two", "", True), ("two", "2", True), ("two", "9", False), ("none", "", False)],
)
async def test_readiness_of_models(inference: Any, name: str, version: str, ready: bool) -> None:
    answer = await inference.ModelReady(pb.ModelReadyRequest(name=name, version=version))

    assert answer.ready is ready


async def test_unknown_methods(channel: grpc.aio.Channel) -> None:
    unary: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelGuess")  # type: ignore[call-arg]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


# Metadata.


@pytest.mark.parametrize(
    ("version", "metadata", "answered", "label"),
    [
        ("", (), "1", "stable"),
        ("2", (), "2", ""),
        ("", (("rapide-label", "canary"),), "2", "canary"),
        ("", (("rapide-version", "2"),), "2", ""),
    ],
)
async def test_initial_metadata_says_who_answers(
    inference: Any, version: str, metadata: Any, answered: str, label: str
) -> None:
    call = inference.ModelInfer(request(model_version=version), metadata=metadata)

    assert (await call).model_version == answered
    told = await metadata_of(call)
    assert told["rapide-model"] == "two"
    assert told["rapide-model-version"] == answered
    assert told["rapide-model-label"] == label
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", told["rapide-model-digest"])


async def test_errors_say_who_refused_where_a_version_was_reached(inference: Any) -> None:
    call = inference.ModelInfer(pb.ModelInferRequest(model_name="two", model_version="2"))

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    # An answer of trailers alone (gRPC over HTTP/2, "Trailers-Only") has no initial metadata of its own.
    told = dict_of(caught.value.initial_metadata()) | dict_of(caught.value.trailing_metadata())
    assert told["rapide-model-version"] == "2"


@pytest.mark.parametrize("name", ["nobody", "größer & 100 %"])
async def test_errors_have_details_that_say_the_same(inference: Any, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await inference.ModelInfer(pb.ModelInferRequest(model_name=name))

    error = caught.value
    assert name in (error.details() or "")
    details: Any = dict_of(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == "NOT_FOUND"


@pytest.mark.parametrize(("given", "echoed"), [("mine-7", True), ("two words", False), (None, False)])
async def test_the_request_id_is_echoed_or_made(inference: Any, given: str | None, echoed: bool) -> None:
    call = inference.ModelInfer(request(), metadata=() if given is None else (("x-request-id", given),))
    await call

    told = (await metadata_of(call))["x-request-id"]
    assert told == given if echoed else re.fullmatch(r"[a-z0-9-]{4,40}", told)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_requests(inference: Any, compression: grpc.Compression) -> None:
    response = await inference.ModelInfer(request(rows=np.ones((500, 2))), compression=compression)

    assert sums(response) == [2] * 1000


# Deadlines, cancellation, overload, failures.


async def test_what_cannot_be_answered_in_time_is_not_run(inference: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await inference.ModelInfer(slow_request(), timeout=0.002)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_cancelled_call_is_counted_and_harms_nobody(
    inference: Any, http: httpx.AsyncClient, doors: Doors
) -> None:
    async def cancelled() -> float:
        lines = (await http.get("/metrics")).text.splitlines()
        wanted = [
            line for line in lines if 'protocol="grpc",code="request_cancelled"' in line and '"slow"' in line
        ]
        return sum(float(line.rpartition(" ")[2]) for line in wanted)

    before = await cancelled()

    async def cancel_one() -> bool:
        """Cancels a call that shares its batch with another; whether the server has noticed this or an earlier
        one."""
        other = inference.ModelInfer(slow_request())
        call = inference.ModelInfer(slow_request())
        await asyncio.sleep(0.01)  # long enough to arrive, usually; if not, the next attempt does
        call.cancel()
        assert len((await other).raw_output_contents) == 1
        return await cancelled() > before

    await eventually(cancel_one)


@pytest.mark.parametrize("engines", ENGINES)
async def test_a_full_queue_pushes_back(repository: Path, tmp_path: Path, engines: str) -> None:
    settings: dict[str, Any] = {"max_batch_rows": 1, "max_queue_rows": 1, **ENGINES[engines]}
    async with (
        opened(repository, tmp_path / "state", **settings) as doors,
        grpc.aio.insecure_channel(doors.grpc) as channel,
    ):
        infer = services.stub(channel, services.OPEN_INFERENCE).ModelInfer
        calls = [infer(slow_request()) for _ in range(8)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert 0 < len(refused) < 8
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert int(dict_of(refused[0].trailing_metadata())["grpc-retry-pushback-ms"]) >= 1000


async def test_a_model_that_fails_is_our_fault_and_says_nothing_private(inference: Any) -> None:
    failing = slow_request()
    failing.model_name = "failing"

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await inference.ModelInfer(failing)

    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "the model failed on this input; the log has the details"


# Streams.


async def ask_all(inference: Any, requests: list[Any]) -> list[pb.ModelStreamInferResponse]:
    async def given() -> AsyncIterator[Any]:
        for each in requests:
            yield each

    return [response async for response in inference.ModelStreamInfer(given())]


async def test_a_stream_is_answered_in_order_whatever_takes_longer(inference: Any) -> None:
    requests = [slow_request(), *[request(rows=[number, 0], id=f"r{number}") for number in range(20)]]
    requests[0].id = "slow"

    answers = await ask_all(inference, requests)

    assert [answer.infer_response.id for answer in answers] == [each.id for each in requests]
    assert [sums(answer.infer_response)[0] for answer in answers[1:]] == [2 * number for number in range(20)]
    assert all(answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers)


async def test_an_error_in_a_stream_is_its_requests_answer(inference: Any) -> None:
    answers = await ask_all(
        inference, [request(id="first"), request("none", id="second"), pb.ModelInferRequest(), request(id="last")]
    )

    assert [answer.infer_response.id for answer in answers] == ["first", "second", "", "last"]
    assert [bool(answer.error_message) for answer in answers] == [False, True, True, False]
    assert answers[1].error_message.startswith("there is no model 'none' here.")
    assert sums(answers[3].infer_response) == [2, 4]


async def test_a_message_of_a_stream_that_is_none(channel: grpc.aio.Channel) -> None:
    stream: Any = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")  # type: ignore[call-arg]

    async def given() -> AsyncIterator[bytes]:
        yield b"\xff\xff neither"
        yield request().SerializeToString()

    first, second = [pb.ModelStreamInferResponse.FromString(raw) async for raw in stream(given())]

    assert "no valid ModelInferRequest" in first.error_message
    assert sums(second.infer_response) == [2, 4]


async def test_more_requests_than_a_stream_has_room_for(inference: Any) -> None:
    count = 3 * MAX_STREAM_REQUESTS

    answers = await ask_all(inference, [request(rows=[number, 0]) for number in range(count)])

    assert [sums(answer.infer_response)[0] for answer in answers] == [2 * number for number in range(count)]


async def test_a_stream_gives_answers_before_it_is_closed(inference: Any) -> None:
    stream = inference.ModelStreamInfer()
    for number in range(3):
        await stream.write(request(rows=[number, 0]))
        assert sums((await stream.read()).infer_response)[0] == 2 * number
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs forgot it


async def test_an_empty_stream(inference: Any) -> None:
    assert await ask_all(inference, []) == []


async def test_a_stream_whose_caller_leaves_is_stopped(inference: Any) -> None:
    stream = inference.ModelStreamInfer()
    await stream.write(slow_request())
    stream.cancel()

    assert sums(await inference.ModelInfer(request())) == [2, 4]


# Health.


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def health(channel: grpc.aio.Channel) -> Any:
    return services.stub(channel, services.HEALTH)


@pytest.mark.parametrize(
    "name", ["", "inference.GRPCInferenceService", "rapide.v1.PredictService", "two", "two/1", "two/2"]
)
async def test_health_of_what_is_served(health: Any, name: str) -> None:
    assert (await health.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING


@pytest.mark.parametrize("name", ["none", "two/9", "two/1/1", "inference"])
async def test_health_of_what_is_unknown(health: Any, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await health.Check(health_pb2.HealthCheckRequest(service=name))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    watch = health.Watch(health_pb2.HealthCheckRequest(service=name))
    assert (await watch.read()).status == SERVICE_UNKNOWN
    watch.cancel()


async def test_health_of_everything(health: Any) -> None:
    statuses = (await health.List(health_pb2.HealthListRequest())).statuses

    assert {"", "inference.GRPCInferenceService", "two", "two/1", "price/1"} <= set(statuses)
    assert {status.status for status in statuses.values()} == {SERVING}


@pytest.mark.parametrize("engines", ENGINES)
async def test_watching_health(tmp_path: Path, engines: str) -> None:
    root = models.repository(tmp_path / "models", {"two": {1: models.two_inputs()}, "one": {1: models.linear()}})
    async with (
        opened(root, tmp_path / "state", load=False, **ENGINES[engines]) as doors,
        grpc.aio.insecure_channel(doors.grpc) as channel,
    ):
        health = services.stub(channel, services.HEALTH)
        server, model = [health.Watch(health_pb2.HealthCheckRequest(service=name)) for name in ("", "two")]
        assert [(await server.read()).status, (await model.read()).status] == [NOT_SERVING, SERVICE_UNKNOWN]

        await doors.admin.load_all()
        assert [(await server.read()).status, (await model.read()).status] == [SERVING, SERVING]

        await services.stub(channel, services.OPEN_INFERENCE).RepositoryModelUnload(
            pb.RepositoryModelUnloadRequest(model_name="two")
        )
        assert (await model.read()).status == SERVICE_UNKNOWN

        doors.app.unready()
        assert (await server.read()).status == NOT_SERVING
        server.cancel()
        model.cancel()


# Reflection.


@pytest.mark.parametrize("version", [reflection_v1_pb2, reflection_v1alpha_pb2], ids=["v1", "v1alpha"])
class TestReflection:
    async def ask(self, channel: grpc.aio.Channel, messages: Any, *questions: dict[str, Any]) -> list[Any]:
        """One answer for each question, over one stream."""
        stub = services.stub(channel, f"{messages.DESCRIPTOR.package}.ServerReflection")

        async def given() -> AsyncIterator[Any]:
            for question in questions:
                yield messages.ServerReflectionRequest(host="here", **question)

        return [answer async for answer in stub.ServerReflectionInfo(given())]

    async def test_services_are_listed(self, channel: grpc.aio.Channel, version: Any) -> None:
        (answer,) = await self.ask(channel, version, {"list_services": "*"})

        assert [service.name for service in answer.list_services_response.service] == list(SERVICES)
        assert answer.valid_host == "here"

    async def test_a_client_can_make_a_call_of_what_it_learnt(
        self, channel: grpc.aio.Channel, version: Any
    ) -> None:
        (answer,) = await self.ask(channel, version, {"file_containing_symbol": services.OPEN_INFERENCE})
        pool = DescriptorPool()
        for file in reversed(answer.file_descriptor_response.file_descriptor_proto):
            pool.AddSerializedFile(file)
        method = pool.FindServiceByName(services.OPEN_INFERENCE).FindMethodByName("ServerMetadata")
        response_class: Any = GetMessageClass(method.output_type)

        call: Any = channel.unary_unary(f"/{services.OPEN_INFERENCE}/ServerMetadata")  # type: ignore[call-arg]
        assert response_class.FromString(await call(b"")).name == "rapide"

    async def test_files_symbols_and_extensions(self, channel: grpc.aio.Channel, version: Any) -> None:
        message = "inference.ModelInferRequest"
        by_name, numbers, extension = await self.ask(
            channel,
            version,
            {"file_by_filename": "open_inference.proto"},
            {"all_extension_numbers_of_type": message},
            {"file_containing_extension": version.ExtensionRequest(containing_type=message, extension_number=1)},
        )

        assert len(by_name.file_descriptor_response.file_descriptor_proto) == 2
        assert list(numbers.all_extension_numbers_response.extension_number) == []
        assert extension.error_response.error_code == 5

    async def test_what_is_unknown_is_an_answer_and_the_stream_goes_on(
        self, channel: grpc.aio.Channel, version: Any
    ) -> None:
        unknown, nothing, known = await self.ask(
            channel,
            version,
            {"file_containing_symbol": "no.such.Thing"},
            {},
            {"file_by_filename": "health.proto"},
        )

        assert unknown.error_response.error_code == 5
        assert "no.such.Thing" in unknown.error_response.error_message
        assert nothing.error_response.error_code == 3
        assert known.file_descriptor_response.file_descriptor_proto
