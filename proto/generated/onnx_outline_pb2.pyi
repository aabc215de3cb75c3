"""Generated from onnx_outline.proto by scripts/protos; do not edit."""

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

class Model(Message):
    graph: Graph
    opset_import: RepeatedCompositeFieldContainer[OperatorSet]
    training_info: RepeatedCompositeFieldContainer[Training]
    functions: RepeatedCompositeFieldContainer[Function]
    def __init__(self, *, graph: Graph | None = ..., opset_import: Iterable[OperatorSet] | None = ..., training_info: Iterable[Training] | None = ..., functions: Iterable[Function] | None = ...) -> None: ...
    def HasField(self, field_name: Literal["graph"]) -> bool: ...

class OperatorSet(Message):
    domain: str
    version: int
    def __init__(self, *, domain: str | None = ..., version: int | None = ...) -> None: ...

class Training(Message):
    initialization: Graph
    algorithm: Graph
    def __init__(self, *, initialization: Graph | None = ..., algorithm: Graph | None = ...) -> None: ...
    def HasField(self, field_name: Literal["initialization", "algorithm"]) -> bool: ...

class Graph(Message):
    node: RepeatedCompositeFieldContainer[Node]
    initializer: RepeatedCompositeFieldContainer[Tensor]
    input: RepeatedCompositeFieldContainer[ValueInfo]
    output: RepeatedCompositeFieldContainer[ValueInfo]
    sparse_initializer: RepeatedCompositeFieldContainer[SparseTensor]
    def __init__(self, *, node: Iterable[Node] | None = ..., initializer: Iterable[Tensor] | None = ..., input: Iterable[ValueInfo] | None = ..., output: Iterable[ValueInfo] | None = ..., sparse_initializer: Iterable[SparseTensor] | None = ...) -> None: ...

class Function(Message):
    name: str
    input: RepeatedScalarFieldContainer[str]
    node: RepeatedCompositeFieldContainer[Node]
    domain: str
    attribute_proto: RepeatedCompositeFieldContainer[Attribute]
    overload: str
    def __init__(self, *, name: str | None = ..., input: Iterable[str] | None = ..., node: Iterable[Node] | None = ..., domain: str | None = ..., attribute_proto: Iterable[Attribute] | None = ..., overload: str | None = ...) -> None: ...

class Node(Message):
    input: RepeatedScalarFieldContainer[str]
    output: RepeatedScalarFieldContainer[str]
    op_type: str
    attribute: RepeatedCompositeFieldContainer[Attribute]
    domain: str
    overload: str
    def __init__(self, *, input: Iterable[str] | None = ..., output: Iterable[str] | None = ..., op_type: str | None = ..., attribute: Iterable[Attribute] | None = ..., domain: str | None = ..., overload: str | None = ...) -> None: ...

class Attribute(Message):
    name: str
    t: Tensor
    g: Graph
    ints: RepeatedScalarFieldContainer[int]
    tensors: RepeatedCompositeFieldContainer[Tensor]
    graphs: RepeatedCompositeFieldContainer[Graph]
    sparse_tensor: SparseTensor
    sparse_tensors: RepeatedCompositeFieldContainer[SparseTensor]
    def __init__(self, *, name: str | None = ..., t: Tensor | None = ..., g: Graph | None = ..., ints: Iterable[int] | None = ..., tensors: Iterable[Tensor] | None = ..., graphs: Iterable[Graph] | None = ..., sparse_tensor: SparseTensor | None = ..., sparse_tensors: Iterable[SparseTensor] | None = ...) -> None: ...
    def HasField(self, field_name: Literal["t", "g", "sparse_tensor"]) -> bool: ...

class Tensor(Message):
    dims: RepeatedScalarFieldContainer[int]
    data_type: int
    float_data: RepeatedScalarFieldContainer[float]
    int32_data: RepeatedScalarFieldContainer[int]
    string_data: RepeatedScalarFieldContainer[bytes]
    int64_data: RepeatedScalarFieldContainer[int]
    name: str
    raw_data: bytes
    double_data: RepeatedScalarFieldContainer[float]
    uint64_data: RepeatedScalarFieldContainer[int]
    external_data: RepeatedCompositeFieldContainer[StringEntry]
    data_location: int
    def __init__(self, *, dims: Iterable[int] | None = ..., data_type: int | None = ..., float_data: Iterable[float] | None = ..., int32_data: Iterable[int] | None = ..., string_data: Iterable[bytes] | None = ..., int64_data: Iterable[int] | None = ..., name: str | None = ..., raw_data: bytes | None = ..., double_data: Iterable[float] | None = ..., uint64_data: Iterable[int] | None = ..., external_data: Iterable[StringEntry] | None = ..., data_location: int | None = ...) -> None: ...

class StringEntry(Message):
    key: str
    value: str
    def __init__(self, *, key: str | None = ..., value: str | None = ...) -> None: ...

class SparseTensor(Message):
    values: Tensor
    indices: Tensor
    dims: RepeatedScalarFieldContainer[int]
    def __init__(self, *, values: Tensor | None = ..., indices: Tensor | None = ..., dims: Iterable[int] | None = ...) -> None: ...
    def HasField(self, field_name: Literal["values", "indices"]) -> bool: ...

class ValueInfo(Message):
    name: str
    type: Type
    def __init__(self, *, name: str | None = ..., type: Type | None = ...) -> None: ...
    def HasField(self, field_name: Literal["type"]) -> bool: ...

class Type(Message):
    tensor_type: TensorType
    def __init__(self, *, tensor_type: TensorType | None = ...) -> None: ...
    def HasField(self, field_name: Literal["tensor_type"]) -> bool: ...

class TensorType(Message):
    elem_type: int
    shape: Shape
    def __init__(self, *, elem_type: int | None = ..., shape: Shape | None = ...) -> None: ...
    def HasField(self, field_name: Literal["shape"]) -> bool: ...

class Shape(Message):
    dim: RepeatedCompositeFieldContainer[Dimension]
    def __init__(self, *, dim: Iterable[Dimension] | None = ...) -> None: ...

class Dimension(Message):
    dim_value: int
    dim_param: str
    def __init__(self, *, dim_value: int | None = ..., dim_param: str | None = ...) -> None: ...
