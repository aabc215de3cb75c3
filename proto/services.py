"""Services as data: what each method is called on the wire, and what it takes and gives.

Servers build their method tables from this, and clients their stubs, so that no generated service code is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from rapide.proto.generated import (  # noqa: F401 - importing registers the services
    health_pb2,
    open_inference_pb2,
    predict_pb2,
    reflection_v1_pb2,
    reflection_v1alpha_pb2,
)
from rapide.proto.pool import POOL

OPEN_INFERENCE = "inference.GRPCInferenceService"
PREDICT = "rapide.v1.PredictService"
HEALTH = "grpc.health.v1.Health"
REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"
REFLECTION_V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"


@dataclass(frozen=True, slots=True)
class Method:
    """One remote procedure. ``path`` is the HTTP/2 ``:path``, such as ``/grpc.health.v1.Health/Check``."""

    path: str
    name: str
    request_class: type[Message]
    response_class: type[Message]
    client_streaming: bool
    server_streaming: bool

    @property
    def kind(self) -> str:
        """``unary_unary``, ``unary_stream``, ``stream_unary`` or ``stream_stream``: gRPC's name for its shape."""
        sides = ("stream" if self.client_streaming else "unary", "stream" if self.server_streaming else "unary")
        return "_".join(sides)


def methods(service: str) -> tuple[Method, ...]:
    """The methods of a service, by its full name (one of the constants above), in the order of the ``.proto``.

    Raises KeyError when no such service is registered.
    """
    return tuple(
        Method(
            path=f"/{service}/{method.name}",
            name=method.name,
            request_class=GetMessageClass(method.input_type),
            response_class=GetMessageClass(method.output_type),
            client_streaming=method.client_streaming,
            server_streaming=method.server_streaming,
        )
        for method in POOL.FindServiceByName(service).methods
    )


def stub(channel: Any, service: str) -> Any:
    """A client of ``service`` over a ``grpc.Channel`` or ``grpc.aio.Channel``: one callable for each method."""
    return SimpleNamespace(
        **{
            method.name: getattr(channel, method.kind)(
                method.path,
                request_serializer=method.request_class.SerializeToString,
                response_deserializer=method.response_class.FromString,
            )
            for method in methods(service)
        }
    )
