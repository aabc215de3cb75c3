"""Functions of numpy's that work number by number: the logarithm of a price, the root of an area. skl2onnx refuses
FunctionTransformer with any of them, and TransformedTargetRegressor. All other functions are code, for which there
is no graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx._parse import _get_sklearn_operator_name
from skl2onnx.common._apply_operation import apply_concat, apply_identity
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import FunctionTransformer

from rapide.converters.sources.scikit_learn.nodes import add_constant, add_node

Steps = Sequence[tuple[str, float | None]]
"""Operators, one after the other, each with its second operand or None."""


def register() -> None:
    """Takes the place of skl2onnx's converter of the one, and tells it of the other, in this process."""
    update_registered_converter(
        FunctionTransformer, "SklearnFunctionTransformer", _shape, _convert, overwrite=True
    )
    update_registered_converter(
        TransformedTargetRegressor, "RapideTransformedTarget", _target_shape, _convert_target, overwrite=True
    )


def _shape(operator: Any) -> None:
    widths = [variable.type.shape[1] for variable in operator.inputs]
    width = None if None in widths else sum(widths)
    operator.outputs[0].type = type(operator.inputs[0].type)([operator.inputs[0].get_first_dimension(), width])


def _convert(scope: Any, operator: Any, container: Any) -> None:
    transformer, kind = operator.raw_operator, operator.inputs[0].type
    names = [variable.full_name for variable in operator.inputs]
    matrix = names[0]
    if len(names) > 1:
        matrix = scope.get_unique_variable_name("merged")
        apply_concat(scope, names, matrix, container, axis=1)
    steps = _steps(transformer.func, transformer.kw_args)
    if steps and isinstance(kind, StringTensorType):
        raise NotImplementedError("a function of numbers is given texts")
    _apply(scope, container, steps, matrix, kind, operator.outputs[0].full_name)


def _target_shape(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = _number(operator)([rows, None])


def _convert_target(scope: Any, operator: Any, container: Any) -> None:
    """The regressor, and what undoes the function that its target was trained through."""
    model, kind = operator.raw_operator, _number(operator)
    undo = model.transformer_
    if not isinstance(undo, FunctionTransformer):
        raise NotImplementedError(
            f"there is no graph for what undoes {type(undo).__name__}, only for functions (func, inverse_func)"
        )
    steps = _steps(undo.inverse_func, undo.inv_kw_args)
    inner = scope.declare_local_operator(_get_sklearn_operator_name(type(model.regressor_)), model.regressor_)
    inner.inputs = operator.inputs
    answer = scope.declare_local_variable("answer", kind([None, None]))
    inner.outputs.append(answer)
    _apply(scope, container, steps, answer.full_name, kind(), operator.outputs[0].full_name)


def _number(operator: Any) -> Any:
    double = any(isinstance(variable.type, DoubleTensorType) for variable in operator.inputs)
    return DoubleTensorType if double else FloatTensorType


def _apply(scope: Any, container: Any, steps: Steps, matrix: str, kind: Any, result: str) -> None:
    onnx_type = TensorProto.DOUBLE if isinstance(kind, DoubleTensorType) else TensorProto.FLOAT
    for op_type, operand in steps:
        inputs = [matrix]
        if operand is not None:
            inputs.append(add_constant(scope, container, onnx_type, [1], [operand]))
        matrix = add_node(scope, container, op_type, inputs)
    apply_identity(scope, matrix, result, container)


def _steps(function: Any, options: Any) -> Steps:
    """Raises NotImplementedError for a function that is not in the table."""
    if function is None:
        return ()
    if isinstance(function, np.ufunc) and function in STEPS and not options:
        return STEPS[function]
    name = getattr(function, "__name__", type(function).__name__)
    known = ", ".join(each.__name__ for each in STEPS)
    raise NotImplementedError(f"there is no graph for the function {name!r}, only for numpy's {known}")


STEPS: Mapping[np.ufunc, Steps] = {
    np.log: [("Log", None)],
    np.log1p: [("Add", 1.0), ("Log", None)],
    np.log2: [("Log", None), ("Div", math.log(2.0))],
    np.log10: [("Log", None), ("Div", math.log(10.0))],
    np.exp: [("Exp", None)],
    np.expm1: [("Exp", None), ("Sub", 1.0)],
    np.sqrt: [("Sqrt", None)],
    np.square: [("Pow", 2.0)],
    np.reciprocal: [("Reciprocal", None)],
    np.absolute: [("Abs", None)],
    np.negative: [("Neg", None)],
    np.sign: [("Sign", None)],
    np.floor: [("Floor", None)],
    np.ceil: [("Ceil", None)],
    np.sin: [("Sin", None)],
    np.cos: [("Cos", None)],
    np.tanh: [("Tanh", None)],
}
"""What each function is in a graph. Sums before a logarithm lose digits of small numbers in single precision: the
comparison finds it where that matters, and doubles are taken."""
