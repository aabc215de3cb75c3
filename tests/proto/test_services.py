"""Method tables and stubs made from descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import pytest

from rapide.proto import health_pb2, services


def test_methods_say_path_classes_and_shape() -> None:
    watch = {method.name: method for method in services.methods(services.HEALTH)}["Watch"]
    assert watch.path == "/grpc.health.v1.Health/Watch"
    assert watch.kind == "unary_stream"
    assert watch.request_class is health_pb2.HealthCheckRequest
    assert watch.response_class is health_pb2.HealthCheckResponse


@pytest.mark.parametrize(
    ("service", "count"),
    [
        (services.OPEN_INFERENCE, 20),
        (services.PREDICT, 1),
        (services.HEALTH, 3),
        (services.REFLECTION_V1, 1),
        (services.REFLECTION_V1ALPHA, 1),
    ],
)
def test_every_service_is_registered(service: str, count: int) -> None:
    assert len(services.methods(service)) == count


def test_an_unknown_service_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        services.methods("no.Such")


class FakeChannel:
    """Keeps what it is asked to call and answers with the request's own bytes read as a response."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def unary_unary(self, path: str, request_serializer: object, response_deserializer: object) -> object:
        self.paths.append(path)
        return lambda request: response_deserializer(request_serializer(request))  # type: ignore[operator]

    unary_stream = unary_unary


def test_a_stub_has_one_callable_for_each_method() -> None:
    channel = FakeChannel()
    client = services.stub(channel, services.HEALTH)
    assert channel.paths == [f"/grpc.health.v1.Health/{name}" for name in ("Check", "List", "Watch")]
    answer = client.Check(health_pb2.HealthCheckRequest())
    assert isinstance(answer, health_pb2.HealthCheckResponse)


def test_a_stub_works_over_a_real_channel() -> None:
    check = services.methods(services.HEALTH)[0]

    def answer(request: object, context: object) -> object:
        return health_pb2.HealthCheckResponse(status=1)

    handler = grpc.unary_unary_rpc_method_handler(
        answer, check.request_class.FromString, check.response_class.SerializeToString
    )
    with serving({"Check": handler}) as address, grpc.insecure_channel(address) as channel:
        assert services.stub(channel, services.HEALTH).Check(health_pb2.HealthCheckRequest()).status == 1


@contextmanager
def serving(handlers: dict[str, grpc.RpcMethodHandler]) -> Iterator[str]:
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(services.HEALTH, handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()
