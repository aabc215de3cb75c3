"""XGBoost, LightGBM and CatBoost, trained here: alone, within pipelines, and from files of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from rapide.converters.convert import Published
from rapide.converters.errors import ConversionError
from rapide.converters.row_kinds import THRESHOLD
from tests.converters.extras import imported, installed
from tests.converters.material import cars, converted, floats, price, random, three_classes, two_classes
from tests.converters.sources.conftest import Publish

SMALL: dict[str, dict[str, Any]] = {
    "xgboost": {"n_estimators": 12, "max_depth": 4},
    "lightgbm": {"n_estimators": 12, "num_leaves": 8, "min_child_samples": 5, "verbose": -1},
    "catboost": {"iterations": 12, "depth": 4, "verbose": 0, "allow_writing_files": False},
}
NAMES = {
    "xgboost": ("XGBClassifier", "XGBRegressor"),
    "lightgbm": ("LGBMClassifier", "LGBMRegressor"),
    "catboost": ("CatBoostClassifier", "CatBoostRegressor"),
}
XGBOOST, LIGHTGBM, CATBOOST = (installed(name, name) for name in SMALL)
LIBRARIES = [
    pytest.param(name, marks=mark) for name, mark in zip(SMALL, (XGBOOST, LIGHTGBM, CATBOOST), strict=True)
]


def made(library: str, kind: int, **options: Any) -> Any:
    """``kind`` 0: a classifier, 1: a regressor."""
    return getattr(imported(library), NAMES[library][kind])(**{**SMALL[library], **options})


def on_thresholds(published: Published) -> int:
    checks = [check for check in published.manifest.parity["checks"] if check["set"] == THRESHOLD]
    return sum(check["rows"] for check in checks)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("target", [two_classes, three_classes], ids=["two classes", "three classes"])
def test_classifiers(tmp_path: Path, library: str, target: Callable[[Any], Any]) -> None:
    frame = floats()
    published = converted(tmp_path, made(library, 0), frame, target(frame))
    manifest = published.manifest
    assert [spec.name for spec in manifest.signature.outputs] == ["label", "probabilities"]
    assert manifest.signature.outputs[0].shape == (-1,)
    assert manifest.quality["accuracy"] > 0.8
    # LightGBM compares doubles, half way between the decimals of the training.
    assert published.chosen.precision == ("float64" if library == "lightgbm" else "float32")
    assert on_thresholds(published) > 20


@pytest.mark.parametrize("library", LIBRARIES)
def test_regressors_with_missing_values(tmp_path: Path, library: str) -> None:
    frame = floats()
    target = frame["width"] * 2 + frame["depth"]
    frame.loc[::7, "width"] = np.nan
    published = converted(tmp_path, made(library, 1), frame, target)
    assert published.manifest.quality["r2"] > 0.5
    assert not published.manifest.features[0].required


@pytest.mark.parametrize("library", LIBRARIES)
def test_pipelines_with_scikit_learn_are_one_graph(tmp_path: Path, library: str) -> None:
    frame = cars()
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [
            ("texts", texts, ["make", "fuel"]),
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["year", "automatic", "mileage"]),
        ]
    )
    published = converted(tmp_path, make_pipeline(columns, made(library, 1)), frame, price(frame))
    assert [spec.name for spec in published.manifest.signature.inputs] == list(frame.columns)
    assert published.chosen.precision in ("mixed", "float64")  # single precision flips decisions behind the scaler
    assert published.manifest.quality["r2"] > 0.5


@pytest.mark.parametrize("library", [LIBRARIES[1], LIBRARIES[2]])
def test_classes_may_be_texts(tmp_path: Path, library: str) -> None:
    frame = floats()
    truth = two_classes(frame).map({0: "no", 1: "yes"})
    published = converted(tmp_path, made(library, 0), frame, truth)
    assert published.manifest.predictions[0].classes == ("no", "yes")
    assert published.manifest.quality["accuracy"] > 0.8


def category_table() -> tuple[Any, Any]:
    frame = floats(200)
    frame["make"] = pd.Categorical(random(3).choice(["Ford", "VW", "Seat", "Fiat", "Opel"], len(frame)))
    offsets = {"Ford": 3.0, "VW": -2.0, "Seat": 0.0, "Fiat": 5.0, "Opel": 1.0}
    return frame, frame["make"].map(offsets).astype(float) + frame["width"]


@pytest.mark.parametrize(
    ("library", "options"),
    [
        pytest.param("xgboost", {"enable_categorical": True, "max_cat_to_onehot": 1}, marks=XGBOOST),
        pytest.param("lightgbm", {"min_data_per_group": 1, "cat_smooth": 0}, marks=LIGHTGBM),
    ],
)
def test_category_columns_are_texts(tmp_path: Path, library: str, options: dict[str, Any]) -> None:
    frame, target = category_table()
    published = converted(tmp_path, made(library, 1, **options), frame, target)
    feature = published.manifest.features[3]
    assert (feature.name, feature.kind) == ("make", "text")
    assert published.manifest.quality["r2"] > 0.7


@XGBOOST
def test_names_that_xgboost_cuts_off_are_refused(tmp_path: Path) -> None:
    frame, target = category_table()
    frame["make"] = frame["make"].cat.rename_categories({"Seat": "Škoda"})
    with pytest.raises(ConversionError, match="cut off where they are not ASCII"):
        converted(tmp_path, made("xgboost", 1, enable_categorical=True), frame, target)


@LIGHTGBM
def test_columns_with_spaces(tmp_path: Path) -> None:
    frame = floats().rename(columns={"width": "the width"})
    published = converted(tmp_path, made("lightgbm", 1), frame, frame["the width"])
    assert published.manifest.features[0].name == "the width"


OBJECTIVES = [
    *[
        pytest.param("xgboost", 1, {"objective": name}, marks=XGBOOST, id=f"xgboost {name}")
        for name in (
            *("reg:absoluteerror", "reg:gamma", "reg:tweedie", "count:poisson", "reg:logistic"),
            *("reg:pseudohubererror", "reg:squaredlogerror"),
        )
    ],
    pytest.param("xgboost", 0, {"booster": "dart", "rate_drop": 0.5}, marks=XGBOOST, id="dart"),
    pytest.param("xgboost", 1, {"missing": -1.0}, marks=XGBOOST, id="another missing value"),
    pytest.param("xgboost", 1, {"num_parallel_tree": 3, "subsample": 0.5}, marks=XGBOOST, id="forest"),
    *[
        pytest.param("lightgbm", 1, {"objective": name}, marks=LIGHTGBM, id=f"lightgbm {name}")
        for name in ("regression_l1", "huber", "quantile", "poisson", "gamma", "tweedie", "cross_entropy")
    ],
    pytest.param("lightgbm", 1, {"reg_sqrt": True}, marks=LIGHTGBM, id="square roots"),
    pytest.param(
        "lightgbm", 0, {"boosting_type": "rf", "subsample": 0.5, "subsample_freq": 1},
        marks=LIGHTGBM, id="random forest",
    ),
    *[
        pytest.param("catboost", 1, {"loss_function": name}, marks=CATBOOST, id=f"catboost {name}")
        for name in ("MAE", "Poisson", "Quantile:alpha=0.8", "Tweedie:variance_power=1.5")
    ],
]  # fmt: skip


@pytest.mark.parametrize(("library", "kind", "options"), OBJECTIVES)
def test_objectives(tmp_path: Path, library: str, kind: int, options: dict[str, Any]) -> None:
    frame = floats()
    target = 1 / (1 + np.exp(-frame["width"] - frame["depth"]))
    truth = (target > 0.5).astype(int) if kind == 0 else target
    published = converted(tmp_path, made(library, kind, **options), frame, truth, baseline="none")
    assert published.chosen.passed


@pytest.mark.parametrize(
    ("library", "kind", "options"),
    [
        pytest.param("lightgbm", 0, {"objective": "multiclassova"}, marks=LIGHTGBM, id="lightgbm"),
        pytest.param(
            "catboost",
            0,
            {"loss_function": "MultiClassOneVsAll"},
            marks=CATBOOST,
            id="catboost",
        ),
    ],
)
def test_one_class_against_all(tmp_path: Path, library: str, kind: int, options: dict[str, Any]) -> None:
    frame = floats()
    assert converted(tmp_path, made(library, kind, **options), frame, three_classes(frame)).chosen.passed


@XGBOOST
def test_several_targets(tmp_path: Path) -> None:
    frame = floats()
    model = made("xgboost", 1).fit(frame, frame[["width", "depth"]] * 2)
    published = converted(tmp_path, model, frame, fit=False)
    assert published.manifest.signature.outputs[0].shape == (-1, 2)


@XGBOOST
def test_early_stopping_is_respected(tmp_path: Path) -> None:
    frame, noise = floats(), pd.Series(random(4).normal(size=120))
    model = made("xgboost", 1, n_estimators=60, early_stopping_rounds=2)
    model.fit(frame, noise, eval_set=[(frame[::-1], noise)], verbose=False)
    assert model.best_iteration < 59
    assert converted(tmp_path, model, frame, fit=False).chosen.passed


FILES = [
    pytest.param("xgboost", "model.ubj", marks=XGBOOST),
    pytest.param("xgboost", "model.json", marks=XGBOOST),
    pytest.param("lightgbm", "model.txt", marks=LIGHTGBM),
    pytest.param("catboost", "model.cbm", marks=CATBOOST),
]


@pytest.mark.parametrize(("library", "name"), FILES)
@pytest.mark.parametrize("kind", [0, 1], ids=["classifier", "regressor"])
def test_files_of_their_own(tmp_path: Path, publish: Publish, library: str, name: str, kind: int) -> None:
    frame = floats()
    truth = three_classes(frame) if kind == 0 else frame["width"] * 3
    model = made(library, kind).fit(frame, truth)
    (model.booster_ if library == "lightgbm" else model).save_model(str(tmp_path / name))
    found = publish(tmp_path / name, frame.assign(truth=truth), target="truth")
    assert found.manifest.lineage["task"] == ("classifier", "regressor")[kind]
    assert found.manifest.quality["accuracy" if kind == 0 else "r2"] > 0.7


@pytest.mark.parametrize(("library", "name"), FILES[:3])
def test_texts_to_compare_with_are_those_that_classes_names(
    tmp_path: Path, publish: Publish, library: str, name: str
) -> None:
    """A file of the library's own knows its classes by number alone; the sample still has their names."""
    frame = floats()
    numbers = two_classes(frame)
    model = made(library, 0).fit(frame, numbers)
    (model.booster_ if library == "lightgbm" else model).save_model(str(tmp_path / name))
    named = frame.assign(buys=numbers.map({0: "no", 1: "yes"}))
    found = publish(tmp_path / name, named, target="buys", classes=("no", "yes"), metric="accuracy")
    assert found.manifest.quality["accuracy"] > 0.9
    with pytest.raises(ConversionError, match="holds 'maybe', which the model has no class for"):
        publish(
            tmp_path / name,
            frame.assign(buys=["maybe", *named["buys"][1:]]),
            target="buys",
            classes=("no", "yes"),
        )


@XGBOOST
def test_a_booster_without_scikit_learn(tmp_path: Path, publish: Publish) -> None:
    xgboost = imported("xgboost")
    frame = floats()
    booster = xgboost.train(
        {"objective": "binary:logistic"}, xgboost.DMatrix(frame, two_classes(frame)), num_boost_round=8
    )
    joblib.dump(booster, tmp_path / "model.joblib")
    found = publish(tmp_path / "model.joblib", frame.assign(truth=two_classes(frame)), target="truth")
    assert found.manifest.quality["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("library", "options", "message"),
    [
        pytest.param("xgboost", {"booster": "gblinear"}, "'gblinear' has no trees.*linear model", marks=XGBOOST),
        pytest.param("lightgbm", {"linear_tree": True}, "linear_tree", marks=LIGHTGBM),
        pytest.param("lightgbm", {"zero_as_missing": True}, "with NaN for what is missing", marks=LIGHTGBM),
        pytest.param("catboost", {"grow_policy": "Depthwise"}, "SymmetricTree", marks=CATBOOST),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_said(
    tmp_path: Path, library: str, options: dict[str, Any], message: str
) -> None:
    frame = floats()
    frame.loc[::3, "width"] = 0.0
    with pytest.raises(ConversionError) as refused:
        converted(tmp_path, made(library, 1, **options), frame, frame["width"] * 2 + frame["depth"])
    assert re.search(message, str(refused.value))


@CATBOOST
def test_categories_of_catboost_are_refused_with_the_remedy(tmp_path: Path) -> None:
    frame, target = category_table()
    model = made("catboost", 1, cat_features=["make"])
    with pytest.raises(ConversionError, match="statistics of the training rows"):
        converted(tmp_path, model, frame.astype({"make": "object"}), target)


@pytest.mark.parametrize(("library", "name"), FILES)
def test_files_that_hold_no_model(tmp_path: Path, publish: Publish, library: str, name: str) -> None:
    (tmp_path / name).write_bytes(b"tree\nversion=v9\nnonsense")
    with pytest.raises(ConversionError, match=f"{name} is no .* model"):
        publish(tmp_path / name, floats())
