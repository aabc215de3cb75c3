"""Classifiers of several labels a row, taken apart into one classifier a label, which convert as any other.

skl2onnx knows ``MultiOutputClassifier``, and gives its probabilities as a sequence, which no protocol carries:
``join_sequences`` makes one matrix of it, the classes of the first label first. Trees, forests and neighbours that
answer several labels by themselves become such a classifier: label by label, a tree is the same tree with that
label's leaves.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree


def answers_several_labels(estimator: Any) -> bool:
    """Whether ``classes_`` is a list, one entry a label."""
    return isinstance(getattr(estimator, "classes_", None), list)


def take_apart(estimator: Any) -> None:
    """Makes of an estimator that answers several labels by itself one that has a classifier for each, in place."""
    part = next((part for kind, part in _PARTS.items() if isinstance(estimator, kind)), None)
    if part is None or not answers_several_labels(estimator):
        return
    members = [part(estimator, label) for label in range(len(estimator.classes_))]
    attributes = {
        "estimator": members[0],
        "estimators_": members,
        "classes_": list(estimator.classes_),
        "n_features_in_": estimator.n_features_in_,
        "n_jobs": None,
    }
    estimator.__class__ = MultiOutputClassifier
    estimator.__dict__ = attributes


def join_sequences(model: ModelProto) -> None:
    """Outputs that are sequences of matrices become one matrix, in place."""
    graph = model.graph
    for position, value in enumerate(list(graph.output)):
        if value.type.WhichOneof("value") != "sequence_type":
            continue
        joined = f"{value.name}_joined"
        graph.node.append(helper.make_node("ConcatFromSequence", [value.name], [joined], axis=1))
        element = value.type.sequence_type.elem_type.tensor_type.elem_type or TensorProto.FLOAT
        graph.output[position].CopyFrom(helper.make_tensor_value_info(joined, element, [None, None]))


def _of_tree(estimator: Any, label: int) -> Any:
    """The tree with the leaves of one label."""
    twin = copy.copy(estimator)
    classes = estimator.classes_[label]
    state = estimator.tree_.__getstate__()
    state["values"] = np.ascontiguousarray(state["values"][:, label : label + 1, : len(classes)])
    twin.tree_ = Tree(estimator.n_features_in_, np.array([len(classes)], dtype=np.intp), 1)
    twin.tree_.__setstate__(state)
    twin.classes_, twin.n_classes_, twin.n_outputs_ = classes, len(classes), 1
    return twin


def _of_forest(estimator: Any, label: int) -> Any:
    twin = copy.copy(estimator)
    twin.estimators_ = [_of_tree(member, label) for member in estimator.estimators_]
    twin.classes_, twin.n_classes_, twin.n_outputs_ = estimator.classes_[label], estimator.n_classes_[label], 1
    return twin


def _of_neighbours(estimator: Any, label: int) -> Any:
    twin = copy.copy(estimator)
    twin.classes_, twin.outputs_2d_ = estimator.classes_[label], False
    twin._y = np.ascontiguousarray(estimator._y[:, label])
    return twin


_PARTS: Mapping[type, Callable[[Any, int], Any]] = {
    DecisionTreeClassifier: _of_tree,
    RandomForestClassifier: _of_forest,
    ExtraTreesClassifier: _of_forest,
    KNeighborsClassifier: _of_neighbours,
}
"""What makes the classifier of one label of an estimator; an extra tree is a decision tree."""
