"""What all gRPC calls have in common, whichever server reads the frames: context, parsing, handler, failure,
metadata.

``grpc_aio.py`` is grpcio's server in front of it. A door of another kind needs only what is here and the method
table.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from rapide.server.context import CallContext
from rapide.server.errors import RapideError
from rapide.server.protocols.callers import Ids, begin_call
from rapide.server.protocols.grpc_call import BothStream, Procedure, ServerStream, Unary, parse
from rapide.server.protocols.grpc_details import details
from rapide.server.protocols.status import OK, refused, retry_after_s, status_of, text_of
from rapide.server.service import InferenceService


@dataclass(frozen=True, slots=True)
class Failure:
    """How a call ends that has no answer. ``trailers`` are lower-case names and texts."""

    code: int
    """As in ``google.rpc.Code``."""
    text: str
    trailers: tuple[tuple[str, str], ...] = ()
    details: bytes = b""
    """``google.rpc.Status`` (grpc_details.py)."""

    @classmethod
    def of(cls, error: RapideError) -> Failure:
        wait_s = retry_after_s(error)
        # What gRPC's retry policies read (gRFC A6, "pushback").
        trailers = () if wait_s is None else (("grpc-retry-pushback-ms", str(wait_s * 1000)),)
        status, text = status_of(error), text_of(error)
        return cls(status.grpc, text, trailers, details(status.grpc, text, status.name, wait_s))


class GrpcDoor:
    """Turns request messages into response messages; raises nothing but RapideError and cancellation."""

    def __init__(self, service: InferenceService, ids: Ids) -> None:
        self._service = service
        self.ids = ids

    def context(self, metadata: Mapping[str, str], remaining_s: float | None) -> CallContext:
        """The context of a call that begins now; ``remaining_s`` is what ``grpc-timeout`` leaves."""
        return begin_call("grpc", metadata, self.ids, time.monotonic(), remaining_s)

    async def unary(self, procedure: Procedure, context: CallContext, raw: bytes) -> bytes:
        """One message for one message."""
        code = OK
        try:
            context.payload_bytes = len(raw)
            message = parse(procedure.method.request_class, raw)
            answer = await cast("Unary", procedure.handler)(self._service, context, message)
            return answer.SerializeToString()
        except BaseException as error:
            told = refused(error, context)
            code = status_of(told).name
            if not isinstance(error, Exception):
                raise
            raise told from error
        finally:
            if procedure.infers:
                self._service.finished(context, code)

    async def stream(
        self, procedure: Procedure, context: CallContext, received: bytes | AsyncIterator[bytes]
    ) -> AsyncGenerator[bytes, None]:
        """Many messages for one message, or for many."""
        try:
            given: Any = (
                parse(procedure.method.request_class, received) if isinstance(received, bytes) else received
            )
            answers = cast("ServerStream | BothStream", procedure.handler)(self._service, context, given)
            async with aclosing(cast("Any", answers)):
                async for answer in answers:
                    yield answer.SerializeToString()
        except Exception as error:
            raise refused(error, context) from error
