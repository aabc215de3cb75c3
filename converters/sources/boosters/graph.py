"""Writes boosted trees as ONNX nodes, as skl2onnx's converter for their estimators.

Where the original compares float32, so does the graph. Where it compares doubles (LightGBM), a graph of single
precision rounds thresholds *down*, so that a float32 on either side keeps its side, and a graph of doubles has
double thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import ClassifierMixin, is_classifier

from rapide.converters.columns import MISSING_TEXT
from rapide.converters.sources.boosters.ensemble import Ensemble
from rapide.converters.sources.boosters.table import booster_of
from rapide.converters.sources.scikit_learn.trees import floor32
from rapide.server.tensors import Array


def register(estimator: Any) -> None:
    """Tells skl2onnx of the estimator's class, in this process."""
    kind = type(estimator)
    classifies = is_classifier(estimator)
    update_registered_converter(
        kind,
        f"Rapide{kind.__name__}",
        _shape,
        _convert,
        overwrite=True,
        # skl2onnx knows classifiers by their base class, which CatBoost's do not have.
        parser=_parse_classifier if classifies and not isinstance(estimator, ClassifierMixin) else None,
        options={"zipmap": [True, False, "columns"]} if classifies else {},
    )


def _parse_classifier(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:  # noqa: ARG001 - skl2onnx's
    operator = scope.declare_local_operator(f"Rapide{type(model).__name__}", model)
    operator.inputs.extend(inputs)
    operator.outputs.append(scope.declare_local_variable("label", Int64TensorType()))
    operator.outputs.append(scope.declare_local_variable("probabilities", FloatTensorType()))
    return operator.outputs


def _shape(operator: Any) -> None:
    rows = operator.inputs[0].get_first_dimension()
    estimator = operator.raw_operator
    number = DoubleTensorType if _is_double(operator) else FloatTensorType
    if is_classifier(estimator):
        label = StringTensorType if np.asarray(estimator.classes_).dtype.kind in "OU" else Int64TensorType
        operator.outputs[0].type = label([rows])
        operator.outputs[1].type = number([rows, len(estimator.classes_)])
    else:
        operator.outputs[0].type = number([rows, None])


def _is_double(operator: Any) -> bool:
    return any(isinstance(variable.type, DoubleTensorType) for variable in operator.inputs)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    estimator = operator.raw_operator
    booster = booster_of(estimator)
    if booster is None:
        raise AssertionError("registered for boosters alone")
    ensemble = booster.ensemble(estimator)
    write = _Writer(scope, container)
    is_wide = ensemble.is_wide and _is_double(operator)
    matrix = write.matrix(operator.inputs, booster.categories(estimator), is_wide=is_wide)
    other = booster.missing_number(estimator)
    if not math.isnan(other):
        matrix = write.blanked(matrix, other)
    answer = write.linked(write.sums(ensemble, matrix, is_wide=is_wide), ensemble)
    wanted = TensorProto.DOUBLE if _is_double(operator) else TensorProto.FLOAT
    if not is_classifier(estimator):
        write.node("Cast", [answer], operator.outputs[0].full_name, to=wanted)
        return
    if ensemble.targets == 1:
        answer = write.both_sides(answer)
    write.node("Cast", [answer], operator.outputs[1].full_name, to=wanted)
    position = write.node("ArgMax", [answer], axis=1, keepdims=0)
    write.node("Gather", [write.classes(estimator.classes_), position], operator.outputs[0].full_name)


class _Writer:
    """Nodes with fresh names."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope = scope
        self._container = container

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or self._scope.get_unique_variable_name(kind.lower())
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, inputs, output, name=name, **attributes)
        return output

    def constant(self, kind: int, shape: list[int], values: list[Any]) -> str:
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, kind, shape, values)
        return name

    def matrix(self, inputs: Any, categories: Mapping[int, list[str]], *, is_wide: bool) -> str:
        """The inputs side by side, texts as the codes of their categories."""
        number = TensorProto.DOUBLE if is_wide else TensorProto.FLOAT
        columns = []
        for column, variable in enumerate(inputs):
            name = variable.full_name
            if isinstance(variable.type, StringTensorType):
                if column not in categories:
                    raise NotImplementedError(
                        f"the model does not say which categories column {column} has: encode it in a pipeline "
                        "(OneHotEncoder or OrdinalEncoder), or train with a newer version of the library"
                    )
                name = self._codes(name, categories[column])
            columns.append(self.node("Cast", [name], to=number))
        return columns[0] if len(columns) == 1 else self.node("Concat", columns, axis=1)

    def blanked(self, matrix: str, number: float) -> str:
        """NaN for what stands for a missing value."""
        value = self.constant(TensorProto.FLOAT, [1], [number])
        nothing = self.constant(TensorProto.FLOAT, [1], [math.nan])
        return self.node("Where", [self.node("Equal", [matrix, value]), nothing, matrix])

    def sums(self, ensemble: Ensemble, matrix: str, *, is_wide: bool) -> str:
        """The sums of the leaves, float32 [N, targets]."""
        return self.node(
            "TreeEnsembleRegressor", [matrix], op_domain="ai.onnx.ml", **_attributes(ensemble, is_wide)
        )

    def linked(self, sums: str, ensemble: Ensemble) -> str:
        if ensemble.slope != 1.0:
            sums = self.node("Mul", [sums, self.constant(TensorProto.FLOAT, [1], [ensemble.slope])])
        return _LINKS[ensemble.link](self, sums)

    def both_sides(self, share: str) -> str:
        rest = self.node("Sub", [self.constant(TensorProto.FLOAT, [1], [1.0]), share])
        return self.node("Concat", [rest, share], axis=1)

    def step(self, sums: str) -> str:
        above = self.node("Greater", [sums, self.constant(TensorProto.FLOAT, [1], [0.0])])
        return self.node("Cast", [above], to=TensorProto.FLOAT)

    def signed_square(self, sums: str) -> str:
        return self.node("Mul", [self.node("Abs", [sums]), sums])

    def classes(self, classes: Array) -> str:
        if np.asarray(classes).dtype.kind in "OU":
            texts = [str(value).encode() for value in classes]
            return self.constant(TensorProto.STRING, [len(texts)], texts)
        return self.constant(TensorProto.INT64, [len(classes)], [int(value) for value in classes])

    def _codes(self, name: str, texts: list[str]) -> str:
        return self.node(
            "LabelEncoder",
            [name],
            op_domain="ai.onnx.ml",
            op_version=2,
            keys_strings=[text.encode() for text in (*texts, MISSING_TEXT)],
            values_floats=[*map(float, range(len(texts))), math.nan],
            default_float=math.nan,
        )


_LINKS: Mapping[str, Callable[[_Writer, str], str]] = {
    "identity": lambda _, sums: sums,
    "sigmoid": lambda write, sums: write.node("Sigmoid", [sums]),
    "softmax": lambda write, sums: write.node("Softmax", [sums], axis=1),
    "exp": lambda write, sums: write.node("Exp", [sums]),
    "log1pexp": lambda write, sums: write.node("Softplus", [sums]),
    "signed_square": _Writer.signed_square,
    "step": _Writer.step,
}


def _attributes(ensemble: Ensemble, is_wide: bool) -> dict[str, Any]:
    thresholds = np.array(ensemble.thresholds, dtype=np.float64)
    attributes: dict[str, Any] = {
        "n_targets": ensemble.targets,
        "post_transform": "NONE",
        "aggregate_function": "SUM",
        "nodes_treeids": ensemble.trees,
        "nodes_nodeids": ensemble.nodes,
        "nodes_modes": ensemble.modes,
        "nodes_featureids": ensemble.features,
        "nodes_truenodeids": ensemble.yes,
        "nodes_falsenodeids": ensemble.no,
        "nodes_missing_value_tracks_true": [int(each) for each in ensemble.missing],
        "target_treeids": ensemble.leaf_trees,
        "target_nodeids": ensemble.leaf_nodes,
        "target_ids": ensemble.leaf_targets,
    }
    reals = {
        "nodes_values": thresholds if is_wide or not ensemble.is_wide else floor32(thresholds),
        "target_weights": np.array(ensemble.leaf_weights),
        "base_values": np.array(ensemble.base),
    }
    if is_wide:
        tensors = {f"{name}_as_tensor": numpy_helper.from_array(each, name) for name, each in reals.items()}
        return {**attributes, **tensors, "op_version": 3}
    return {
        **attributes,
        **{name: each.astype(np.float32).tolist() for name, each in reals.items()},
        "op_version": 1,
    }
