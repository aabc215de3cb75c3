"""Small pieces of graphs that our own converters write, in skl2onnx's terms: a scope gives names, a container
takes nodes and constants."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common._apply_operation import apply_cast, apply_reshape


def columns_of(scope: Any, operator: Any, container: Any) -> list[tuple[str, Any]]:
    """The inputs taken apart into columns, [N, 1] each, with their types."""
    columns = []
    for variable in operator.inputs:
        width = variable.type.shape[1]
        for position in range(width):
            name = variable.full_name
            if width > 1:
                index = scope.get_unique_variable_name("column")
                container.add_initializer(index, TensorProto.INT64, [1], [position])
                name = scope.get_unique_variable_name("picked")
                add_node(scope, container, "Gather", [variable.full_name, index], name, axis=1)
            columns.append((name, variable.type))
    return columns


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def add_constant(scope: Any, container: Any, onnx_type: int, shape: list[int], values: list[Any]) -> str:
    """Returns its name."""
    unique: str = scope.get_unique_variable_name("constant")
    container.add_initializer(unique, onnx_type, shape, values)
    return unique


def add_node(scope: Any, container: Any, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
    """Returns the name of its only output, ``output`` or a new one."""
    output = output or scope.get_unique_variable_name(kind.lower())
    container.add_node(kind, inputs, output, name=scope.get_unique_operator_name(kind), **attributes)
    return output


def insist(scope: Any, container: Any, is_known: str, values: str) -> str:
    """``values`` [N, K] as they are, if ``is_known`` [N, 1] is true, or one, in every row. Otherwise the graph
    fails, as the original does: OneHotEncoder is the runtime's one operator that refuses a value."""
    whole: str = scope.get_unique_variable_name("known")
    apply_cast(scope, is_known, whole, container, to=TensorProto.INT64)
    checked = add_node(
        scope, container, "OneHotEncoder", [whole], op_domain="ai.onnx.ml", op_version=1, cats_int64s=[1], zeros=0
    )
    ones: str = scope.get_unique_variable_name("ones")
    apply_reshape(scope, checked, ones, container, desired_shape=(-1, 1))
    return add_node(scope, container, "Mul", [values, ones])
