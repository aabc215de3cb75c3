"""CatBoost: its JSON notation of a model, read into an ``Ensemble``.

Its trees are oblivious: one comparison ``float32(x) > border`` a level, bit by bit the number of the leaf.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import catboost

from rapide.converters.errors import ConversionError
from rapide.converters.sources.boosters.ensemble import Ensemble, Link

_LINKS: Mapping[str, Link] = {
    "Logloss": "sigmoid",
    "CrossEntropy": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "sigmoid",
    "Poisson": "exp",
    "Tweedie": "exp",
    **dict.fromkeys(
        (
            *(
                "RMSE",
                "MAE",
                "Quantile",
                "LogLinQuantile",
                "MAPE",
                "Lq",
                "Huber",
                "Expectile",
                "MultiRMSE",
                "LogCosh",
            ),
            *("PairLogit", "PairLogitPairwise", "YetiRank", "YetiRankPairwise", "QueryRMSE", "QuerySoftMax"),
        ),
        "identity",
    ),
}
"""The loss → from the sum to the answer."""


def opened(path: Path) -> Any:
    """See ``table.Booster``; what ``save_model`` wrote (.cbm)."""
    plain = catboost.CatBoost()
    try:
        plain.load_model(str(path))
    except (catboost.CatBoostError, OSError) as error:
        raise ConversionError(
            f"{path.name} is no CatBoost model: {str(error).splitlines()[0][:300]}",
            hint="Write it with model.save_model('model.cbm').",
        ) from error
    kind = catboost.CatBoostClassifier if _is_classification(_loss(plain)) else catboost.CatBoostRegressor
    estimator = kind()
    estimator.load_model(str(path))
    return estimator


def ensemble(estimator: Any) -> Ensemble:
    """See ``table.Booster``."""
    model = _notation(estimator)
    loss = _loss(estimator)
    if loss not in _LINKS:
        raise ConversionError(f"CatBoost's loss {loss!r} cannot be converted")
    if "oblivious_trees" not in model:
        raise ConversionError(
            "CatBoost's trees of other shapes than the usual ones cannot be converted",
            hint="Train with grow_policy='SymmetricTree', the default.",
        )
    scale, bias = model["scale_and_bias"]
    base = tuple(float(value) for value in (bias or [0.0]))
    targets = max(1, len(base))
    features = model["features_info"]["float_features"]
    found = Ensemble(targets, _LINKS[loss], base=base)
    for number, tree in enumerate(model["oblivious_trees"]):
        _add_tree(found, number, tree, features, float(scale))
    return found


def wrapped(booster: Any) -> Any:
    """See ``table.Booster``. CatBoost has no such class."""
    return booster


def categories(_estimator: Any) -> dict[int, list[str]]:
    """See ``table.Booster``. CatBoost's categories are statistics of the training rows, not codes."""
    return {}


def column_names(estimator: Any, given: Sequence[str]) -> tuple[str, ...]:  # noqa: ARG001 - they are kept as given
    """See ``table.Booster``."""
    names = tuple(map(str, estimator.feature_names_))
    return () if names == tuple(map(str, range(len(names)))) else names


def missing_number(_estimator: Any) -> float:
    """See ``table.Booster``."""
    return math.nan


def _notation(estimator: Any) -> Any:
    if estimator.get_cat_feature_indices() or estimator.get_text_feature_indices():
        raise ConversionError(
            "CatBoost's category and text features cannot be converted: it replaces them by statistics of the "
            "training rows, for which ONNX has no operator",
            hint="Encode them before (OneHotEncoder or TargetEncoder in a pipeline), and train on numbers.",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        estimator.save_model(str(path), format="json")
        return json.loads(path.read_text(encoding="utf-8"))


def _loss(estimator: Any) -> str:
    return str(estimator.get_all_params().get("loss_function", "RMSE")).partition(":")[0]


def _is_classification(loss: str) -> bool:
    return loss in ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll")


def _add_tree(
    found: Ensemble, number: int, tree: Mapping[str, Any], features: list[Mapping[str, Any]], scale: float
) -> None:
    """The comparison of the last level is made first; nodes are numbered as in a heap."""
    splits = list(reversed(tree["splits"] or []))
    columns = {feature["feature_index"]: feature for feature in features}
    depth = len(splits)
    for node in range(2**depth - 1):
        split = splits[(node + 1).bit_length() - 1]
        if split["split_type"] != "FloatFeature":
            raise ConversionError(f"CatBoost's comparisons of kind {split['split_type']} cannot be converted")
        feature = columns[split["float_feature_index"]]
        found.branch(
            number,
            node,
            "BRANCH_GT",
            int(feature["flat_feature_index"]),
            float(split["border"]),
            (2 * node + 2, 2 * node + 1),
            missing=feature["nan_value_treatment"] == "AsTrue",
        )
    values = tree["leaf_values"]
    for leaf in range(2**depth):
        weights = values[leaf * found.targets : (leaf + 1) * found.targets]
        found.leaf(number, 2**depth - 1 + leaf, [scale * float(weight) for weight in weights])
