"""Forests of classifiers: votes are counted exactly, so that a tie is a tie.

A forest's probabilities are the mean over its trees. skl2onnx sums leaf / trees, which rounds: of 20 trees that
vote 10 to 10, one side gets 0.50000006 and the label may flip. Here whole leaves are summed (pure ones are
exactly 1) and divided once, and the first of equals is taken, as scikit-learn does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common._apply_operation import apply_concat

from rapide.server.tensors import Array


def is_forest_of_classifiers(estimator: Any) -> bool:
    return hasattr(estimator, "estimators_") and all(
        hasattr(member, "tree_") and hasattr(member, "classes_") for member in estimator.estimators_
    )


def count_votes(
    scope: Any, container: Any, estimator: Any, inputs: Any, outputs: list[str], attributes: dict[str, Any]
) -> None:
    """Writes the forest's nodes in place of the one TreeEnsembleClassifier that ``attributes`` describe."""
    label, probabilities = outputs
    votes = scope.get_unique_variable_name("votes")
    container.add_node("TreeEnsembleRegressor", inputs, [votes], **_as_regressor(estimator, attributes))
    count = _constant(scope, container, "trees", TensorProto.FLOAT, [float(len(estimator.estimators_))])
    shares = probabilities
    if len(estimator.classes_) == 2:
        shares = scope.get_unique_variable_name("share")
    _node(scope, container, "Div", [votes, count], shares)
    if len(estimator.classes_) == 2:  # only the second class was counted
        one = _constant(scope, container, "one", TensorProto.FLOAT, [1.0])
        rest = scope.get_unique_variable_name("rest")
        _node(scope, container, "Sub", [one, shares], rest)
        apply_concat(scope, [rest, shares], probabilities, container, axis=1)
    position = scope.get_unique_variable_name("position")
    _node(scope, container, "ArgMax", [probabilities], position, axis=1, keepdims=0)
    _node(scope, container, "Gather", [_classes(scope, container, estimator.classes_), position], label)


def _as_regressor(estimator: Any, attributes: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in attributes.items() if name.startswith("nodes_")}
    binary = len(estimator.classes_) == 2
    return {
        **kept,
        "name": attributes["name"],
        "op_domain": attributes["op_domain"],
        "op_version": attributes["op_version"],
        "post_transform": "NONE",
        "n_targets": 1 if binary else len(estimator.classes_),
        "target_treeids": attributes["class_treeids"],
        "target_nodeids": attributes["class_nodeids"],
        "target_ids": attributes["class_ids"],
        "target_weights": _leaf_shares(estimator, binary),
    }


def _leaf_shares(estimator: Any, binary: bool) -> Array:
    """Of each leaf in skl2onnx's order: its share of the second class (binary), or of every class."""
    shares = []
    for member in estimator.estimators_:
        tree = member.tree_
        leaves = tree.value[tree.children_left == tree.children_right, 0, :]
        leaves = leaves / leaves.sum(axis=1, keepdims=True)
        shares.append(leaves[:, 1] if binary else leaves.ravel())
    return np.concatenate(shares).astype(np.float32)


def _classes(scope: Any, container: Any, classes: Array) -> str:
    if classes.dtype.kind in "OU":
        texts = [str(value).encode() for value in classes]
        return _constant(scope, container, "classes", TensorProto.STRING, texts)
    return _constant(scope, container, "classes", TensorProto.INT64, [int(value) for value in classes])


def _constant(scope: Any, container: Any, name: str, onnx_type: int, values: list[Any]) -> str:
    unique: str = scope.get_unique_variable_name(name)
    container.add_initializer(unique, onnx_type, [len(values)], values)
    return unique


def _node(scope: Any, container: Any, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
    container.add_node(kind, inputs, output, name=scope.get_unique_operator_name(kind), **attributes)
