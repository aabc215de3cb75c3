"""XGBoost: its JSON notation of a model (doc/model.schema in its repository), read into an ``Ensemble``.

A row goes left while ``float32(x) < split_condition``. ``base_score`` is written on the scale of the answers; the
sums start from its inverse under the link. Categories: a row goes *right* where its code is one of the node's.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xgboost

from rapide.converters.errors import ConversionError
from rapide.converters.sources.boosters.ensemble import Ensemble, Link

_LINKS: Mapping[str, Link] = {
    "binary:logistic": "sigmoid",
    "reg:logistic": "sigmoid",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
    "binary:hinge": "step",
    **dict.fromkeys(
        (
            "reg:squarederror",
            "reg:squaredlogerror",
            "reg:absoluteerror",
            "reg:pseudohubererror",
            "reg:quantileerror",
            "reg:expectileerror",
            "binary:logitraw",
            "rank:ndcg",
            "rank:map",
            "rank:pairwise",
        ),
        "identity",
    ),
}
"""The objective → from the sum to the answer."""
_LOGIT = ("binary:logistic", "reg:logistic", "binary:logitraw")


def opened(path: Path) -> Any:
    """See ``table.Booster``; what ``save_model`` wrote (.ubj, .json)."""
    booster = xgboost.Booster()
    try:
        booster.load_model(path)
    except (xgboost.core.XGBoostError, ValueError, OSError) as error:
        raise ConversionError(
            f"{path.name} is no XGBoost model: {str(error).splitlines()[0][:300]}",
            hint="Write it with model.save_model('model.ubj').",
        ) from error
    return wrapped(booster)


def wrapped(booster: Any) -> Any:
    """The scikit-learn estimator that answers as ``booster`` does."""
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    kinds = {"binary": xgboost.XGBClassifier, "multi": xgboost.XGBClassifier, "rank": xgboost.XGBRanker}
    estimator = kinds.get(objective.partition(":")[0], xgboost.XGBRegressor)()
    estimator.load_model(booster.save_raw("ubj"))
    return estimator


def ensemble(estimator: Any) -> Ensemble:
    """See ``table.Booster``."""
    learner = json.loads(estimator.get_booster().save_raw("json"))["learner"]
    objective = learner["objective"]["name"]
    if objective not in _LINKS:
        raise ConversionError(f"XGBoost's objective {objective!r} cannot be converted")
    gbtree, dropped = _gbtree(learner["gradient_booster"])
    parameters = learner["learner_model_param"]
    targets = max(int(parameters["num_class"]), int(parameters["num_target"]), 1)
    link = _LINKS[objective]
    found = Ensemble(targets, link, base=_base(parameters["base_score"], objective, targets))
    for number in _used(estimator, gbtree):
        tree = gbtree["trees"][number]
        _add_tree(found, tree, number, gbtree["tree_info"][number], dropped[number] if dropped else 1.0)
    return found


def categories(estimator: Any) -> dict[int, list[str]]:
    """See ``table.Booster``. Only XGBoost 3.1 and later keep them."""
    gbtree, _ = _gbtree(json.loads(estimator.get_booster().save_raw("json"))["learner"]["gradient_booster"])
    found = {}
    for column, encoded in enumerate(gbtree.get("cats", {}).get("enc", [])):
        if encoded.get("offsets"):
            content = bytes(value & 0xFF for value in encoded["values"])
            if not content.isascii():
                raise ConversionError(
                    "XGBoost keeps category names cut off where they are not ASCII (it counts letters, not bytes)",
                    hint="Train on names without accents, or put an OneHotEncoder or OrdinalEncoder before it.",
                )
            found[column] = [
                content[start:stop].decode() for start, stop in itertools.pairwise(encoded["offsets"])
            ]
    return found


def column_names(estimator: Any, given: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG001 - they are kept as given
    """See ``table.Booster``."""
    return tuple(estimator.get_booster().feature_names or ())


def missing_number(estimator: Any) -> float:
    """See ``table.Booster``."""
    return float(getattr(estimator, "missing", math.nan))


def _gbtree(booster: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[float]]:
    """The trees, and what DART multiplies each of them with."""
    if booster["name"] == "dart":
        return booster["gbtree"]["model"], booster["weight_drop"]
    if booster["name"] != "gbtree":
        raise ConversionError(
            f"XGBoost's booster {booster['name']!r} has no trees",
            hint="Use a linear model of scikit-learn instead.",
        )
    return booster["model"], []


def _used(estimator: Any, gbtree: Mapping[str, Any]) -> range:
    """The trees that the estimator answers with: after early stopping not all."""
    _first, rounds = estimator._get_iteration_range(None)
    indices = gbtree["iteration_indptr"]
    return range(indices[rounds] if rounds else len(gbtree["trees"]))


def _base(stated: str, objective: str, targets: int) -> tuple[float, ...]:
    values = json.loads(stated)
    values = values if isinstance(values, list) else [values]
    if objective in _LOGIT:
        inverse: Callable[[float], float] = lambda value: math.log(value / (1 - value))  # noqa: E731
    elif _LINKS[objective] == "exp":
        inverse = math.log
    else:
        inverse = float
    return tuple(inverse(float(value)) for value in (values * targets if len(values) == 1 else values))


def _add_tree(found: Ensemble, tree: Mapping[str, Any], number: int, target: int, factor: float) -> None:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise ConversionError(
            "XGBoost's trees with vectors in their leaves cannot be converted",
            hint="Train with multi_strategy='one_output_per_tree'.",
        )
    left, right = tree["left_children"], tree["right_children"]
    sets = dict(zip(tree["categories_nodes"], _segments(tree), strict=True))
    spare = len(left)
    for node in _top_down(left, right):
        by_default_left = bool(tree["default_left"][node])
        if left[node] < 0:
            found.leaf(number, node, [tree["split_conditions"][node] * factor], target)
        elif node in sets:
            ways = (right[node], left[node])
            feature = tree["split_indices"][node]
            spare = found.member(number, node, feature, sets[node], ways, spare, missing=not by_default_left)
        else:
            ways = (left[node], right[node])
            condition = tree["split_conditions"][node]
            feature = tree["split_indices"][node]
            found.branch(number, node, "BRANCH_LT", feature, condition, ways, missing=by_default_left)


def _segments(tree: Mapping[str, Any]) -> list[list[int]]:
    segments = zip(tree["categories_segments"], tree["categories_sizes"], strict=True)
    return [tree["categories"][start : start + size] for start, size in segments]


def _top_down(left: list[int], right: list[int]) -> list[int]:
    """Nodes that are used, parents first: pruned ones stay in the file."""
    order = [0]
    for node in order:
        if left[node] >= 0:
            order += [left[node], right[node]]
    return order
