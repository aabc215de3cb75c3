"""Walks through nested estimators: pipelines, column transformers, searches, ensembles.

Each node knows its path in the user's terms (``pipeline → columns → encoder``) and how to compute what its
estimator is given, from the frame that the whole model is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils.validation import check_is_fitted

from rapide.converters.errors import ConversionError
from rapide.converters.samples import Frame
from rapide.server.tensors import Array

Transform = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Node:
    """An estimator inside the model. ``before``: from the model's frame to this estimator's input."""

    path: str
    estimator: Any
    before: Transform
    columns: tuple[str, ...] = ()
    """The frame's columns that this estimator is given as they are, missing values perhaps filled; empty where
    anything else came before."""


def root(estimator: Any, columns: tuple[str, ...]) -> Node:
    return Node("", estimator, lambda frame: frame, columns)


def walk(node: Node) -> Iterator[Node]:
    """``node`` and all estimators within, depth first."""
    yield node
    for kind, children in _CHILDREN.items():
        if isinstance(node.estimator, kind):
            for child in children(node):
                yield from walk(child)
            return
    for child in _unnamed_members(node):
        yield from walk(child)


def parts(node: Node) -> Iterator[Node]:
    """The estimators that are converted one by one: those that only arrange others are left out."""
    for kind in _ARRANGERS:
        if isinstance(node.estimator, kind):
            for child in _CHILDREN[kind](node):
                yield from parts(child)
            return
    if hasattr(node.estimator, "best_estimator_"):
        yield from parts(_child(node, "best estimator", node.estimator.best_estimator_, node.before, node.columns))
        return
    yield node


def check_fitted(node: Node) -> None:
    """Raises ConversionError, naming the step, unless all of the model is fitted."""
    for part in parts(node):
        try:
            check_is_fitted(part.estimator)
        except NotFittedError:
            raise ConversionError(
                f"{describe(part)} is not fitted", hint="Call fit() before saving the model."
            ) from None


def describe(node: Node) -> str:
    """``step 'columns → encoder' (OneHotEncoder)``."""
    kind = type(node.estimator).__name__
    return f"step {node.path!r} ({kind})" if node.path else f"the model ({kind})"


def is_passthrough(step: Any) -> bool:
    """Whether a pipeline's step does nothing."""
    return step is None or isinstance(step, str)


def column_positions(transformer: Any) -> dict[str, list[int]]:
    """By member that is not dropped: the positions of its columns in the transformer's table."""
    # The public ``transformers_`` may hold names, masks, slices or callables; this is their fitted resolution.
    resolved = transformer._transformer_to_input_indices
    return {
        name: [int(position) for position in resolved[name]]
        for name, member, _columns in transformer.transformers_
        if not (isinstance(member, str) and member == "drop")
    }


def dense(matrix: Any) -> Array:
    """What a transformer gave, as a float64 matrix."""
    if hasattr(matrix, "toarray"):
        matrix = matrix.toarray()
    return np.asarray(matrix, dtype=np.float64)


def _child(node: Node, name: str, estimator: Any, before: Transform, columns: tuple[str, ...] = ()) -> Node:
    return Node(f"{node.path} → {name}" if node.path else name, estimator, before, columns)


def _of_pipeline(node: Node) -> Iterator[Node]:
    before, columns = node.before, node.columns
    for name, step in node.estimator.steps:
        if is_passthrough(step):
            continue
        yield _child(node, name, step, before, columns)
        if not hasattr(step, "transform"):  # the predictor: nothing comes after it
            return
        before, columns = _after(before, step), columns if _only_fills(step, len(columns)) else ()


def _only_fills(step: Any, columns: int) -> bool:
    """Whether what comes out of ``step`` are the ``columns`` that went in, but for missing values."""
    return (
        isinstance(step, SimpleImputer)
        and not step.add_indicator
        and len(step.statistics_) == columns
        and (step.keep_empty_features or not pd.isna(step.statistics_).any())
    )


def _after(before: Transform, step: Any) -> Transform:
    return lambda frame: step.transform(before(frame))


def _of_column_transformer(node: Node) -> Iterator[Node]:
    transformer = node.estimator
    names = tuple(str(name) for name in getattr(transformer, "feature_names_in_", ()))
    resolved = column_positions(transformer)
    for name, member, _columns in transformer.transformers_:
        if isinstance(member, str):  # "passthrough", "drop"
            continue
        positions = resolved[name]
        chosen = tuple(names[position] for position in positions) if names and node.columns else ()
        yield _child(node, name, member, _select(node.before, positions), chosen)


def _select(before: Transform, positions: list[int]) -> Transform:
    def selected(frame: Frame) -> Any:
        table = before(frame)
        return table.iloc[:, positions] if hasattr(table, "iloc") else table[:, positions]

    return selected


def _of_union(node: Node) -> Iterator[Node]:
    for name, member in node.estimator.transformer_list:
        if not isinstance(member, str):
            yield _child(node, name, member, node.before, node.columns)


def _of_target_transformer(node: Node) -> Iterator[Node]:
    yield _child(node, "regressor", node.estimator.regressor_, node.before, node.columns)


def _of_calibrated(node: Node) -> Iterator[Node]:
    for number, member in enumerate(node.estimator.calibrated_classifiers_):
        yield _child(node, f"fold {number + 1}", member.estimator, node.before, node.columns)


def _unnamed_members(node: Node) -> Iterator[Node]:
    """The members of a search, a forest, a boosted, bagged, voting or stacking ensemble."""
    estimator = node.estimator
    if hasattr(estimator, "best_estimator_"):
        yield _child(node, "best estimator", estimator.best_estimator_, node.before, node.columns)
        return
    members = getattr(estimator, "estimators_", None)
    if members is None:
        return
    # Not np.asarray: a forest is a sequence of its trees, and would be taken apart.
    flat = list(members.ravel()) if isinstance(members, np.ndarray) else list(members)
    chosen = getattr(estimator, "estimators_features_", None)
    for number, member in enumerate(flat):
        if not hasattr(member, "get_params"):
            continue
        before = node.before if chosen is None else _select(node.before, list(chosen[number]))
        yield _child(node, f"member {number + 1}", member, before)


_CHILDREN: Mapping[type, Callable[[Node], Iterator[Node]]] = {
    Pipeline: _of_pipeline,
    ColumnTransformer: _of_column_transformer,
    FeatureUnion: _of_union,
    TransformedTargetRegressor: _of_target_transformer,
    CalibratedClassifierCV: _of_calibrated,
}
_ARRANGERS = (Pipeline, ColumnTransformer, FeatureUnion)
