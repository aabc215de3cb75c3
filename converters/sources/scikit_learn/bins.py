"""KBinsDiscretizer as scikit-learn decides it: a number's bin is how many inner edges it has reached.

skl2onnx compares with both ends of every bin, in single precision, and puts numbers on an edge elsewhere. Where
the graph takes float32, edges are rounded *up*: ``x >= edge`` holds for a float32 ``x`` exactly when
``x >= ceil32(edge)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common._apply_operation import apply_cast, apply_concat
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.preprocessing import KBinsDiscretizer

from rapide.converters.sources.scikit_learn.nodes import add_constant, add_node, columns_of
from rapide.server.tensors import Array


def register() -> None:
    """Takes the place of skl2onnx's converter, in this process."""
    update_registered_converter(KBinsDiscretizer, "SklearnKBinsDiscretizer", _shape, _convert, overwrite=True)


def ceil32(values: Array) -> Array:
    """The least float32 that is not below each float64 value."""
    narrow = values.astype(np.float32)
    above = np.nextafter(narrow, np.float32(np.inf))
    raised: Array = np.where(narrow.astype(np.float64) < values, above, narrow)
    return raised


def _shape(operator: Any) -> None:
    binner = operator.raw_operator
    width = len(binner.n_bins_) if binner.encode == "ordinal" else int(np.sum(binner.n_bins_))
    operator.outputs[0].type = FloatTensorType([operator.inputs[0].get_first_dimension(), width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    binner = operator.raw_operator
    parts = []
    for (name, kind), edges in zip(columns_of(scope, operator, container), binner.bin_edges_, strict=True):
        position = _position(scope, container, name, kind, np.asarray(edges, dtype=np.float64)[1:-1])
        parts.append(
            position if binner.encode == "ordinal" else _flags(scope, container, position, len(edges) - 1)
        )
    apply_concat(scope, parts, operator.outputs[0].full_name, container, axis=1)


def _position(scope: Any, container: Any, name: str, kind: Any, edges: Array) -> str:
    """[N, 1] float32: the number of ``edges`` that are reached."""
    is_double = isinstance(kind, DoubleTensorType)
    if not edges.size:
        zero = add_constant(scope, container, TensorProto.DOUBLE if is_double else TensorProto.FLOAT, [1], [0.0])
        nothing = add_node(scope, container, "Mul", [name, zero])
        flat: str = scope.get_unique_variable_name("position")
        apply_cast(scope, nothing, flat, container, to=TensorProto.FLOAT)
        return flat
    numbers = edges if is_double else ceil32(edges)
    onnx_type = TensorProto.DOUBLE if is_double else TensorProto.FLOAT
    compared = add_constant(scope, container, onnx_type, [1, edges.size], [float(edge) for edge in numbers])
    reached = add_node(scope, container, "GreaterOrEqual", [name, compared])
    counted: str = scope.get_unique_variable_name("reached")
    apply_cast(scope, reached, counted, container, to=TensorProto.FLOAT)
    axis = add_constant(scope, container, TensorProto.INT64, [1], [1])
    return add_node(scope, container, "ReduceSum", [counted, axis], keepdims=1)


def _flags(scope: Any, container: Any, position: str, bins: int) -> str:
    """[N, bins]: one for the bin at ``position``."""
    every = add_constant(scope, container, TensorProto.FLOAT, [1, bins], [float(number) for number in range(bins)])
    equal = add_node(scope, container, "Equal", [position, every])
    flags: str = scope.get_unique_variable_name("flags")
    apply_cast(scope, equal, flags, container, to=TensorProto.FLOAT)
    return flags
