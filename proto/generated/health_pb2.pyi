"""Generated from health.proto by scripts/protos; do not edit."""

from collections.abc import Iterable, Mapping
from typing import Literal

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.internal.containers import (
    MessageMap,
    RepeatedCompositeFieldContainer,
    RepeatedScalarFieldContainer,
    ScalarMap,
)
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import Message

DESCRIPTOR: FileDescriptor

class HealthCheckRequest(Message):
    service: str
    def __init__(self, *, service: str | None = ...) -> None: ...

class HealthCheckResponse(Message):
    ServingStatus: EnumTypeWrapper
    UNKNOWN: int
    SERVING: int
    NOT_SERVING: int
    SERVICE_UNKNOWN: int
    status: int
    def __init__(self, *, status: int | None = ...) -> None: ...

class HealthListRequest(Message):
    def __init__(self) -> None: ...

class HealthListResponse(Message):
    statuses: MessageMap[str, HealthCheckResponse]
    def __init__(self, *, statuses: Mapping[str, HealthCheckResponse] | None = ...) -> None: ...
