"""The row of the gRPC method table, and what a handler is: the contract of the gRPC doors.

Nothing here knows grpcio: whichever door reads the frames makes a CallContext, parses the message, calls the
method's handler, and writes what it gives.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError, Message

from rapide.proto import services
from rapide.server.context import CallContext
from rapide.server.errors import InvalidRequest
from rapide.server.service import InferenceService

Unary = Callable[[InferenceService, CallContext, Any], Awaitable[Message]]
"""(service, context, request message) → response message."""
ServerStream = Callable[[InferenceService, CallContext, Any], AsyncIterator[Message]]
"""(service, context, request message) → response messages."""
BothStream = Callable[[InferenceService, CallContext, AsyncIterator[bytes]], AsyncIterator[Message]]
"""(service, context, serialized request messages) → response messages. The handler parses, so that one bad message
need not end the stream."""


@dataclass(frozen=True, slots=True)
class Procedure:
    """One remote procedure and who answers it."""

    method: services.Method
    handler: Unary | ServerStream | BothStream
    infers: bool = False
    """Whether one call is one inference: counted as a request of the model by the door."""


def parse(message_class: type[Message], raw: bytes) -> Any:
    """The message in ``raw``. Raises InvalidRequest for anything else."""
    try:
        return message_class.FromString(raw)
    except DecodeError:
        name = message_class.DESCRIPTOR.name
        raise InvalidRequest(
            f"the {len(raw)} bytes received are no valid {name} message (truncated, or of another type)"
        ) from None
