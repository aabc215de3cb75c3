"""A user that speaks the Open Inference Protocol over gRPC, on a connection of its own."""

from __future__ import annotations

import itertools
import time
from typing import Any

import grpc
import grpc.experimental.gevent as grpc_gevent  # type: ignore[import-not-found]  # missing in grpc-stubs
from locust import task

from rapide.loadtests.payloads import describe_grpc
from rapide.loadtests.users.base import PredictionUser
from rapide.proto import services

# Locust's users are greenlets; without this, a call would block all of them. Before the first channel is made.
grpc_gevent.init_gevent()

CHANNEL_OPTIONS = (
    # Users are separate clients: without this, all of them would share one connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
)


class GrpcUser(PredictionUser):
    """Calls ModelInfer; every call is one request in locust's statistics, timed around the call itself."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.channel = grpc.insecure_channel(self.options.grpc, options=CHANNEL_OPTIONS)
        self.stub = services.stub(self.channel, services.OPEN_INFERENCE)

    def on_start(self) -> None:
        inputs = describe_grpc(self.stub, self.options.model, self.options.version, self.options.timeout_s)
        requests = [payload.to_protobuf() for payload in self.options.payloads(inputs)]
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
