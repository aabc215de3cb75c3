"""What a graph says of its inputs and outputs, as values; and whether a manifest agrees with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rapide.server.errors import BrokenVersion
from rapide.server.signature import DYNAMIC, DataType, Signature, TensorSpec

_DATATYPES: Mapping[str, DataType] = {
    "tensor(bool)": DataType.BOOL,
    "tensor(uint8)": DataType.UINT8,
    "tensor(uint16)": DataType.UINT16,
    "tensor(uint32)": DataType.UINT32,
    "tensor(uint64)": DataType.UINT64,
    "tensor(int8)": DataType.INT8,
    "tensor(int16)": DataType.INT16,
    "tensor(int32)": DataType.INT32,
    "tensor(int64)": DataType.INT64,
    "tensor(float16)": DataType.FP16,
    "tensor(bfloat16)": DataType.BF16,
    "tensor(float)": DataType.FP32,
    "tensor(double)": DataType.FP64,
    "tensor(string)": DataType.BYTES,
}
"""ONNX Runtime's names of types → the protocol's. What is missing here the protocol cannot carry."""


class GraphArgument(Protocol):
    """An input or output as ONNX Runtime describes it (``NodeArg``)."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> Sequence[Any]:
        """Of each dimension its size, its name, or None. Empty for a scalar, and where nothing is known."""
        ...


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """An input or output of a graph. A dimension is a size, or the name of a dynamic one (None: unnamed)."""

    name: str
    datatype: DataType
    dims: tuple[int | str | None, ...]

    @classmethod
    def of(cls, argument: GraphArgument) -> GraphTensor:
        """Raises BrokenVersion for a type that the protocol cannot carry."""
        datatype = _DATATYPES.get(argument.type)
        if datatype is None:
            hint = "Convert it with zipmap=False." if "map(" in argument.type else ""
            raise BrokenVersion(f"{argument.name!r} is a {argument.type}, which no request can carry", hint=hint)
        return cls(argument.name, datatype, tuple(_dim(size) for size in argument.shape))

    @property
    def has_rows(self) -> bool:
        """Whether its first dimension is dynamic."""
        return bool(self.dims) and not isinstance(self.dims[0], int)

    @property
    def spec(self) -> TensorSpec:
        sizes = tuple(size if isinstance(size, int) else DYNAMIC for size in self.dims)
        return TensorSpec(self.name, self.datatype, sizes)


def _dim(size: object) -> int | str | None:
    if isinstance(size, int):
        return size if size >= 0 else None
    return str(size) if size is not None else None


def check_agreement(signature: Signature, inputs: Sequence[GraphTensor], outputs: Sequence[GraphTensor]) -> None:
    """Raises BrokenVersion unless the manifest's ``signature`` describes the graph.

    All inputs in any order, outputs in any order and number; names and datatypes equal; a size may be stated where
    the graph leaves it dynamic, never the other way round.
    """
    _check_specs("input", signature.inputs, inputs)
    _check_specs("output", signature.outputs, outputs)
    missing = {tensor.name for tensor in inputs} - {spec.name for spec in signature.inputs}
    if missing:
        raise BrokenVersion(f"its manifest does not know the graph's input {min(missing)!r}")
    if signature.batchable and not signature.inputs:
        raise BrokenVersion("its manifest says that rows may be merged, but there is no input to have rows")
    if signature.batchable:
        for spec in (*signature.inputs, *signature.outputs):
            if spec.shape[:1] != (DYNAMIC,):
                raise BrokenVersion(
                    f"its manifest says that rows may be merged, but {spec.name!r} has shape {list(spec.shape)}"
                )


def _check_specs(what: str, specs: Iterable[TensorSpec], tensors: Sequence[GraphTensor]) -> None:
    by_name = {tensor.name: tensor for tensor in tensors}
    for spec in specs:
        tensor = by_name.get(spec.name)
        if tensor is None:
            raise BrokenVersion(f"its manifest has an {what} {spec.name!r}; the graph has none of that name")
        if tensor.datatype is not spec.datatype:
            raise BrokenVersion(
                f"its manifest says that {what} {spec.name!r} is {spec.datatype}; "
                f"in the graph it is {tensor.datatype}"
            )
        # An output without a declared shape has no dims: nothing to compare.
        if (what == "input" or tensor.dims) and not _is_within(spec.shape, tensor.spec.shape):
            raise BrokenVersion(
                f"its manifest says that {what} {spec.name!r} has shape {list(spec.shape)}; "
                f"in the graph it has {list(tensor.spec.shape)}"
            )


def _is_within(shape: tuple[int, ...], graph: tuple[int, ...]) -> bool:
    return len(shape) == len(graph) and all(
        size in (DYNAMIC, said) for said, size in zip(shape, graph, strict=True)
    )
