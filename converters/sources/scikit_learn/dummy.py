"""DummyClassifier and DummyRegressor, which skl2onnx does not know: one answer for every row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn.dummy import DummyClassifier, DummyRegressor

from rapide.server.tensors import Array


def register() -> None:
    """Tells skl2onnx of both, in this process."""
    options = {"zipmap": [True, False, "columns"]}
    update_registered_converter(
        DummyClassifier, "RapideDummyClassifier", _shape_classifier, _classifier, options=options, overwrite=True
    )
    update_registered_converter(
        DummyRegressor, "RapideDummyRegressor", _shape_regressor, _regressor, overwrite=True
    )


def _number(operator: Any) -> Any:
    double = any(isinstance(variable.type, DoubleTensorType) for variable in operator.inputs)
    return DoubleTensorType if double else FloatTensorType


def _shape_classifier(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    classes = np.asarray(operator.raw_operator.classes_)
    label = StringTensorType if classes.dtype.kind in "OU" else Int64TensorType
    operator.outputs[0].type = label([rows])
    operator.outputs[1].type = _number(operator)([rows, len(classes)])


def _shape_regressor(operator: Any) -> None:
    width = operator.raw_operator.constant_.shape[1]
    operator.outputs[0].type = _number(operator)([operator.inputs[0].get_first_dimension(), width])


def _classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    if model.strategy in ("stratified", "uniform"):
        raise NotImplementedError(f"strategy={model.strategy!r} draws its answers by chance")
    row = np.zeros((1, 1))
    answers = [np.asarray(model.predict(row)), np.asarray(model.predict_proba(row))]
    for variable, answer in zip(operator.outputs, answers, strict=True):
        _repeat(scope, container, operator.inputs[0].full_name, answer, variable)


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    _repeat(scope, container, operator.inputs[0].full_name, operator.raw_operator.constant_, operator.outputs[0])


def _repeat(scope: Any, container: Any, given: str, row: Array, output: Any) -> None:
    """``row`` [1] or [1, columns], once for every row of ``given``."""
    kinds: dict[type, tuple[int, Callable[[Any], Any]]] = {
        StringTensorType: (TensorProto.STRING, lambda value: str(value).encode()),
        Int64TensorType: (TensorProto.INT64, int),
        DoubleTensorType: (TensorProto.DOUBLE, float),
        FloatTensorType: (TensorProto.FLOAT, float),
    }
    kind, written = kinds[type(output.type)]
    names = {part: scope.get_unique_variable_name(part) for part in ("answer", "first", "rows", "width", "shape")}
    container.add_initializer(names["answer"], kind, list(row.shape), [written(value) for value in row.ravel()])
    container.add_initializer(names["first"], TensorProto.INT64, [1], [0])
    rows = scope.get_unique_variable_name("sizes")
    container.add_node("Shape", [given], rows, name=scope.get_unique_operator_name("Shape"))
    container.add_node(
        "Gather", [rows, names["first"]], names["rows"], name=scope.get_unique_operator_name("Gather")
    )
    shape = names["rows"]
    if row.ndim == 2:
        container.add_initializer(names["width"], TensorProto.INT64, [1], [row.shape[1]])
        shape = names["shape"]
        container.add_node(
            "Concat", [names["rows"], names["width"]], shape, axis=0, name=scope.get_unique_operator_name("Concat")
        )
    container.add_node(
        "Expand", [names["answer"], shape], output.full_name, name=scope.get_unique_operator_name("Expand")
    )
