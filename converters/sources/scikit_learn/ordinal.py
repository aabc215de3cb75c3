"""OrdinalEncoder with missing and unknown values, which skl2onnx's own converter encodes differently.

A text column is one LabelEncoder from categories to codes. A numeric one is compared with every category: [N, 1]
against [1, K], the one that is equal picking its code.
"""

from __future__ import annotations

from typing import Any

from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common._apply_operation import apply_cast, apply_concat, apply_reshape
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.preprocessing import OrdinalEncoder

from rapide.converters.columns import MISSING_TEXT
from rapide.converters.sources.scikit_learn.nodes import add_constant, add_node, columns_of, insist, is_missing
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
    columns = columns_of(scope, operator, container)
    codes = []
    for (name, kind), categories in zip(columns, encoder.categories_, strict=True):
        encode = _encode_texts if isinstance(kind, StringTensorType) else _encode_numbers
        codes.append(encode(scope, container, name, kind, categories, encoder))
    apply_concat(scope, codes, operator.outputs[0].full_name, container, axis=1)


def _encode_texts(scope: Any, container: Any, name: str, _kind: Any, categories: Array, encoder: Any) -> str:
    texts = [MISSING_TEXT if is_missing(value) else str(value) for value in categories]
    codes = _looked_up(scope, container, name, texts, _codes(categories, encoder), _unknown(encoder))
    if encoder.handle_unknown != "error":
        return codes
    is_known = _looked_up(scope, container, name, texts, [1.0] * len(texts), 0.0)
    return insist(scope, container, is_known, codes)


def _looked_up(scope: Any, container: Any, name: str, keys: list[str], values: list[float], other: float) -> str:
    """[N, 1]: for each text the value of its key."""
    raw = add_node(
        scope,
        container,
        "LabelEncoder",
        [name],
        op_domain="ai.onnx.ml",
        op_version=2,
        keys_strings=[key.encode() for key in keys],
        values_floats=values,
        default_float=other,
    )
    column: str = scope.get_unique_variable_name("codes")
    apply_reshape(scope, raw, column, container, desired_shape=(-1, 1))
    return column


def _encode_numbers(scope: Any, container: Any, name: str, kind: Any, categories: Array, encoder: Any) -> str:
    onnx_type = TensorProto.DOUBLE if isinstance(kind, DoubleTensorType) else TensorProto.FLOAT
    known = [value for value in categories if not is_missing(value)]
    codes = _codes(categories, encoder)
    equal, picked = (scope.get_unique_variable_name(part) for part in ("equal", "picked"))
    keys = add_constant(scope, container, onnx_type, [1, len(known)], [float(value) for value in known])
    add_node(scope, container, "Equal", [name, keys], equal)
    apply_cast(scope, equal, picked, container, to=TensorProto.FLOAT)
    product, found, result = (scope.get_unique_variable_name(part) for part in ("product", "found", "codes"))
    column = add_constant(scope, container, TensorProto.FLOAT, [len(known), 1], codes[: len(known)])
    add_node(scope, container, "MatMul", [picked, column], product)
    add_node(scope, container, "ReduceMax", [picked, _axis(scope, container)], found, keepdims=1)
    is_known = scope.get_unique_variable_name("is_known")
    apply_cast(scope, found, is_known, container, to=TensorProto.BOOL)
    unknown = add_constant(scope, container, TensorProto.FLOAT, [1], [_unknown(encoder)])
    add_node(scope, container, "Where", [is_known, product, unknown], result)
    if len(known) < len(categories):
        empty = add_node(scope, container, "IsNaN", [name])
        missing = add_constant(scope, container, TensorProto.FLOAT, [1], [float(encoder.encoded_missing_value)])
        result = add_node(scope, container, "Where", [empty, missing, result])
        is_known = add_node(scope, container, "Or", [is_known, empty])
    return insist(scope, container, is_known, result) if encoder.handle_unknown == "error" else str(result)


def _codes(categories: Array, encoder: Any) -> list[float]:
    """Each category's code: its position, or what stands for a missing value."""
    return [
        float(encoder.encoded_missing_value) if is_missing(value) else float(code)
        for code, value in enumerate(categories)
    ]


def _unknown(encoder: Any) -> float:
    """Where the original refuses unknown values, so does the graph (``insist``), whatever it finds for them."""
    return float("nan") if encoder.unknown_value is None else float(encoder.unknown_value)


def _axis(scope: Any, container: Any) -> str:
    return add_constant(scope, container, TensorProto.INT64, [1], [1])
