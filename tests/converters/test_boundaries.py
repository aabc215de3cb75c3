"""The rows must sit exactly on the model's own thresholds: checked against the model, not against the search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from rapide.converters.boundaries import BoundaryRows, boundary_rows
from rapide.converters.columns import Column, Precision
from rapide.converters.samples import column_kind
from rapide.converters.sources.scikit_learn.splits import split_sites
from rapide.converters.sources.scikit_learn.structure import root
from tests.converters.material import cars, floats, price


def found(estimator: Any, frame: Any, precision: Precision = "float32", most: int = 64) -> BoundaryRows:
    columns = tuple(Column(name, column_kind(frame[name])) for name in frame.columns)
    return boundary_rows(split_sites(root(estimator, tuple(frame.columns)), most), frame, columns, precision)


def test_a_bare_tree_is_met_on_its_thresholds_and_one_float32_either_side() -> None:
    frame = floats()
    tree = DecisionTreeRegressor(max_depth=1, random_state=0).fit(frame, frame.sum(axis=1))
    feature, threshold = frame.columns[tree.tree_.feature[0]], tree.tree_.threshold[0]
    rows = found(tree, frame)
    values = rows.frame[feature].to_numpy()
    below = (
        np.float32(threshold) if np.float32(threshold) <= threshold else np.nextafter(np.float32(threshold), -9)
    )
    assert values.tolist() == [
        np.nextafter(below, np.float32(-np.inf)),
        below,
        np.nextafter(below, np.float32(np.inf)),
        np.nextafter(np.nextafter(below, np.float32(np.inf)), np.float32(np.inf)),
    ]


@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_behind_a_scaler_neighbouring_numbers_go_different_ways(precision: Precision) -> None:
    frame = floats()
    model = make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=3, random_state=0))
    model.fit(frame, frame.sum(axis=1))
    rows = found(model, frame, precision)
    leaves = model[1].apply(model[0].transform(rows.frame)).reshape(-1, 4)
    assert rows.found == rows.tried == model[1].tree_.node_count - model[1].tree_.n_leaves
    assert (leaves[:, 1] != leaves[:, 2]).all(), "the two neighbours in the middle fall on either side"


def test_other_columns_keep_a_real_rows_values() -> None:
    frame = floats()
    tree = DecisionTreeRegressor(max_depth=2, random_state=0).fit(frame, frame["width"])
    rows = found(tree, frame).frame
    known = {tuple(row) for row in frame[["height", "depth"]].to_numpy()}
    assert {tuple(row) for row in rows[["height", "depth"]].to_numpy()} <= known


def test_mixed_columns_behind_a_column_transformer() -> None:
    frame = cars()
    encode = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    scale = make_pipeline(SimpleImputer(), StandardScaler())
    model = make_pipeline(
        ColumnTransformer(
            [("texts", encode, ["make", "fuel"]), ("numbers", scale, ["year", "automatic", "mileage"])]
        ),
        RandomForestRegressor(5, random_state=0),
    ).fit(frame, price(frame))
    rows = found(model, frame, most=50)
    assert 20 < rows.found <= rows.tried == 50, "one-hot columns have thresholds that no number reaches"
    assert rows.frame.dtypes.equals(frame.dtypes)
    assert any(why.startswith("year on a threshold of randomforestregressor → member") for why in rows.whys)
    assert len(rows.whys) == len(rows.frame)


def test_histogram_trees_compare_doubles() -> None:
    frame = floats()
    model = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=5).fit(frame, frame.sum(axis=1))
    rows = found(model, frame, "float64")
    pairs = model.predict(rows.frame).reshape(-1, 4)
    assert rows.found == rows.tried > 3
    assert (pairs[:, 1] != pairs[:, 2]).mean() > 0.9, "unless a row reaches the split no more once it is moved"


@pytest.mark.parametrize(
    "step", [Binarizer(threshold=0.3), KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf")]
)
def test_binners_have_thresholds_too(step: Any) -> None:
    frame = floats()
    model = make_pipeline(StandardScaler(), step).fit(frame)
    rows = found(model, frame)
    out = np.asarray(
        model.transform(rows.frame).todense() if hasattr(step, "n_bins_") else model.transform(rows.frame)
    )
    assert rows.found == rows.tried >= 3
    fours = out.reshape(rows.found, 4, -1)
    assert (fours != fours[:, :1]).any(axis=(1, 2)).all(), "bins turn below their edge, binarisers above"


def test_columns_that_the_model_does_not_let_move_are_left_alone() -> None:
    frame = pd.DataFrame({"doors": [2, 3, 4, 5] * 10, "size": np.linspace(0, 1, 40)})
    columns = ColumnTransformer([("doors", OrdinalEncoder(), ["doors"])], remainder="passthrough")
    model = make_pipeline(columns, DecisionTreeRegressor()).fit(frame, frame["doors"] + frame["size"])
    rows = found(model, frame)
    assert rows.found > 0
    assert all(why.startswith("size") for why in rows.whys)


def test_a_model_without_thresholds_has_no_such_rows() -> None:
    frame = floats()
    assert found(StandardScaler().fit(frame), frame).frame is None


def test_large_forests_are_sampled_over_all_their_trees() -> None:
    frame = floats()
    forest = RandomForestRegressor(20, random_state=0).fit(frame, frame.sum(axis=1))
    sites = split_sites(root(forest, tuple(frame.columns)), 40)
    assert sum(len(site.thresholds) for site in sites) == 40
    assert len({path for site in sites for path in site.paths}) >= 18


def test_the_decimals_that_a_client_would_write_are_met_too() -> None:
    frame = floats()
    boosted = HistGradientBoostingRegressor(max_iter=2, max_depth=2, min_samples_leaf=5).fit(frame, frame["width"])
    rows = found(boosted, frame)
    moved = rows.written.round(2)
    assert rows.written.equals(moved)
    thresholds = boosted._predictors[0][0].nodes["num_threshold"][boosted._predictors[0][0].nodes["is_leaf"] == 0]
    decimals = [each for each in thresholds if round(each, 2) == each]
    assert decimals, "thresholds half way between decimals are decimals themselves"
    assert set(decimals) <= set(moved.to_numpy().ravel())
    assert len(rows.written_whys) == len(rows.written)


@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_no_decimals_are_made_up_for_columns_that_hold_none(kind: type) -> None:
    frame = (floats() * 10).astype(kind)
    boosted = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5).fit(frame, frame["width"])
    assert found(boosted, frame).written is None


def test_doubles_are_met_exactly_without() -> None:
    frame = floats()
    boosted = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5).fit(frame, frame["width"])
    assert found(boosted, frame, "float64").written is None
