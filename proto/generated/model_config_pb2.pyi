"""Generated from model_config.proto by scripts/protos; do not edit."""

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
DataType: EnumTypeWrapper
TYPE_INVALID: int
TYPE_BOOL: int
TYPE_UINT8: int
TYPE_UINT16: int
TYPE_UINT32: int
TYPE_UINT64: int
TYPE_INT8: int
TYPE_INT16: int
TYPE_INT32: int
TYPE_INT64: int
TYPE_FP16: int
TYPE_FP32: int
TYPE_FP64: int
TYPE_STRING: int
TYPE_BF16: int

class ModelInput(Message):
    name: str
    data_type: int
    dims: RepeatedScalarFieldContainer[int]
    def __init__(self, *, name: str | None = ..., data_type: int | None = ..., dims: Iterable[int] | None = ...) -> None: ...

class ModelOutput(Message):
    name: str
    data_type: int
    dims: RepeatedScalarFieldContainer[int]
    def __init__(self, *, name: str | None = ..., data_type: int | None = ..., dims: Iterable[int] | None = ...) -> None: ...

class ModelInstanceGroup(Message):
    Kind: EnumTypeWrapper
    KIND_AUTO: int
    KIND_GPU: int
    KIND_CPU: int
    KIND_MODEL: int
    name: str
    count: int
    kind: int
    def __init__(self, *, name: str | None = ..., count: int | None = ..., kind: int | None = ...) -> None: ...

class ModelVersionPolicy(Message):
    class Latest(Message):
        num_versions: int
        def __init__(self, *, num_versions: int | None = ...) -> None: ...
    class All(Message):
        def __init__(self) -> None: ...
    class Specific(Message):
        versions: RepeatedScalarFieldContainer[int]
        def __init__(self, *, versions: Iterable[int] | None = ...) -> None: ...
    latest: ModelVersionPolicy.Latest
    all: ModelVersionPolicy.All
    specific: ModelVersionPolicy.Specific
    def __init__(self, *, latest: ModelVersionPolicy.Latest | None = ..., all: ModelVersionPolicy.All | None = ..., specific: ModelVersionPolicy.Specific | None = ...) -> None: ...
    def HasField(self, field_name: Literal["latest", "all", "specific", "policy_choice"]) -> bool: ...
    def WhichOneof(self, oneof_group: Literal["policy_choice"]) -> Literal["latest", "all", "specific"] | None: ...

class ModelQueuePolicy(Message):
    TimeoutAction: EnumTypeWrapper
    REJECT: int
    DELAY: int
    timeout_action: int
    default_timeout_microseconds: int
    allow_timeout_override: bool
    max_queue_size: int
    def __init__(self, *, timeout_action: int | None = ..., default_timeout_microseconds: int | None = ..., allow_timeout_override: bool | None = ..., max_queue_size: int | None = ...) -> None: ...

class ModelDynamicBatching(Message):
    preferred_batch_size: RepeatedScalarFieldContainer[int]
    max_queue_delay_microseconds: int
    preserve_ordering: bool
    default_queue_policy: ModelQueuePolicy
    def __init__(self, *, preferred_batch_size: Iterable[int] | None = ..., max_queue_delay_microseconds: int | None = ..., preserve_ordering: bool | None = ..., default_queue_policy: ModelQueuePolicy | None = ...) -> None: ...
    def HasField(self, field_name: Literal["default_queue_policy"]) -> bool: ...

class ModelParameter(Message):
    string_value: str
    def __init__(self, *, string_value: str | None = ...) -> None: ...

class ModelTransactionPolicy(Message):
    decoupled: bool
    def __init__(self, *, decoupled: bool | None = ...) -> None: ...

class ModelConfig(Message):
    name: str
    platform: str
    version_policy: ModelVersionPolicy
    max_batch_size: int
    input: RepeatedCompositeFieldContainer[ModelInput]
    output: RepeatedCompositeFieldContainer[ModelOutput]
    instance_group: RepeatedCompositeFieldContainer[ModelInstanceGroup]
    default_model_filename: str
    dynamic_batching: ModelDynamicBatching
    parameters: MessageMap[str, ModelParameter]
    backend: str
    model_transaction_policy: ModelTransactionPolicy
    def __init__(self, *, name: str | None = ..., platform: str | None = ..., version_policy: ModelVersionPolicy | None = ..., max_batch_size: int | None = ..., input: Iterable[ModelInput] | None = ..., output: Iterable[ModelOutput] | None = ..., instance_group: Iterable[ModelInstanceGroup] | None = ..., default_model_filename: str | None = ..., dynamic_batching: ModelDynamicBatching | None = ..., parameters: Mapping[str, ModelParameter] | None = ..., backend: str | None = ..., model_transaction_policy: ModelTransactionPolicy | None = ...) -> None: ...
    def HasField(self, field_name: Literal["version_policy", "dynamic_batching", "model_transaction_policy", "scheduling_choice"]) -> bool: ...
    def WhichOneof(self, oneof_group: Literal["scheduling_choice"]) -> Literal["dynamic_batching"] | None: ...
