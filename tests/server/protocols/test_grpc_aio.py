"""grpcio's server: what it is told, and what happens when its port is taken. What it answers is in
test_grpc.py."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from rapide.proto import open_inference_pb2 as pb
from rapide.proto import services
from rapide.server.context import CallContext
from rapide.server.errors import Unavailable
from rapide.server.protocols.grpc_aio import GrpcOptions, GrpcServer
from rapide.server.protocols.grpc_call import Procedure
from rapide.server.protocols.grpc_door import GrpcDoor
from rapide.server.settings import Settings

HOST = "127.0.0.1"
LIVE = next(method for method in services.methods(services.OPEN_INFERENCE) if method.name == "ServerLive")


class NoService:
    """Handlers of these tests need none."""


def server(options: GrpcOptions, *procedures: Procedure) -> GrpcServer:
    door = GrpcDoor(NoService(), lambda: "made")  # type: ignore[arg-type]
    return GrpcServer(door, options, procedures)


def test_options_in_grpcios_words() -> None:
    options = GrpcOptions.of(Settings(max_message_bytes=4096, max_concurrent_streams=7))

    arguments = dict(options.channel_arguments())

    assert arguments["grpc.max_receive_message_length"] == arguments["grpc.max_send_message_length"] == 4096
    assert arguments["grpc.max_concurrent_streams"] == 7
    assert arguments["grpc.so_reuseport"] == 1
    assert arguments["grpc.keepalive_time_ms"] == 7_200_000
    assert arguments["grpc.keepalive_timeout_ms"] == 20_000
    assert arguments["grpc.http2.min_ping_interval_without_data_ms"] == 10_000


async def test_a_port_that_is_taken() -> None:
    options = GrpcOptions(4096, 7, reuse_port=False)
    first, second = server(options), server(options)
    port = await first.start(HOST, 0)
    try:
        with pytest.raises(Unavailable, match=rf"cannot listen for gRPC on {HOST}:{port}"):
            await second.start(HOST, port)
    finally:
        await first.stop(0)


async def test_two_servers_share_a_port_where_asked_to() -> None:
    options = GrpcOptions(4096, 7)
    first, second = server(options), server(options)
    port = await first.start(HOST, 0)
    assert await second.start(HOST, port) == port
    await first.stop(0)
    await second.stop(0)


async def test_stopping_what_never_started() -> None:
    await server(GrpcOptions(4096, 7)).stop(0)


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
async def test_answers_may_be_compressed(compression: str) -> None:
    async def answer(_service: Any, _context: CallContext, _request: Any) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    running = server(GrpcOptions(4096, 7, compression=compression), Procedure(LIVE, answer))
    port = await running.start(HOST, 0)
    try:
        async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
            stub = services.stub(channel, services.OPEN_INFERENCE)
            assert (await stub.ServerLive(pb.ServerLiveRequest())).live
    finally:
        await running.stop(0)


async def test_an_unexpected_error_is_internal_and_says_only_the_request_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(_service: Any, _context: CallContext, _request: Any) -> pb.ServerLiveResponse:
        raise KeyError("/a/private/path")

    running = server(GrpcOptions(4096, 7), Procedure(LIVE, fail))
    port = await running.start(HOST, 0)
    try:
        async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
            stub = services.stub(channel, services.OPEN_INFERENCE)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.ServerLive(pb.ServerLiveRequest())
    finally:
        await running.stop(0)

    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert caught.value.details() == "internal error; the server's log has the details under request id made"
    assert "/a/private/path" in caplog.text
