"""What a user may get wrong: each is told in words, with what to do, and nothing is published."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import DBSCAN
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from rapide.converters.convert import convert
from rapide.converters.options import ConvertOptions
from rapide.server.errors import InvalidRequest, RapideError
from tests.converters.in_process import InProcess
from tests.converters.material import cars, floats, price, saved, two_classes


class Doubler(TransformerMixin, BaseEstimator):
    """A transformer of the user's own, which no converter knows."""

    def fit(self, features: Any, target: Any = None) -> Doubler:
        self.n_features_in_ = features.shape[1]
        return self

    def transform(self, features: Any) -> Any:
        return features * 2


def refusal(folder: Path, **changed: Any) -> str:
    """What converting ``folder``'s model says; asserts that nothing came of it."""
    options = {
        "model": folder / "model.joblib",
        "sample": folder / "sample.parquet",
        "repository": folder / "models",
        "name": "subject",
        **changed,
    }
    with pytest.raises(RapideError) as refused:
        convert(ConvertOptions(**options), lambda kind, text: None, sandbox=InProcess())
    assert not (folder / "models").exists()
    return str(refused.value)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A folder with a model and a sample that fit."""
    frame = floats()
    saved(tmp_path, make_pipeline(StandardScaler(), LogisticRegression()), frame, two_classes(frame))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        pytest.param("model.pkl", b"", "model.pkl is empty", id="empty"),
        pytest.param("model.pkl", b"import sys\n", "model.pkl is not a pickle or joblib file", id="a script"),
        pytest.param("model.pkl", b"PK\x03\x04....", "is not a pickle or joblib file", id="a zip file"),
        pytest.param(
            "model.pkl", pickle.dumps([1, 2])[:-3], "cannot be unpickled: .* may be cut off", id="cut off"
        ),
        pytest.param("model.pkl", b"\x80\x04cnot_there\nThing\n.", "needs the module 'not_there'", id="a module"),
        pytest.param(
            "model.pkl", b"\x80\x04c__main__\nThing\n.", "needs code that is not here.*module", id="a class"
        ),
        pytest.param(
            "model.pkl", pickle.dumps({"model": 1}), "holds a dict, not a scikit-learn estimator", id="a dict"
        ),
        pytest.param("model.h6", b"", r"no model file .* Give a file ending in \.joblib", id="another suffix"),
    ],
)
def test_files_that_hold_no_model(good: Path, name: str, content: bytes, message: str) -> None:
    (good / name).write_bytes(content)
    assert re.search(message, refusal(good, model=good / name), re.DOTALL)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param(
            {"model": Path("nowhere.joblib")}, "the model file nowhere.joblib does not exist", id="no model"
        ),
        pytest.param({"sample": Path("nowhere.csv")}, "the sample nowhere.csv does not exist", id="no sample"),
        pytest.param({"name": "a/b"}, "'a/b' cannot name a model", id="a name"),
        pytest.param({"label": "1st"}, "'1st' cannot name a label", id="a label"),
        pytest.param({"label": "canary:x"}, "--label 'canary:x' is neither a label nor", id="a share"),
        pytest.param({"label": "canary:50"}, "Write --label canary, or --label canary:10%", id="no percent sign"),
        pytest.param({"parent": 99}, "--parent 99: subject has no such version", id="a parent"),
        pytest.param({"metric": "accuracy"}, "--metric needs --target", id="a metric alone"),
        pytest.param({"target": "price"}, "the sample has no column 'price'", id="a target that is not there"),
        pytest.param(
            {"target": "target", "metric": "r2"}, "--metric r2 needs numbers", id="a metric of another task"
        ),
        pytest.param(
            {"classes": ("a",)}, "--classes gives 1 names, but the model has 2 classes: 0, 1", id="classes"
        ),
    ],
)
def test_options_that_do_not_fit(good: Path, changed: dict[str, Any], message: str) -> None:
    assert message in refusal(good, **changed)


def test_the_label_is_checked_before_any_work(good: Path) -> None:
    options = ConvertOptions(good / "model.joblib", good / "sample.parquet", good / "models", "subject", label="1")
    with pytest.raises(InvalidRequest):
        convert(options, lambda kind, text: pytest.fail("work began"), sandbox=InProcess())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param(
            {"repository": Path("/dev/null/models")}, "/dev/null is no folder", id="a repository in a file"
        ),
        pytest.param({"profile": Path("nowhere.json")}, "nowhere.json", id="no profile"),
    ],
)
def test_places_are_checked_before_any_work(good: Path, changed: dict[str, Any], message: str) -> None:
    given = {"model": good / "model.joblib", "sample": good / "sample.parquet", "repository": good / "models"}
    options = ConvertOptions(**{**given, "name": "subject", **changed})
    with pytest.raises(RapideError, match=message):
        convert(options, lambda kind, text: pytest.fail("work began"), sandbox=InProcess())


def test_class_names_for_a_regressor(tmp_path: Path) -> None:
    frame = floats()
    saved(tmp_path, LinearRegression(), frame, frame["width"])
    assert "the model is no classifier" in refusal(tmp_path, classes=("a", "b"))


def test_unfitted_steps_are_named(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    saved(tmp_path, model, floats(), fit=False)
    assert "step 'standardscaler' (StandardScaler) is not fitted" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda frame: frame.rename(columns={"depth": "Depth"}),
            "lacks 'depth', which the model was trained on.? It has 'Depth' instead",
            id="another spelling",
        ),
        pytest.param(lambda frame: frame[["width"]], "lacks 'height', 'depth'", id="missing columns"),
        pytest.param(lambda frame: frame.head(0), "has no rows", id="no rows"),
        pytest.param(
            lambda frame: frame.assign(depth=pd.Timestamp("2026-01-01")),
            "column 'depth' of the sample holds datetime64 values .* Train on numbers made from it",
            id="dates",
        ),
        pytest.param(
            lambda frame: frame.assign(depth="deep"),
            "fails on the sample's first rows: ValueError",
            id="texts for numbers",
        ),
    ],
)
def test_samples_that_do_not_fit(good: Path, change: Any, message: str) -> None:
    change(floats()).to_parquet(good / "sample.parquet")
    assert re.search(message, refusal(good))


def test_a_sample_that_is_no_table(good: Path) -> None:
    (good / "sample.parquet").write_bytes(b"PAR1 not really")
    assert "the sample sample.parquet cannot be read" in refusal(good)
    (good / "sample.xlsx").write_bytes(b"")
    assert "Give a file ending in .parquet, .csv" in refusal(good, sample=good / "sample.xlsx")


def test_surplus_columns_are_left_out_and_said(good: Path) -> None:
    floats().assign(id=1).to_parquet(good / "sample.parquet")
    notes: list[str] = []
    options = ConvertOptions(good / "model.joblib", good / "sample.parquet", good / "models", "subject")
    published = convert(options, lambda kind, text: notes.append(text), sandbox=InProcess())
    assert "not used by the model, left out: 'id'" in published.notes
    assert published.notes[0] in notes


def test_a_matrix_of_another_width(tmp_path: Path) -> None:
    frame = floats()
    saved(tmp_path, LinearRegression().fit(frame.to_numpy(), frame["width"]), frame[["width"]], fit=False)
    assert "trained on 3 columns without names; the sample has 1: 'width'" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        pytest.param(
            make_pipeline(Doubler(), LinearRegression()),
            r"step 'doubler' \(Doubler\) cannot be converted",
            id="own step",
        ),
        pytest.param(DBSCAN(), "neither predict nor transform", id="nothing to ask"),
        pytest.param(
            make_pipeline(FunctionTransformer(np.nan_to_num), LinearRegression()),
            r"step 'functiontransformer' \(FunctionTransformer\) cannot be converted .*no graph for the function "
            "'nan_to_num', only for numpy's log, log1p",
            id="a function",
        ),
    ],
)
def test_what_cannot_be_converted_is_named(tmp_path: Path, estimator: Any, message: str) -> None:
    frame = floats().abs()
    saved(tmp_path, estimator, frame, frame["width"])
    assert re.search(message, refusal(tmp_path, target="target"))


def test_the_failing_step_is_found_within_columns(tmp_path: Path) -> None:
    frame = cars().dropna()
    steps = [("texts", make_pipeline(OneHotEncoder(min_frequency=0.4)), ["make"]), ("years", Doubler(), ["year"])]
    saved(tmp_path, make_pipeline(ColumnTransformer(steps), LinearRegression()), frame, price(frame))
    assert "step 'columntransformer → years' (Doubler) cannot be converted" in refusal(tmp_path)


def test_targets_that_are_missing_or_unknown(good: Path) -> None:
    frame = floats()
    truth = two_classes(frame).astype(float)
    frame.assign(target=truth.where(truth.index > 3)).to_parquet(good / "sample.parquet")
    assert "4 rows of the sample have no value for 'target'" in refusal(good, target="target")
    frame.assign(target=two_classes(frame) + 1).to_parquet(good / "sample.parquet")
    assert "holds '2', which the model has no class for" in refusal(good, target="target")


def test_another_scikit_learn_is_a_warning(good: Path) -> None:
    content = (good / "model.joblib").read_bytes()
    now = sklearn.__version__.encode()
    (good / "model.joblib").write_bytes(content.replace(now, b"0.9" + now[3:]))
    options = ConvertOptions(good / "model.joblib", good / "sample.parquet", good / "models", "subject")
    published = convert(options, lambda kind, text: None, sandbox=InProcess())
    assert "trained with scikit-learn 0.9" in published.notes[0]
    assert published.manifest.lineage["trained_with"]["scikit-learn"].startswith("0.9")


def test_a_share_without_a_rest_is_refused_before_anything_is_published(good: Path) -> None:
    """The version would be published, unlabelled, as the highest: it would answer everybody, not 5 %."""
    text = refusal(good, label="canary:5%")
    assert "95 % of the requests would belong to no label" in text
    assert "Nothing was published" in text
    assert "rapide label" in text


@pytest.mark.parametrize(
    ("classes", "target", "message"),
    [
        pytest.param(("no", "no"), [0, 1], "the name 'no' to two classes", id="twice"),
        pytest.param(("a", "b"), ["no", "yes"], "names classes that are numbers.*no, yes.*Leave", id="texts"),
        pytest.param(
            (), list(pd.to_datetime(["2020-01-01", "2021-01-01"])), "classes are dates or times", id="dates"
        ),
    ],
)
def test_class_names(tmp_path: Path, classes: tuple[str, ...], target: list[Any], message: str) -> None:
    frame = floats()
    saved(tmp_path, LogisticRegression(), frame, two_classes(frame).map(dict(enumerate(target))))
    assert re.search(message, refusal(tmp_path, classes=classes, target="target"), re.DOTALL)
