"""The gRPC door on grpcio's asyncio server: the reference engine.

Messages cross it as bytes, so that parsing and its errors are the door's own, and one generic handler finds the
method in a dict.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from rapide.server.context import CallContext
from rapide.server.errors import RapideError, Unavailable
from rapide.server.protocols.callers import Ids, answer_headers
from rapide.server.protocols.grpc_call import Procedure
from rapide.server.protocols.grpc_details import NAME as DETAILS
from rapide.server.protocols.grpc_door import Failure, GrpcDoor
from rapide.server.protocols.grpc_methods import PROCEDURES
from rapide.server.service import InferenceService
from rapide.server.settings import Settings
from rapide.server.telemetry.request_ids import request_ids
from rapide.server.tls import Tls

_CODES: Final[Mapping[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}
_COMPRESSIONS: Final[Mapping[str, grpc.Compression]] = {
    "none": grpc.Compression.NoCompression,
    "deflate": grpc.Compression.Deflate,
    "gzip": grpc.Compression.Gzip,
}


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """What grpcio's server is told."""

    max_message_bytes: int
    max_concurrent_streams: int
    reuse_port: bool = True
    """Several workers share the port, and the kernel spreads connections over them."""
    compression: str = "none"
    """Of answers: ``none``, ``deflate`` or ``gzip``. Requests may always be compressed. Small answers only get
    slower by it, and callers cannot tell the server what they would like."""
    keepalive_time_s: float = 7200.0
    """How long a connection may be silent before the server asks whether its peer lives: TCP's own default."""
    keepalive_timeout_s: float = 20.0
    """How long it may take to answer that; gRPC's default."""
    max_age_s: float = 0.0
    """Age at which a connection is asked to come again; 0: never."""
    least_ping_interval_s: float = 10.0
    """How often a client may ask the same. gRPC's default of 5 minutes ends connections of clients that were told
    to ping every 10 s or more, as is common behind load balancers."""

    @classmethod
    def of(cls, settings: Settings) -> GrpcOptions:
        return cls(
            settings.max_message_bytes, settings.max_concurrent_streams, max_age_s=settings.max_connection_age_s
        )

    def channel_arguments(self) -> list[tuple[str, int]]:
        """In grpcio's words (grpc/impl/channel_arg_names.h)."""
        age = [("grpc.max_connection_age_ms", int(self.max_age_s * 1000))] if self.max_age_s else []
        return [
            *age,
            ("grpc.so_reuseport", int(self.reuse_port)),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_concurrent_streams", self.max_concurrent_streams),
            ("grpc.keepalive_time_ms", int(self.keepalive_time_s * 1000)),
            ("grpc.keepalive_timeout_ms", int(self.keepalive_timeout_s * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", int(self.least_ping_interval_s * 1000)),
        ]


class GrpcServer:
    """grpcio's server with our methods. One event loop: the one that ``start`` is awaited on."""

    def __init__(self, door: GrpcDoor, options: GrpcOptions, procedures: Iterable[Procedure] = PROCEDURES) -> None:
        self._door = door
        self._options = options
        self._procedures = tuple(procedures)
        self._server: grpc.aio.Server | None = None

    async def start(self, host: str, port: int, *, tls: Tls | None = None) -> int:
        """Listens; port 0 takes a free one. Returns the port. Raises Unavailable where it is taken."""
        server = grpc.aio.server(
            options=self._options.channel_arguments(), compression=_COMPRESSIONS[self._options.compression]
        )
        server.add_generic_rpc_handlers((_Methods(self._door, self._procedures),))
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                bound = server.add_insecure_port(address)
            else:
                bound = server.add_secure_port(address, _credentials(tls))
        except RuntimeError as error:
            raise Unavailable(f"cannot listen for gRPC on {address}: {error}") from None
        await server.start()
        self._server = server
        return bound

    async def stop(self, grace_s: float) -> None:
        """Refuses new calls (GOAWAY), and cancels those that are not answered within ``grace_s``."""
        if self._server is not None:
            await self._server.stop(grace_s)


def build_grpc_server(
    service: InferenceService, options: GrpcOptions | None = None, ids: Ids | None = None
) -> GrpcServer:
    """The server for ``service``; nothing listens before ``start``."""
    return GrpcServer(GrpcDoor(service, ids or request_ids()), options or GrpcOptions.of(service.settings))


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    pair = (tls.key, tls.certificate)
    return grpc.ssl_server_credentials([pair], tls.client_ca, require_client_auth=tls.client_ca is not None)


class _Methods(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs alone
    """Path → grpcio's handler."""

    def __init__(self, door: GrpcDoor, procedures: Iterable[Procedure]) -> None:
        self._handlers = {procedure.method.path: _handler(door, procedure) for procedure in procedures}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)


def _handler(door: GrpcDoor, procedure: Procedure) -> grpc.RpcMethodHandler[Any, Any]:
    # No (de)serializers: bytes in, bytes out.
    if procedure.method.kind == "unary_unary":
        return grpc.unary_unary_rpc_method_handler(_unary(door, procedure))
    behaviour = _stream(door, procedure)
    if procedure.method.kind == "unary_stream":
        return grpc.unary_stream_rpc_method_handler(behaviour)
    return grpc.stream_stream_rpc_method_handler(behaviour)


def _unary(door: GrpcDoor, procedure: Procedure) -> Any:
    async def behaviour(raw: bytes, call: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        context = door.context(dict(call.invocation_metadata() or ()), call.time_remaining())
        try:
            answer = await door.unary(procedure, context, raw)
        except RapideError as error:
            await _refuse(call, context, error)
        await call.send_initial_metadata(answer_headers(context))
        return answer

    return behaviour


def _stream(door: GrpcDoor, procedure: Procedure) -> Any:
    async def behaviour(
        received: bytes | AsyncIterator[bytes], call: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        context = door.context(dict(call.invocation_metadata() or ()), call.time_remaining())
        await call.send_initial_metadata(answer_headers(context))
        answers = door.stream(procedure, context, received)
        try:
            async with aclosing(answers):
                async for answer in answers:
                    yield answer
        except RapideError as error:
            failure = Failure.of(error)
            await call.abort(_CODES[failure.code], failure.text, _trailers(failure))

    return behaviour


async def _refuse(
    call: grpc.aio.ServicerContext[bytes, bytes], context: CallContext, error: RapideError
) -> NoReturn:
    failure = Failure.of(error)
    await call.send_initial_metadata(answer_headers(context))
    await call.abort(_CODES[failure.code], failure.text, _trailers(failure))


def _trailers(failure: Failure) -> tuple[tuple[str, str | bytes], ...]:
    return (*failure.trailers, (DETAILS, failure.details)) if failure.details else failure.trailers
