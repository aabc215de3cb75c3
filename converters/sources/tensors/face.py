"""What a graph takes and gives, read from the graph itself."""

from __future__ import annotations

from onnx import GraphProto, ModelProto, ValueInfoProto

from rapide.converters.errors import ConversionError
from rapide.converters.sources.contract import TensorInput
from rapide.converters.surgery import BATCH, DATATYPES


def tensor_inputs(model: ModelProto) -> tuple[TensorInput, ...]:
    """The inputs; those that are only defaults of constants are none. Raises ConversionError for an input that no
    client could send."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return tuple(_tensor_input(value) for value in model.graph.input if value.name not in constants)


def name_batch(graph: GraphProto) -> None:
    """Calls dimension 0 of every input and output by one name, in place."""
    for value in (*graph.input, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if dimensions:
            dimensions[0].ClearField("dim_value")
            dimensions[0].dim_param = BATCH


def axes(value: ValueInfoProto) -> tuple[int | str, ...]:
    """Of each dimension its size, or a name."""
    dimensions = value.type.tensor_type.shape.dim
    return tuple(
        dimension.dim_value if dimension.HasField("dim_value") else dimension.dim_param or f"dimension {position}"
        for position, dimension in enumerate(dimensions)
    )


def _tensor_input(value: ValueInfoProto) -> TensorInput:
    datatype = DATATYPES.get(value.type.tensor_type.elem_type)
    if datatype is None or not value.type.tensor_type.HasField("shape"):
        raise ConversionError(
            f"input {value.name!r} is no tensor of numbers or texts with a known rank, which is all that requests "
            "can carry"
        )
    return TensorInput(value.name, datatype, axes(value))
