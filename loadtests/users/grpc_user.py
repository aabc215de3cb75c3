"""A user that speaks the Open Inference Protocol over gRPC, on a connection of its own."""

from __future__ import annotations

import itertools
import time
from functools import cache
from typing import Any

import grpc
import grpc.experimental.gevent as grpc_gevent  # type: ignore[import-not-found]  # missing in grpc-stubs
from locust import task

from rapide.loadtests.payloads import Payload, describe_grpc
from rapide.loadtests.users.base import PredictionUser
from rapide.loadtests.users.plan import Options, Unprepared
from rapide.proto import services

# Locust's users are greenlets; without this, a call would block all of them. Before the first channel is made.
grpc_gevent.init_gevent()

CHANNEL_OPTIONS = (
    # Users are separate clients: without this, all of them would share one connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
)


@cache
def _payloads(options: Options) -> list[Payload]:
    with grpc.insecure_channel(options.grpc, options=CHANNEL_OPTIONS) as channel:
        stub = services.stub(channel, services.OPEN_INFERENCE)
        try:
            inputs = describe_grpc(stub, options.model, options.version, options.timeout_s)
        except grpc.RpcError as error:
            raise Unprepared(_told(options.grpc, error.code(), error.details() or "")) from None
    return options.payloads(inputs)


def _told(address: str, code: grpc.StatusCode, text: str) -> str:
    """The server's own words, unless they are those of the library that did not reach it."""
    lost = code is grpc.StatusCode.UNAVAILABLE and "failed to connect" in text.lower()
    if lost or code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"cannot reach {address} over gRPC: {text}."
    return text or f"{address} answered {code.name} when asked about the model."


class GrpcUser(PredictionUser):
    """Calls ModelInfer; every call is one request in locust's statistics, timed around the call itself."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.channel = grpc.insecure_channel(self.options.grpc, options=CHANNEL_OPTIONS)
        self.stub = services.stub(self.channel, services.OPEN_INFERENCE)

    @classmethod
    def prepare(cls, _host: str) -> list[Payload]:
        """The host is HTTP's; gRPC's address is an option of its own."""
        return _payloads(cls.options)

    def on_start(self) -> None:
        requests = [payload.to_protobuf() for payload in self.prepare(self.host or "")]
        self.name = f"{self.options.model} (grpc)"
        self.requests = itertools.cycle(requests)

    def on_stop(self) -> None:
        self.channel.close()

    @task
    def infer(self) -> None:
        key = next(self.keys)
        metadata = (("rapide-user-key", key),) if key else None
        request = next(self.requests)
        error: Exception | None = None
        length_bytes = 0
        start_s = time.perf_counter()
        try:
            answer = self.stub.ModelInfer(request, timeout=self.options.timeout_s, metadata=metadata)
        except grpc.RpcError as failure:
            error = RuntimeError(f"{failure.code().name}: {(failure.details() or '')[:200]}")
        took_ms = (time.perf_counter() - start_s) * 1000
        if error is None:
            length_bytes = answer.ByteSize()
            if not answer.outputs:
                error = RuntimeError("an answer without outputs")
        self.environment.events.request.fire(
            request_type="grpc",
            name=self.name,
            response_time=took_ms,
            response_length=length_bytes,
            exception=error,
            context=self.context(),
        )
