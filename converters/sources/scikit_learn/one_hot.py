"""OneHotEncoder with any numbers, missing values and infrequent categories, which skl2onnx's own converter
refuses, or casts to integers.

A column becomes one flag for each category, [N, K]; a numeric one is compared with every category. Where
categories are merged (infrequent ones) or dropped, the flags, with one more for "none of them", are multiplied
with a matrix of zeros and ones, which says where each goes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common._apply_operation import apply_cast, apply_concat, apply_reshape
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.preprocessing import OneHotEncoder

from rapide.converters.columns import MISSING_TEXT
from rapide.converters.sources.scikit_learn.nodes import add_constant, add_node, columns_of, insist, is_missing
from rapide.server.tensors import Array

_TYPES = ((DoubleTensorType, TensorProto.DOUBLE), (Int64TensorType, TensorProto.INT64))
_TAKES_UNKNOWN = ("infrequent_if_exist", "warn")


def register() -> None:
    """Takes the place of skl2onnx's converter, in this process."""
    update_registered_converter(OneHotEncoder, "SklearnOneHotEncoder", _shape, _convert, overwrite=True)


def _shape(operator: Any) -> None:
    width = sum(_target(operator.raw_operator, column).shape[1] for column in range(_count(operator.raw_operator)))
    operator.outputs[0].type = FloatTensorType([operator.inputs[0].get_first_dimension(), width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    encoder = operator.raw_operator
    columns = columns_of(scope, operator, container)
    # Flags of texts come as [N, 1, K]: where there are no others, they are joined so and flattened once.
    is_flat = not all(isinstance(kind, StringTensorType) for _, kind in columns)
    parts = []
    for position, (name, kind) in enumerate(columns):
        target = _target(encoder, position)
        if target.shape[1] == 0:  # its only category was dropped
            continue
        categories = encoder.categories_[position]
        if isinstance(kind, StringTensorType):
            flags = _flags_of_texts(scope, container, name, categories, encoder)
            flags = _flattened(scope, container, flags, len(categories)) if is_flat else flags
        else:
            flags = _flags_of_numbers(scope, container, name, kind, categories)
            if encoder.handle_unknown == "error":
                axis = add_constant(scope, container, TensorProto.INT64, [1], [1])
                found = add_node(scope, container, "ReduceMax", [flags, axis], keepdims=1)
                flags = insist(scope, container, found, flags)
        parts.append(_placed(scope, container, flags, target))
    joined = parts[0] if len(parts) == 1 else scope.get_unique_variable_name("flags")
    if len(parts) > 1:
        apply_concat(scope, parts, joined, container, axis=-1)
    width = operator.outputs[0].type.shape[1]
    apply_reshape(scope, joined, operator.outputs[0].full_name, container, desired_shape=(-1, width))


def _flattened(scope: Any, container: Any, flags: str, width: int) -> str:
    flat: str = scope.get_unique_variable_name("flags")
    apply_reshape(scope, flags, flat, container, desired_shape=(-1, width))
    return flat


def _count(encoder: Any) -> int:
    return len(encoder.categories_)


def _target(encoder: Any, column: int) -> Array:
    """[K + 1, columns] zeros and ones: where each category goes; the last row, where what is none of them goes."""
    count = len(encoder.categories_[column])
    merged = encoder._default_to_infrequent_mappings[column] if encoder._infrequent_enabled else None
    places = np.arange(count) if merged is None else np.asarray(merged)
    target = np.zeros((count + 1, int(places.max(initial=-1)) + 1), dtype=np.float32)
    target[np.arange(count), places] = 1.0
    if merged is not None and encoder.handle_unknown in _TAKES_UNKNOWN:
        target[count, -1] = 1.0  # infrequent ones come last
    dropped = None if encoder.drop_idx_ is None else encoder._drop_idx_after_grouping[column]
    return target if dropped is None else np.delete(target, int(dropped), axis=1)


def _placed(scope: Any, container: Any, flags: str, target: Array) -> str:
    count, width = target.shape[0] - 1, target.shape[1]
    if width == count and not target[count].any() and np.array_equal(target[:count], np.eye(count)):
        return flags
    if target[count].any():
        axis = add_constant(scope, container, TensorProto.INT64, [1], [-1])
        found = add_node(scope, container, "ReduceMax", [flags, axis], keepdims=1)
        one = add_constant(scope, container, TensorProto.FLOAT, [1], [1.0])
        none = add_node(scope, container, "Sub", [one, found])
        joined: str = scope.get_unique_variable_name("flags")
        apply_concat(scope, [flags, none], joined, container, axis=-1)
        flags = joined
    else:
        target = target[:count]
    matrix = add_constant(scope, container, TensorProto.FLOAT, list(target.shape), target.ravel().tolist())
    return add_node(scope, container, "MatMul", [flags, matrix])


def _flags_of_texts(scope: Any, container: Any, name: str, categories: Array, encoder: Any) -> str:
    texts = [MISSING_TEXT if is_missing(value) else str(value) for value in categories]
    return add_node(
        scope,
        container,
        "OneHotEncoder",
        [name],
        op_domain="ai.onnx.ml",
        op_version=1,
        cats_strings=[text.encode() for text in texts],
        zeros=int(encoder.handle_unknown != "error"),
    )


def _flags_of_numbers(scope: Any, container: Any, name: str, kind: Any, categories: Array) -> str:
    """Compared as floats in the type that the graph has. A missing value is the last category, if it is one."""
    onnx_type = next((found for each, found in _TYPES if isinstance(kind, each)), TensorProto.FLOAT)
    known = [value for value in categories.tolist() if not is_missing(value)]
    numbers = [int(value) if onnx_type == TensorProto.INT64 else float(value) for value in known]
    parts = []
    if numbers:
        keys = add_constant(scope, container, onnx_type, [1, len(numbers)], numbers)
        parts.append(add_node(scope, container, "Equal", [name, keys]))
    if len(known) != len(categories):
        parts.append(add_node(scope, container, "IsNaN", [name]))
    equal = parts[0]
    if len(parts) > 1:
        equal = scope.get_unique_variable_name("equal")
        apply_concat(scope, parts, equal, container, axis=1)
    flags: str = scope.get_unique_variable_name("flags")
    apply_cast(scope, equal, flags, container, to=TensorProto.FLOAT)
    return flags
