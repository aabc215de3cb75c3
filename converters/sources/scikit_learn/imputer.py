"""SimpleImputer for texts, doubles and missing indicators, which skl2onnx's own converter does not do.

The graph: one matrix of all columns, Where(is missing, fill value, value), the columns kept, and the indicators
appended as scikit-learn does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common._apply_operation import apply_cast, apply_concat
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.impute import SimpleImputer

from rapide.converters.columns import MISSING_TEXT


def register() -> None:
    """Takes the place of skl2onnx's converter, in this process."""
    update_registered_converter(SimpleImputer, "SklearnSimpleImputer", _shape, _convert, overwrite=True)


def _shape(operator: Any) -> None:
    imputer = operator.raw_operator
    kind = type(operator.inputs[0].type)
    width = len(_kept(imputer)) + (len(imputer.indicator_.features_) if imputer.add_indicator else 0)
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    imputer = operator.raw_operator
    is_text = isinstance(operator.inputs[0].type, StringTensorType)
    if is_text and imputer.add_indicator:
        raise NotImplementedError("missing indicators of text columns")
    matrix = _merged(scope, operator, container)
    flags = scope.get_unique_variable_name("is_missing")
    _flag_missing(scope, container, matrix, flags, imputer.missing_values, operator.inputs[0].type)
    fills = _constant(scope, container, "fill", operator.inputs[0].type, _fill_values(imputer, is_text))
    filled = scope.get_unique_variable_name("filled")
    container.add_node("Where", [flags, fills, matrix], filled, name=scope.get_unique_operator_name("Where"))
    kept = _kept(imputer)
    if len(kept) != len(imputer.statistics_):
        filled = _gather(scope, container, filled, kept)
    results = [filled]
    if imputer.add_indicator:
        wanted = _gather(scope, container, flags, imputer.indicator_.features_)
        numbers = scope.get_unique_variable_name("indicators")
        apply_cast(scope, wanted, numbers, container, to=_proto_type(operator.inputs[0].type))
        results.append(numbers)
    apply_concat(scope, results, operator.outputs[0].full_name, container, axis=1)


def _merged(scope: Any, operator: Any, container: Any) -> str:
    names = [variable.full_name for variable in operator.inputs]
    if len(names) == 1:
        return str(names[0])
    merged: str = scope.get_unique_variable_name("merged")
    apply_concat(scope, names, merged, container, axis=1)
    return merged


def _flag_missing(scope: Any, container: Any, matrix: str, flags: str, token: Any, kind: Any) -> None:
    if isinstance(kind, StringTensorType):
        text = token if isinstance(token, str) else MISSING_TEXT
        known = _constant(scope, container, "missing", kind, [text])
    elif isinstance(token, float) and np.isnan(token):
        container.add_node("IsNaN", matrix, flags, name=scope.get_unique_operator_name("IsNaN"))
        return
    else:
        known = _constant(scope, container, "missing", kind, [token])
    container.add_node("Equal", [matrix, known], flags, name=scope.get_unique_operator_name("Equal"))


def _fill_values(imputer: Any, is_text: bool) -> list[Any]:
    if is_text:
        return [str(value) for value in imputer.statistics_]
    return [
        0.0 if np.isnan(value) else float(value) for value in np.asarray(imputer.statistics_, dtype=np.float64)
    ]


def _kept(imputer: Any) -> list[int]:
    """Positions of the columns that stay: scikit-learn drops those that had no value at all in training."""
    if imputer.keep_empty_features or imputer.statistics_.dtype == object:
        return list(range(len(imputer.statistics_)))
    return [int(index) for index in np.flatnonzero(~np.isnan(imputer.statistics_))]


def _gather(scope: Any, container: Any, matrix: str, positions: Any) -> str:
    indices: str = scope.get_unique_variable_name("positions")
    container.add_initializer(indices, TensorProto.INT64, [len(positions)], [int(value) for value in positions])
    gathered: str = scope.get_unique_variable_name("gathered")
    container.add_node(
        "Gather", [matrix, indices], gathered, axis=1, name=scope.get_unique_operator_name("Gather")
    )
    return gathered


def _constant(scope: Any, container: Any, name: str, kind: Any, values: list[Any]) -> str:
    unique: str = scope.get_unique_variable_name(name)
    if isinstance(kind, StringTensorType):
        values = [value.encode() for value in values]
    container.add_initializer(unique, _proto_type(kind), [1, len(values)], values)
    return unique


def _proto_type(kind: Any) -> int:
    for of, proto_type in (
        (StringTensorType, TensorProto.STRING),
        (DoubleTensorType, TensorProto.DOUBLE),
        (FloatTensorType, TensorProto.FLOAT),
    ):
        if isinstance(kind, of):
            return int(proto_type)
    raise NotImplementedError(f"missing values in {type(kind).__name__}")
