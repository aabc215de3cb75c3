"""OrdinalEncoder with missing and unknown values, which skl2onnx's own converter encodes differently.

A text column is one LabelEncoder from categories to codes. A numeric one is compared with every category: [N, 1]
against [1, K], the one that is equal picking its code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common._apply_operation import apply_cast, apply_concat, apply_reshape
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.preprocessing import OrdinalEncoder

from rapide.converters.columns import MISSING_TEXT
from rapide.server.tensors import Array


def register() -> None:
    """Takes the place of skl2onnx's converter, in this process."""
    update_registered_converter(OrdinalEncoder, "SklearnOrdinalEncoder", _shape, _convert, overwrite=True)


def _shape(operator: Any) -> None:
    width = len(operator.raw_operator.categories_)
    operator.outputs[0].type = FloatTensorType([operator.inputs[0].get_first_dimension(), width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    encoder = operator.raw_operator
    if getattr(encoder, "_infrequent_enabled", False):
        raise NotImplementedError("infrequent categories (min_frequency, max_categories)")
    columns = _columns(scope, operator, container)
    codes = []
    for (name, kind), categories in zip(columns, encoder.categories_, strict=True):
        encode = _encode_texts if isinstance(kind, StringTensorType) else _encode_numbers
        codes.append(encode(scope, container, name, kind, categories, encoder))
    apply_concat(scope, codes, operator.outputs[0].full_name, container, axis=1)


def _columns(scope: Any, operator: Any, container: Any) -> list[tuple[str, Any]]:
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
                _node(scope, container, "Gather", [variable.full_name, index], name, axis=1)
            columns.append((name, variable.type))
    return columns


def _encode_texts(scope: Any, container: Any, name: str, _kind: Any, categories: Array, encoder: Any) -> str:
    texts = [MISSING_TEXT if _is_missing(value) else str(value) for value in categories]
    raw = scope.get_unique_variable_name("codes")
    _node(
        scope,
        container,
        "LabelEncoder",
        [name],
        raw,
        op_domain="ai.onnx.ml",
        op_version=2,
        keys_strings=[text.encode() for text in texts],
        values_floats=_codes(categories, encoder),
        default_float=_unknown(encoder),
    )
    codes: str = scope.get_unique_variable_name("codes")
    apply_reshape(scope, raw, codes, container, desired_shape=(-1, 1))
    return codes


def _encode_numbers(scope: Any, container: Any, name: str, kind: Any, categories: Array, encoder: Any) -> str:
    onnx_type = TensorProto.DOUBLE if isinstance(kind, DoubleTensorType) else TensorProto.FLOAT
    known = [value for value in categories if not _is_missing(value)]
    codes = _codes(categories, encoder)
    equal, picked = (scope.get_unique_variable_name(part) for part in ("equal", "picked"))
    keys = _constant(scope, container, onnx_type, [1, len(known)], [float(value) for value in known])
    _node(scope, container, "Equal", [name, keys], equal)
    apply_cast(scope, equal, picked, container, to=TensorProto.FLOAT)
    product, found, result = (scope.get_unique_variable_name(part) for part in ("product", "found", "codes"))
    column = _constant(scope, container, TensorProto.FLOAT, [len(known), 1], codes[: len(known)])
    _node(scope, container, "MatMul", [picked, column], product)
    _node(scope, container, "ReduceMax", [picked, _axis(scope, container)], found, keepdims=1)
    is_known = scope.get_unique_variable_name("is_known")
    apply_cast(scope, found, is_known, container, to=TensorProto.BOOL)
    unknown = _constant(scope, container, TensorProto.FLOAT, [1], [_unknown(encoder)])
    _node(scope, container, "Where", [is_known, product, unknown], result)
    if len(known) == len(categories):
        return str(result)
    is_missing, encoded = (scope.get_unique_variable_name(part) for part in ("is_missing", "codes"))
    _node(scope, container, "IsNaN", [name], is_missing)
    missing = _constant(scope, container, TensorProto.FLOAT, [1], [float(encoder.encoded_missing_value)])
    _node(scope, container, "Where", [is_missing, missing, result], encoded)
    return str(encoded)


def _codes(categories: Array, encoder: Any) -> list[float]:
    """Each category's code: its position, or what stands for a missing value."""
    return [
        float(encoder.encoded_missing_value) if _is_missing(value) else float(code)
        for code, value in enumerate(categories)
    ]


def _unknown(encoder: Any) -> float:
    """Where the original refuses unknown values, the graph, which cannot, gives NaN."""
    return float("nan") if encoder.unknown_value is None else float(encoder.unknown_value)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _axis(scope: Any, container: Any) -> str:
    return _constant(scope, container, TensorProto.INT64, [1], [1])


def _constant(scope: Any, container: Any, onnx_type: int, shape: list[int], values: list[Any]) -> str:
    unique: str = scope.get_unique_variable_name("constant")
    container.add_initializer(unique, onnx_type, shape, values)
    return unique


def _node(scope: Any, container: Any, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
    container.add_node(kind, inputs, output, name=scope.get_unique_operator_name(kind), **attributes)
