"""What a graph may say of itself, and what a manifest may say of a graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from rapide.server.errors import BrokenVersion
from rapide.server.model.graph import GraphTensor, check_agreement
from rapide.server.signature import DataType, Signature, TensorSpec


@dataclass
class Argument:
    name: str
    type: str
    shape: list[Any] = field(default_factory=list)


def graph_tensor(name: str, *dims: int | str | None, datatype: DataType = DataType.FP32) -> GraphTensor:
    return GraphTensor(name, datatype, dims)


def spec(name: str, *shape: int, datatype: DataType = DataType.FP32) -> TensorSpec:
    return TensorSpec(name, datatype, shape)


@pytest.mark.parametrize(
    ("shape", "dims", "sizes", "has_rows"),
    [
        (["N", 3], ("N", 3), (-1, 3), True),
        ([None, 3], (None, 3), (-1, 3), True),
        ([-1, 3], (None, 3), (-1, 3), True),
        ([1, "T"], (1, "T"), (1, -1), False),
        ([0], (0,), (0,), False),
        ([], (), (), False),
    ],
)
def test_dimensions(shape: list[Any], dims: tuple[Any, ...], sizes: tuple[int, ...], has_rows: bool) -> None:
    tensor = GraphTensor.of(Argument("x", "tensor(float)", shape))
    assert (tensor.dims, tensor.spec.shape, tensor.has_rows) == (dims, sizes, has_rows)


def test_what_the_protocol_cannot_carry_is_refused_with_advice() -> None:
    with pytest.raises(BrokenVersion, match=r"'p' is a seq\(map\(int64,tensor\(float\)\)\).* zipmap=False"):
        GraphTensor.of(Argument("p", "seq(map(int64,tensor(float)))"))
    with pytest.raises(BrokenVersion, match=r"'q' is a tensor\(float8e4m3fn\), which no request can carry$"):
        GraphTensor.of(Argument("q", "tensor(float8e4m3fn)"))


INPUTS = (graph_tensor("x", "N", 4), graph_tensor("t", "N", "T", datatype=DataType.BYTES))
OUTPUTS = (graph_tensor("y", "N", 3), graph_tensor("z"))
X, T, Y = spec("x", -1, 4), spec("t", -1, -1, datatype=DataType.BYTES), spec("y", -1, 3)


@pytest.mark.parametrize(
    "signature",
    [
        Signature((X, T), (Y,), batchable=True),
        Signature((T, X), (Y,), batchable=True),
        Signature((X, spec("t", -1, 8, datatype=DataType.BYTES)), (Y,), batchable=True),
        Signature((X, T), (spec("z", -1, 7), Y), batchable=True),
        Signature((X, T), (spec("z"), Y), batchable=False),
    ],
    ids=["as it is", "inputs in another order", "a size made precise", "an undeclared output", "not batchable"],
)
def test_agreement(signature: Signature) -> None:
    check_agreement(signature, INPUTS, OUTPUTS)


@pytest.mark.parametrize(
    ("signature", "fault"),
    [
        (Signature((X,), (Y,), True), "does not know the graph's input 't'"),
        (Signature((X, T, spec("w", -1)), (Y,), True), "has an input 'w'; the graph has none"),
        (Signature((X, T), (spec("w", -1),), True), "has an output 'w'; the graph has none"),
        (Signature((X, spec("t", -1, -1)), (Y,), True), "input 't' is FP32; in the graph it is BYTES"),
        (Signature((spec("x", -1, 5), T), (Y,), True), r"'x' has shape \[-1, 5\]; in the graph it has \[-1, 4\]"),
        (Signature((spec("x", -1, -1), T), (Y,), True), r"'x' has shape \[-1, -1\]; in the graph it has"),
        (Signature((spec("x", -1), T), (Y,), True), r"'x' has shape \[-1\]; in the graph it has"),
        (Signature((X, T), (spec("y", -1, 2),), True), r"output 'y' has shape \[-1, 2\]"),
        (Signature((spec("x", 1, 4), T), (Y,), True), r"rows may be merged, but 'x' has shape \[1, 4\]"),
    ],
)
def test_disagreement(signature: Signature, fault: str) -> None:
    with pytest.raises(BrokenVersion, match=fault):
        check_agreement(signature, INPUTS, OUTPUTS)


def test_without_inputs_there_are_no_rows_to_merge() -> None:
    with pytest.raises(BrokenVersion, match="no input to have rows"):
        check_agreement(Signature((), (Y,), batchable=True), (), OUTPUTS)
