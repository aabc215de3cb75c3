"""LightGBM: what ``dump_model`` tells, read into an ``Ensemble``.

A row goes left while ``double(x) <= threshold`` (tree.h, NumericalDecision). What a missing value does depends on
the node: with ``missing_type`` None it counts as 0, with NaN it takes the default way, with Zero zeros take it as
well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from sklearn.preprocessing import LabelEncoder

from rapide.converters.errors import ConversionError
from rapide.converters.sources.boosters.ensemble import Ensemble, Link

_LINKS: Mapping[str, Link] = {
    "binary": "sigmoid",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "log1pexp",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    **dict.fromkeys(
        ("regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg"),
        "identity",
    ),
}
"""The objective → from the sum to the answer."""

_ZERO = float(np.float32(1e-35))


def opened(path: Path) -> Any:
    """See ``table.Booster``; what ``Booster.save_model`` wrote (.txt)."""
    try:
        booster = lightgbm.Booster(model_file=path)
    except (lightgbm.basic.LightGBMError, ValueError, OSError) as error:
        raise ConversionError(
            f"{path.name} is no LightGBM model: {str(error).splitlines()[0][:300]}",
            hint="Write it with booster.save_model('model.txt').",
        ) from error
    return wrapped(booster)


def wrapped(booster: Any) -> Any:
    """The scikit-learn estimator that answers as ``booster`` does. Files do not say what classes were called: they
    are 0, 1, …"""
    model = booster.dump_model(num_iteration=1)
    name = _objective(model)[0]
    kinds = {
        "binary": lightgbm.LGBMClassifier,
        "multiclass": lightgbm.LGBMClassifier,
        "multiclassova": lightgbm.LGBMClassifier,
        "lambdarank": lightgbm.LGBMRanker,
        "rank_xendcg": lightgbm.LGBMRanker,
    }
    estimator = kinds.get(name, lightgbm.LGBMRegressor)()
    estimator._Booster = booster
    estimator._n_features = estimator._n_features_in = booster.num_feature()
    estimator._best_iteration = booster.best_iteration
    estimator._objective = name
    estimator.fitted_ = True
    if isinstance(estimator, lightgbm.LGBMClassifier):
        classes = np.arange(max(2, int(model["num_class"])))
        estimator._le = LabelEncoder().fit(classes)
        estimator._classes, estimator._n_classes = classes, len(classes)
        estimator._class_map = dict(enumerate(classes.tolist()))
    return estimator


def ensemble(estimator: Any) -> Ensemble:
    """See ``table.Booster``."""
    model = estimator.booster_.dump_model()  # up to the best iteration, as predictions are made
    name, options = _objective(model)
    if name not in _LINKS:
        raise ConversionError(f"LightGBM's objective {name!r} cannot be converted")
    link = "signed_square" if "sqrt" in options else _LINKS[name]
    targets = int(model["num_tree_per_iteration"])
    slope = float(options.get("sigmoid", 1.0))
    found = Ensemble(targets, link, slope, is_wide=True, base=(0.0,) * targets)
    trees = model["tree_info"]
    share = targets / len(trees) if model["average_output"] and trees else 1.0
    for tree in trees:
        number = int(tree["tree_index"])
        _Walk(found, number, number % targets, share).add(tree["tree_structure"])
    return found


def categories(estimator: Any) -> dict[int, list[str]]:
    """See ``table.Booster``."""
    known = estimator.booster_.pandas_categorical or []
    infos = estimator.booster_.dump_model(num_iteration=1)
    columns = [
        position
        for position, name in enumerate(infos["feature_names"])
        if infos["feature_infos"].get(name, {}).get("values")
    ]
    if not all(isinstance(text, str) for texts in known for text in texts) or len(columns) != len(known):
        return {}
    return dict(zip(columns, known, strict=True))


def column_names(estimator: Any, given: Sequence[str]) -> tuple[str, ...]:
    """See ``table.Booster``. LightGBM writes underscores for spaces."""
    spelled = {name.replace(" ", "_"): name for name in given}
    names = tuple(estimator.booster_.feature_name())
    if names == tuple(f"Column_{position}" for position in range(len(names))):
        return ()
    return tuple(spelled.get(name, name) for name in names)


def missing_number(_estimator: Any) -> float:
    """See ``table.Booster``."""
    return math.nan


def _objective(model: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The name and its options: ``binary sigmoid:1``. Models without one (a custom loss) answer the sum itself."""
    name, *rest = str(model.get("objective", "regression")).split()
    return name, {key: value for key, _, value in (option.partition(":") for option in rest)}


def _beside_zero(threshold: float) -> float:
    """LightGBM takes the numbers nearest to zero for zero, before it compares them (``kZeroThreshold``)."""
    if abs(threshold) > _ZERO:
        return threshold
    return _ZERO if threshold >= 0.0 else math.nextafter(-_ZERO, -math.inf)


class _Walk:
    """One tree's nested notation, numbered and added from the root down."""

    def __init__(self, found: Ensemble, tree: int, target: int, share: float) -> None:
        self._found = found
        self._tree = tree
        self._target = target
        self._share = share

    def add(self, root: Mapping[str, Any]) -> None:
        self._spare = 1
        waiting = [(0, root)]
        for number, node in waiting:
            if "leaf_value" in node:
                self._add_leaf(number, node)
                continue
            left, right = self._take(), self._take()
            waiting += [(left, node["left_child"]), (right, node["right_child"])]
            if node["decision_type"] == "==":
                codes = [int(code) for code in str(node["threshold"]).split("||")]
                feature = int(node["split_feature"])
                self._spare = self._found.member(
                    self._tree, number, feature, codes, (left, right), self._spare, missing=False
                )
            else:
                self._add_comparison(number, node, (left, right))

    def _take(self) -> int:
        self._spare += 1
        return self._spare - 1

    def _add_leaf(self, number: int, node: Mapping[str, Any]) -> None:
        if node.get("leaf_coeff") or node.get("leaf_features"):
            raise ConversionError(
                "LightGBM's trees with linear models in their leaves (linear_tree) cannot be converted",
                hint="Train without linear_tree.",
            )
        self._found.leaf(self._tree, number, [float(node["leaf_value"]) * self._share], self._target)

    def _add_comparison(self, number: int, node: Mapping[str, Any], ways: tuple[int, int]) -> None:
        threshold = _beside_zero(float(node["threshold"]))
        if node["missing_type"] == "Zero":
            raise ConversionError(
                "LightGBM was trained to take zeros for missing values (zero_as_missing), which no ONNX tree can",
                hint="Train without zero_as_missing, with NaN for what is missing.",
            )
        missing = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
        self._found.branch(
            self._tree, number, "BRANCH_LEQ", int(node["split_feature"]), threshold, ways, missing=missing
        )
