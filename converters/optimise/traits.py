"""What a graph is made of, as far as recipes care."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto, TensorProto

TREES = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"})
LINEAR_ML = frozenset(
    {"LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor", "Scaler", "Normalizer"}
)
PRODUCTS = frozenset({"MatMul", "Gemm"})
CONVOLUTIONS = frozenset({"Conv"})
RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_FLOAT_BYTES: dict[int, int] = {
    TensorProto.FLOAT: 4,
    TensorProto.DOUBLE: 8,
    TensorProto.FLOAT16: 2,
    TensorProto.BFLOAT16: 2,
}


@dataclass(frozen=True, slots=True)
class Traits:
    """``operators``: how often each occurs. ``float_weight_bytes``: of all floating-point constants."""

    operators: Counter[str]
    float_weight_bytes: int
    trees: int

    @classmethod
    def of(cls, model: ModelProto) -> Traits:
        trees = 0
        for node in model.graph.node:
            if node.op_type in TREES:
                ids = next((a.ints for a in node.attribute if a.name == "nodes_treeids"), ())
                trees += len(set(ids))
        return cls(
            Counter(node.op_type for node in model.graph.node),
            sum(_float_bytes(tensor) for tensor in model.graph.initializer),
            trees,
        )

    def has(self, operators: frozenset[str]) -> bool:
        return any(name in self.operators for name in operators)

    @property
    def why_no_kernel(self) -> str:
        """Why no int8 kernel would be used, in words; empty where there is one."""
        if self.has(PRODUCTS | CONVOLUTIONS | RECURRENT):
            return ""
        if self.has(TREES):
            return "the runtime has no int8 kernel for trees: they compare and add, and multiply nothing"
        if self.has(LINEAR_ML):
            return "the runtime has no int8 kernel for the linear operators of ai.onnx.ml"
        return "the graph has no matrix product, convolution or recurrent layer: int8 kernels are for these"

    def to_json(self) -> dict[str, Any]:
        return {
            "nodes": sum(self.operators.values()),
            "operators": dict(self.operators.most_common()),
            "float_weight_bytes": self.float_weight_bytes,
            "trees": self.trees,
        }


def _float_bytes(tensor: TensorProto) -> int:
    return math.prod(tensor.dims) * _FLOAT_BYTES.get(int(tensor.data_type), 0)
