"""Generated from rapide/v1/predict.proto by scripts/protos; do not edit."""

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

class PredictRequest(Message):
    model: str
    version: str
    label: str
    user_key: str
    request_id: str
    columns: MessageMap[str, Column]
    def __init__(self, *, model: str | None = ..., version: str | None = ..., label: str | None = ..., user_key: str | None = ..., request_id: str | None = ..., columns: Mapping[str, Column] | None = ...) -> None: ...

class PredictResponse(Message):
    model: str
    version: str
    label: str
    request_id: str
    columns: MessageMap[str, Column]
    def __init__(self, *, model: str | None = ..., version: str | None = ..., label: str | None = ..., request_id: str | None = ..., columns: Mapping[str, Column] | None = ...) -> None: ...

class Column(Message):
    floats: Floats
    integers: Integers
    strings: Strings
    booleans: Booleans
    missing: RepeatedScalarFieldContainer[int]
    values_per_row: int
    def __init__(self, *, floats: Floats | None = ..., integers: Integers | None = ..., strings: Strings | None = ..., booleans: Booleans | None = ..., missing: Iterable[int] | None = ..., values_per_row: int | None = ...) -> None: ...
    def HasField(self, field_name: Literal["floats", "integers", "strings", "booleans", "kind"]) -> bool: ...
    def WhichOneof(self, oneof_group: Literal["kind"]) -> Literal["floats", "integers", "strings", "booleans"] | None: ...

class Floats(Message):
    values: RepeatedScalarFieldContainer[float]
    def __init__(self, *, values: Iterable[float] | None = ...) -> None: ...

class Integers(Message):
    values: RepeatedScalarFieldContainer[int]
    def __init__(self, *, values: Iterable[int] | None = ...) -> None: ...

class Strings(Message):
    values: RepeatedScalarFieldContainer[str]
    def __init__(self, *, values: Iterable[str] | None = ...) -> None: ...

class Booleans(Message):
    values: RepeatedScalarFieldContainer[bool]
    def __init__(self, *, values: Iterable[bool] | None = ...) -> None: ...
