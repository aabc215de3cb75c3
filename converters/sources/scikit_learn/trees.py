"""Tree ensembles as scikit-learn decides them, where skl2onnx's own converters do not.

They stay in charge of the graph; what they write passes through ``_TreeNodes``, which corrects:

- the branch that a missing value takes (skl2onnx leaves it out for all but the histogram trees);
- thresholds of histogram trees in float32, rounded *down*, so that a float32 on either side of the double
  threshold
  keeps its side (``x ≤ t`` for float32 ``x`` holds exactly when ``x ≤ floor32(t)``);
- double inputs. scikit-learn narrows what all but the histogram trees are given to float32, so that is what the
  graph
  does; histogram trees get double thresholds, as they have them. The sums come out in float32 either way
  (TreeEnsembleRegressor and TreeEnsembleClassifier of ai.onnx.ml 3);
- how a forest of classifiers counts its votes (``votes.py``);
- numpy scalars in attributes, which onnx ≥ 1.20 refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper
from skl2onnx import update_registered_converter
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._apply_operation import apply_cast
from skl2onnx.common._registration import get_converter, get_shape_calculator
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from rapide.converters.sources.scikit_learn.votes import count_votes, is_forest_of_classifiers
from rapide.server.tensors import Array

_KINDS = (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
_REALS = ("nodes_values", "nodes_hitrates", "base_values", "target_weights", "class_weights")


def register() -> None:
    """Takes the place of skl2onnx's converters, in this process. Call it once (``parts.py``)."""
    by_alias = {sklearn_operator_name_map[kind]: kind for kind in _KINDS}  # some share a converter
    for alias, kind in by_alias.items():
        inner = get_converter(alias)
        update_registered_converter(
            kind,
            alias,
            get_shape_calculator(alias),
            _corrected(inner),
            overwrite=True,
            options=inner.get_allowed_options(),
        )


def floor32(values: Array) -> Array:
    """The largest float32 that is not above each float64 value."""
    narrow = values.astype(np.float32)
    lower = np.nextafter(narrow, np.float32(-np.inf))
    floored: Array = np.where(narrow.astype(np.float64) > values, lower, narrow)
    return floored


def _corrected(inner: Callable[..., None]) -> Callable[..., None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        nodes = _TreeNodes(scope, container, operator)
        is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
        if is_double and not hasattr(operator.raw_operator, "_predictors"):
            operator = _NarrowOperator(scope, container, operator)
        inner(scope, operator, nodes)

    return convert


class _NarrowOperator:
    """An operator whose double input passes through a cast to float32 first."""

    def __init__(self, scope: Any, container: Any, operator: Any) -> None:
        self._operator = operator
        given = operator.inputs[0]
        narrow = scope.declare_local_variable("narrow", FloatTensorType(given.type.shape))
        apply_cast(scope, given.full_name, narrow.full_name, container, to=TensorProto.FLOAT)
        self.inputs = [narrow]
        self.input_full_names = [narrow.full_name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)


class _TreeNodes:
    """Stands before skl2onnx's container while a tree ensemble is written."""

    def __init__(self, scope: Any, container: Any, operator: Any) -> None:
        self._scope = scope
        self._container = container
        self._estimator = operator.raw_operator
        self._is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
        self._wants_double = any(isinstance(output.type, DoubleTensorType) for output in operator.outputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, op_type: str, inputs: Any, outputs: Any, **attributes: Any) -> None:
        if not op_type.startswith("TreeEnsemble"):
            self._container.add_node(op_type, inputs, outputs, **attributes)
            return
        attributes = {name: _plain(value) for name, value in attributes.items()}
        self._correct(attributes)
        outputs = [outputs] if isinstance(outputs, str) else list(outputs)
        sums = outputs[-1]
        if self._wants_double:
            outputs[-1] = self._scope.get_unique_variable_name("sums")
        if op_type == "TreeEnsembleClassifier" and is_forest_of_classifiers(self._estimator):
            count_votes(self._scope, self._container, self._estimator, inputs, outputs, attributes)
        else:
            self._container.add_node(op_type, inputs, outputs, **attributes)
        if self._wants_double:
            apply_cast(self._scope, outputs[-1], sums, self._container, to=TensorProto.DOUBLE)

    def _correct(self, attributes: dict[str, Any]) -> None:
        if hasattr(self._estimator, "_predictors"):
            nodes = np.concatenate(_histogram_nodes(self._estimator))
            values = np.where(nodes["is_leaf"] == 1, 0.0, nodes["num_threshold"])
            attributes["nodes_values"] = values if self._is_double else floor32(values)
            if self._is_double:
                _widen(attributes)
            return
        trees = _trees(self._estimator)
        if sum(tree.node_count for tree in trees) == len(attributes["nodes_modes"]):
            directions = np.concatenate([tree.missing_go_to_left for tree in trees])
            attributes["nodes_missing_value_tracks_true"] = [int(left) for left in directions]


def _widen(attributes: dict[str, Any]) -> None:
    """Gives the node double thresholds and weights, which only version 3 of the operators has."""
    attributes["op_version"] = 3
    for name in _REALS:
        if name in attributes:
            reals = np.asarray(attributes.pop(name), dtype=np.float64)
            attributes[f"{name}_as_tensor"] = numpy_helper.from_array(reals, name)


def _trees(estimator: Any) -> list[Any]:
    if hasattr(estimator, "tree_"):
        return [estimator.tree_]
    return [member.tree_ for member in np.asarray(estimator.estimators_, dtype=object).ravel()]


def _histogram_nodes(estimator: Any) -> list[Any]:
    return [tree.nodes for trees in estimator._predictors for tree in trees]


def _plain(value: Any) -> Any:
    """Lists of numpy scalars as lists of Python numbers; arrays and all else as they are."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return int(value) if isinstance(value, bool) else value
