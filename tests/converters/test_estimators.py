"""Estimators of every family on tables of every kind, converted with real training: each must answer as before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import (
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from rapide.converters.columns import Column
from rapide.converters.convert import Published
from rapide.converters.errors import ConversionError
from rapide.converters.sources.scikit_learn.export import to_onnx
from rapide.converters.sources.scikit_learn.functions import STEPS
from rapide.server.signature import DataType
from tests.converters.material import cars, converted, floats, price, random, three_classes, two_classes

MLP = {"hidden_layer_sizes": (8,), "max_iter": 500, "tol": 1e-2, "solver": "lbfgs", "random_state": 0}
CLASSIFIERS: dict[str, Any] = {
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
    "decision tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "random forest": RandomForestClassifier(10, random_state=0),
    "extra trees behind a scaler": make_pipeline(MinMaxScaler(), ExtraTreesClassifier(10, random_state=0)),
    "gradient boosting": GradientBoostingClassifier(n_estimators=8, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=8, min_samples_leaf=5),
    "ada boost": AdaBoostClassifier(n_estimators=5, random_state=0),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
    "naive Bayes": GaussianNB(),
    "quadratic discriminant": QuadraticDiscriminantAnalysis(),
    "neural network": make_pipeline(StandardScaler(), MLPClassifier(**MLP)),
    "support vectors": make_pipeline(RobustScaler(), SVC()),
    "linear support vectors": make_pipeline(StandardScaler(), LinearSVC(random_state=0)),
    "ridge classifier": RidgeClassifier(),
    "stochastic gradient": make_pipeline(StandardScaler(), SGDClassifier(random_state=0)),
    "calibrated": CalibratedClassifierCV(LinearSVC(random_state=0), cv=2),
    "voting": VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
    "voting by weight": VotingClassifier(
        [("a", LogisticRegression()), ("b", GaussianNB())], voting="soft", weights=[2, 1]
    ),
    "stacking": StackingClassifier([("a", GaussianNB())], final_estimator=LogisticRegression(), cv=2),
    "grid search": GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1]}
    ),
    "linear discriminant": LinearDiscriminantAnalysis(),
    "power and quantiles": make_pipeline(
        PowerTransformer(), QuantileTransformer(n_quantiles=20), SelectKBest(k=2), LogisticRegression()
    ),
    "polynomial features": make_pipeline(PolynomialFeatures(2), StandardScaler(), LogisticRegression()),
}
REGRESSORS: dict[str, Any] = {
    "voting by weight": VotingRegressor([("a", LinearRegression()), ("b", Ridge(9.0))], weights=[1, 3]),
    "linear regression": LinearRegression(),
    "ridge of a union": make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]), Ridge()),
    "random forest": RandomForestRegressor(8, random_state=0),
    "gradient boosting": make_pipeline(MaxAbsScaler(), GradientBoostingRegressor(n_estimators=10, random_state=0)),
    "histogram boosting": HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=5),
    "bagging": BaggingRegressor(DecisionTreeRegressor(max_depth=4), n_estimators=4, random_state=0),
    "support vectors": make_pipeline(StandardScaler(), SVR()),
    "robust": HuberRegressor(),
    "partial least squares": PLSRegression(2),
    "stacking": StackingRegressor([("a", RandomForestRegressor(4, random_state=0)), ("b", Ridge())], cv=2),
    "neural network": make_pipeline(StandardScaler(), MLPRegressor(**MLP)),
    "Gaussian process": make_pipeline(StandardScaler(), GaussianProcessRegressor(alpha=0.1)),
}
UNSUPERVISED: dict[str, tuple[Any, list[str]]] = {
    "k-means": (make_pipeline(StandardScaler(), KMeans(3, n_init=1, random_state=0)), ["label", "distances"]),
    "mixture": (GaussianMixture(2, random_state=0), ["label", "probabilities"]),
    "isolation forest": (IsolationForest(n_estimators=8, random_state=0), ["label", "scores"]),
    "one-class support vectors": (OneClassSVM(nu=0.2), ["label", "scores"]),
    "local outliers": (LocalOutlierFactor(novelty=True), ["label", "scores"]),
    "components": (make_pipeline(StandardScaler(), PCA(2)), ["transformed"]),
}


def answers(published: Published, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(published.folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, rows), strict=True))


def by_column(estimator: Any) -> Any:
    """Text and number columns, prepared in the usual way."""
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(
        ColumnTransformer(
            [("texts", texts, ["make", "fuel"]), ("numbers", numbers, ["year", "automatic", "mileage"])]
        ),
        estimator,
    )


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("target", [two_classes, three_classes], ids=["two classes", "three classes"])
def test_classifiers_of_floats(tmp_path: Path, name: str, target: Callable[[Any], Any]) -> None:
    frame = floats()
    published = converted(tmp_path, CLASSIFIERS[name], frame, target(frame))
    signature = published.manifest.signature
    assert published.chosen.passed
    assert signature.batchable
    assert [spec.name for spec in signature.inputs] == ["features"]
    assert signature.inputs[0].shape == (-1, 3)
    assert next(spec.name for spec in signature.outputs) == "label"
    assert signature.outputs[0].shape == (-1,)
    assert published.manifest.quality["accuracy"] > 0.6


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_of_floats(tmp_path: Path, name: str) -> None:
    frame = floats()
    published = converted(tmp_path, REGRESSORS[name], frame, frame["width"] * 2 + frame["depth"] ** 2)
    assert published.manifest.signature.outputs[0].name == "target"
    assert published.manifest.signature.outputs[0].shape == (-1, 1)
    assert published.manifest.quality["r2"] > 0.3


@pytest.mark.parametrize("name", UNSUPERVISED)
def test_what_needs_no_target(tmp_path: Path, name: str) -> None:
    estimator, outputs = UNSUPERVISED[name]
    published = converted(tmp_path, estimator, floats())
    assert [spec.name for spec in published.manifest.signature.outputs] == outputs
    assert published.manifest.quality == {}


@pytest.mark.parametrize(
    "estimator",
    [
        pytest.param(Ridge(), id="ridge"),
        pytest.param(RandomForestRegressor(8, random_state=0), id="random forest"),
        pytest.param(GradientBoostingRegressor(n_estimators=10, random_state=0), id="gradient boosting"),
        pytest.param(HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=5), id="histogram boosting"),
        pytest.param(MLPRegressor(**MLP), id="neural network"),
    ],
)
def test_mixed_columns(tmp_path: Path, estimator: Any) -> None:
    frame = cars()
    published = converted(tmp_path, by_column(estimator), frame, price(frame))
    manifest = published.manifest
    number = DataType.FP32 if published.chosen.precision == "float32" else DataType.FP64
    assert [(spec.name, spec.datatype, spec.shape) for spec in manifest.signature.inputs] == [
        ("make", DataType.BYTES, (-1, 1)),
        ("fuel", DataType.BYTES, (-1, 1)),
        ("year", DataType.INT64, (-1, 1)),
        ("automatic", DataType.BOOL, (-1, 1)),
        ("mileage", number, (-1, 1)),
    ]
    assert [(feature.name, feature.kind, feature.required) for feature in manifest.features] == [
        ("make", "text", False),
        ("fuel", "text", False),
        ("year", "integer", True),
        ("automatic", "boolean", True),
        ("mileage", "number", False),
    ]
    kinds = {check["set"] for check in manifest.parity["checks"]}
    assert {"real rows", "missing values", "unseen categories"} <= kinds


def test_doubles_are_taken_where_floats_flip_decisions(tmp_path: Path) -> None:
    frame = cars()
    published = converted(tmp_path, by_column(RandomForestRegressor(8, random_state=0)), frame, price(frame))
    assert [(attempt.precision, attempt.passed) for attempt in published.attempts] == [
        ("float32", False),
        ("mixed", True),
    ]
    assert published.manifest.parity["precision"] == "mixed"


def test_a_forest_may_tie(tmp_path: Path) -> None:
    """Rows without any rule in them: many get as many votes for as against."""
    frame = floats()
    coins = pd.Series(random(5).integers(0, 2, len(frame)))
    forest = RandomForestClassifier(20, random_state=0)
    published = converted(tmp_path, forest, frame, coins)
    fresh = np.round(random(6).normal(size=(2000, 3)), 2).astype(np.float32)
    votes = forest.predict_proba(pd.DataFrame(fresh.astype(float), columns=frame.columns))
    assert (votes[:, 0] == 0.5).sum() > 20
    got = answers(published, {"features": fresh})["label"]
    assert (got == votes.argmax(axis=1)).all()


def test_missing_values_take_the_branch_that_the_tree_learnt(tmp_path: Path) -> None:
    frame = floats()
    frame.loc[::4, "width"] = np.nan
    target = (frame["width"].isna() | (frame["width"] > 0)).astype(int)
    published = converted(tmp_path, RandomForestClassifier(8, random_state=0), frame, target)
    assert [feature.required for feature in published.manifest.features] == [False, False, False]
    assert not published.manifest.signature.inputs[0].finite


def test_columns_that_were_never_missing_may_not_be(tmp_path: Path) -> None:
    frame = floats()
    published = converted(tmp_path, LinearRegression(), frame, frame["width"])
    assert [feature.required for feature in published.manifest.features] == [True, True, True]
    assert published.manifest.signature.inputs[0].finite


@pytest.mark.parametrize(
    ("steps", "required"),
    [
        pytest.param(
            [("all", OneHotEncoder(handle_unknown="ignore"), ["make", "fuel", "year"])], False, id="one-hot"
        ),
        pytest.param(
            [("all", OneHotEncoder(handle_unknown="infrequent_if_exist"), ["make", "fuel"])],
            False,
            id="infrequent",
        ),
        pytest.param(
            [
                (
                    "all",
                    OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
                    ["make", "fuel", "year"],
                )
            ],
            False,
            id="ordinal",
        ),
        pytest.param(
            [
                ("texts", OneHotEncoder(handle_unknown="ignore"), ["make"]),
                ("numbers", SimpleImputer(add_indicator=True), ["mileage", "year"]),
            ],
            False,
            id="missing indicators",
        ),
        pytest.param(
            [
                ("one", OneHotEncoder(drop="first", handle_unknown="ignore"), ["make"]),
                ("rest", "passthrough", ["year"]),
            ],
            False,
            id="dropped first category",
        ),
        pytest.param(
            [("one", SimpleImputer(strategy="constant", fill_value=-1.0), ["mileage"])], False, id="constant"
        ),
    ],
)
def test_encoders_and_imputers(tmp_path: Path, steps: list[Any], required: bool) -> None:
    frame = cars()
    model = make_pipeline(ColumnTransformer(steps), DecisionTreeRegressor(max_depth=5, random_state=0))
    published = converted(tmp_path, model, frame, price(frame))
    used = {name for _, _, names in steps for name in names}
    texts = [feature for feature in published.manifest.features if feature.kind == "text" and feature.name in used]
    assert all(feature.required is required for feature in texts)


NUMBERS, TEXTS = ["year", "mileage"], ["make", "fuel"]


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param(
            ColumnTransformer(
                [
                    (
                        "texts",
                        OneHotEncoder(handle_unknown="ignore"),
                        make_column_selector(dtype_include=["object", "str"]),
                    ),
                    ("numbers", SimpleImputer(), make_column_selector(dtype_include="number")),
                ]
            ),
            id="selectors",
        ),
        pytest.param(
            ColumnTransformer(
                [
                    (
                        "inner",
                        ColumnTransformer([("texts", OneHotEncoder(), ["make"])], remainder="passthrough"),
                        ["make", "year"],
                    ),
                    ("numbers", SimpleImputer(), ["mileage"]),
                ]
            ),
            id="nested",
        ),
        pytest.param(
            ColumnTransformer(
                [
                    ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), TEXTS),
                    ("numbers", SimpleImputer(), NUMBERS),
                ]
            ).set_output(transform="pandas"),
            id="tables between steps",
        ),
        pytest.param(
            ColumnTransformer([("texts", TargetEncoder(), ["make"]), ("rest", SimpleImputer(), NUMBERS)]),
            id="target encoder",
        ),
        pytest.param(
            ColumnTransformer([("words", TfidfVectorizer(), "fuel"), ("numbers", SimpleImputer(), NUMBERS)]),
            id="words of one column",
        ),
    ],
)
def test_arrangements_of_columns(tmp_path: Path, columns: Any) -> None:
    frame = cars().assign(fuel=lambda each: each["fuel"].fillna("none"))
    published = converted(
        tmp_path, make_pipeline(columns, StandardScaler(with_mean=False), Ridge()), frame, price(frame)
    )
    assert published.chosen.passed


@pytest.mark.parametrize(
    "vectorizer",
    [
        TfidfVectorizer(),
        TfidfVectorizer(lowercase=False),
        TfidfVectorizer(token_pattern=r"(?u)\b\w+\b"),
        CountVectorizer(token_pattern=r"\b\w{3,}\b"),
        CountVectorizer(token_pattern=r"\S+"),
        CountVectorizer(token_pattern=r"[^ ,]+"),
    ],
    ids=str,
)
def test_words_are_words_in_any_alphabet(tmp_path: Path, vectorizer: Any) -> None:
    """The runtime's tokenizer would make "koda" of "Škoda": its expressions take only ASCII for letters."""
    frame = cars()
    answers = price(frame)
    assert any(not make.isascii() for make in frame["make"])
    frame["make"] += [" Éric_9", " 日本 車", " GTI x"] * (len(frame) // 3) + [""] * (len(frame) % 3)
    words = ColumnTransformer([("words", vectorizer, "make"), ("numbers", SimpleImputer(), NUMBERS)])
    model = make_pipeline(words, StandardScaler(with_mean=False), Ridge())
    published = converted(tmp_path, model, frame, answers)
    assert published.chosen.passed


def test_words_that_the_runtime_would_cut_otherwise_are_refused(tmp_path: Path) -> None:
    words = TfidfVectorizer(token_pattern=r"\b[^\d\W]+\b")
    model = make_pipeline(ColumnTransformer([("words", words, "make")]), Ridge())
    with pytest.raises(ConversionError, match="means other words to the runtime"):
        converted(tmp_path, model, cars(), price(cars()))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        pytest.param(
            TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
            "no graph for what undoes StandardScaler",
            id="target",
        ),
        pytest.param(make_pipeline(SplineTransformer(), Ridge()), "not supported", id="splines"),
        pytest.param(make_pipeline(KNNImputer(), Ridge()), "miss more than one value", id="neighbours' values"),
        pytest.param(DummyClassifier(strategy="uniform"), "draws its answers by chance", id="chance"),
        pytest.param(
            HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5, loss="poisson"),
            "does not answer like the original",
            id="counts",
        ),
        pytest.param(
            GradientBoostingRegressor(n_estimators=3, init=Ridge()),
            "the model .* init to an estimator",
            id="initial estimator",
        ),
        pytest.param(
            CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression()), cv=2),
            "does not answer like the original",
            id="calibrated pipeline",
        ),
        pytest.param(
            TunedThresholdClassifierCV(LogisticRegression(), scoring="recall", cv=2),
            "does not answer like the original",
            id="tuned threshold",
        ),
    ],
)
def test_what_is_known_not_to_convert_is_refused(tmp_path: Path, estimator: Any, message: str) -> None:
    """The list in docs/guides/convert.md. Should one of them pass some day, take it off."""
    frame = floats().abs() if "poisson" in str(estimator) else floats()
    with pytest.raises(ConversionError, match=message):
        converted(tmp_path, estimator, frame, two_classes(frame - frame.median()))
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("strategy", ["prior", "most_frequent"])
def test_dummies(tmp_path: Path, strategy: str) -> None:
    frame = floats()
    published = converted(tmp_path, DummyClassifier(strategy=strategy), frame, two_classes(frame), baseline="none")
    assert published.chosen.passed


def test_names_may_be_anything(tmp_path: Path) -> None:
    """Also what converters call things inside of a graph."""
    frame = pd.DataFrame({"variable": floats()["width"], "in put": floats()["height"], "é/x": cars()["make"]})
    frame["label"] = floats()["depth"]
    steps = [
        ("numbers", SimpleImputer(), ["variable", "in put", "label"]),
        ("texts", OneHotEncoder(handle_unknown="ignore"), ["é/x"]),
    ]
    published = converted(
        tmp_path, make_pipeline(ColumnTransformer(steps), LogisticRegression()), frame, two_classes(floats())
    )
    signature = published.manifest.signature
    assert [spec.name for spec in signature.inputs] == ["variable", "in put", "é/x", "label"]
    assert [spec.name for spec in signature.outputs] == ["predicted_label", "probabilities"]


@pytest.mark.parametrize("all_floats", [False, True], ids=["mixed", "packed"])
def test_columns_that_are_dropped_are_no_inputs(tmp_path: Path, all_floats: bool) -> None:
    """Trained on the whole table, the answer among it, as people do; the sample need not even have the rest."""
    frame = floats() if all_floats else cars()
    target = frame["width"] * 2 if all_floats else price(frame)
    whole = frame.assign(identity=range(len(frame)), answer=target)
    used = ["width", "depth"] if all_floats else ["year", "mileage"]
    model = make_pipeline(ColumnTransformer([("numbers", SimpleImputer(), used)]), Ridge())
    model.fit(whole, target)
    published = converted(
        tmp_path, model, frame.drop(columns=["height", "make"], errors="ignore"), target, fit=False
    )
    assert [feature.name for feature in published.manifest.features] == used
    assert [spec.name for spec in published.manifest.signature.inputs] == (["features"] if all_floats else used)


def test_columns_in_another_order(tmp_path: Path) -> None:
    frame = floats()
    model = make_pipeline(ColumnTransformer([("all", StandardScaler(), ["depth", "width", "height"])]), Ridge())
    published = converted(tmp_path, model, frame, frame["width"] * 2)
    assert published.manifest.quality["r2"] > 0.9


def test_categories_are_listed_where_only_they_are_taken(tmp_path: Path) -> None:
    frame = cars()[["make", "year"]]
    steps = ColumnTransformer([("texts", OneHotEncoder(), ["make"])], remainder="passthrough")
    published = converted(tmp_path, make_pipeline(steps, Ridge()), frame, frame["year"] * 1.0)
    assert published.manifest.features[0].categories == ("Ford", "VW", "Škoda")
    assert published.manifest.features[1].categories == ()


def test_pandas_categories_are_texts(tmp_path: Path) -> None:
    frame = cars()[["make", "year"]].astype({"make": "category"})
    steps = ColumnTransformer(
        [("texts", OneHotEncoder(handle_unknown="ignore"), ["make"])], remainder="passthrough"
    )
    published = converted(tmp_path, make_pipeline(steps, Ridge()), frame, frame["year"] * 1.0)
    assert published.manifest.features[0].kind == "text"


def test_documents(tmp_path: Path) -> None:
    words = ["good", "bad", "fine", "awful", "car", "bike"]
    documents = pd.DataFrame({"review": [" ".join(random(row).choice(words, 4)) for row in range(80)]})
    good = documents["review"].str.contains("good|fine").astype(int)

    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(documents["review"], good)
    published = converted(tmp_path, model, documents, good, fit=False)
    assert [(each.name, each.kind) for each in published.manifest.features] == [("review", "text")]
    assert published.manifest.signature.inputs[0].datatype is DataType.BYTES


def test_several_numbers_a_row(tmp_path: Path) -> None:
    frame = floats()
    model = RandomForestRegressor(4, random_state=0).fit(frame, frame[["width", "depth"]])
    published = converted(tmp_path, model, frame, fit=False)
    assert published.manifest.signature.outputs[0].shape == (-1, 2)
    assert [(each.name, each.column) for each in published.manifest.predictions] == [
        ("prediction.0", 0),
        ("prediction.1", 1),
    ]


SEVERAL: dict[str, Any] = {
    "one classifier each": MultiOutputClassifier(LogisticRegression()),
    "a pipeline": make_pipeline(
        StandardScaler(), MultiOutputClassifier(GradientBoostingClassifier(n_estimators=3))
    ),
    "decision tree": DecisionTreeClassifier(max_depth=3, random_state=0),
    "random forest": RandomForestClassifier(4, random_state=0),
    "extra trees": ExtraTreesClassifier(4, random_state=0),
    "neighbours": KNeighborsClassifier(5),
}


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("texts", [False, True], ids=["numbers", "texts"])
def test_several_labels_a_row(tmp_path: Path, name: str, texts: bool) -> None:
    frame = floats()
    labels = np.column_stack([three_classes(frame), two_classes(frame[["width"]])])
    truth = np.array(["low", "middle", "high"])[labels] if texts else labels
    model = SEVERAL[name].fit(frame, truth)
    published = converted(tmp_path, model, frame, fit=False)
    signature = published.manifest.signature
    assert [(spec.name, spec.shape) for spec in signature.outputs] == [
        ("label", (-1, 2)),
        ("probabilities", (-1, 5)),
    ]
    names = [each.name for each in published.manifest.predictions]
    first = "probability.0.high" if texts else "probability.0.0"
    assert names[:3] == ["label.0", "label.1", first]
    assert len(names) == 7
    fresh = pd.DataFrame(random(6).normal(size=(300, 3)).astype(np.float32), columns=frame.columns)
    datatype = np.float32 if published.chosen.precision == "float32" else np.float64
    got = answers(published, {"features": fresh.to_numpy(datatype)})
    assert (got["label"].astype(str) == model.predict(fresh).astype(str)).all()
    assert np.abs(got["probabilities"] - np.hstack(model.predict_proba(fresh))).max() < 1e-5


def test_yes_or_no_to_each_of_several_labels(tmp_path: Path) -> None:
    frame = floats()
    truth = (frame[["width", "depth"]] > 0).to_numpy().astype(int)
    model = OneVsRestClassifier(LogisticRegression()).fit(frame, truth)
    published = converted(tmp_path, model, frame, fit=False)
    assert [(each.name, each.output, each.column) for each in published.manifest.predictions] == [
        ("label.0", "label", 0),
        ("label.1", "label", 1),
        ("probability.0", "probabilities", 0),
        ("probability.1", "probabilities", 1),
    ]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(ClassifierChain(LogisticRegression()), "answers 2 columns in 'probabilities'", id="chain"),
        pytest.param(MLPClassifier(**MLP), "gives 4 columns in 'probabilities'", id="neural network"),
    ],
)
def test_several_labels_that_do_not_convert(tmp_path: Path, model: Any, message: str) -> None:
    frame = floats()
    model.fit(frame, (frame[["width", "depth"]] > 0).to_numpy().astype(int))
    with pytest.raises(ConversionError, match=message):
        converted(tmp_path, model, frame, fit=False)


@pytest.mark.parametrize("model", [RandomForestClassifier(3), RandomForestRegressor(3)], ids=["labels", "numbers"])
def test_several_answers_are_not_held_against_one_column(tmp_path: Path, model: Any) -> None:
    """Nothing would be measured, and any hurdle taken."""
    frame = floats()
    model.fit(frame, (frame[["width", "depth"]] > 0).to_numpy().astype(int))
    with pytest.raises(ConversionError, match="--target"):
        converted(tmp_path, model, frame, frame["width"] > 0, fit=False)


ONE_HOT = {
    "any numbers": {"handle_unknown": "ignore"},
    "the first left out": {"drop": "first"},
    "infrequent ones merged": {"min_frequency": 15, "handle_unknown": "infrequent_if_exist"},
    "infrequent ones merged, unknown ones left out": {"min_frequency": 15, "handle_unknown": "ignore"},
    "the most frequent": {"max_categories": 3, "handle_unknown": "infrequent_if_exist"},
    "whole numbers": {"dtype": np.int64, "handle_unknown": "ignore"},
}


@pytest.mark.parametrize("name", ONE_HOT)
def test_categories_of_any_kind_become_flags(tmp_path: Path, name: str) -> None:
    frame = cars()[["make", "automatic"]]
    frame["doors"] = pd.Series(
        random(4).choice([2.0, 3.0, 4.0, 5.0, np.nan], len(frame), p=[0.4, 0.05, 0.1, 0.35, 0.1])
    )
    frame["litres"] = random(4).choice([1.2, 1.6, 2.0, 3.5], len(frame), p=[0.4, 0.45, 0.1, 0.05])
    target = frame["doors"].fillna(3.0) + frame["litres"] * 2 + (frame["make"] == "VW")
    model = make_pipeline(ColumnTransformer([("flags", OneHotEncoder(**ONE_HOT[name]), list(frame))]), Ridge())
    published = converted(tmp_path, model, frame, target)
    assert published.manifest.quality["r2"] > 0.5
    number = np.float32 if published.chosen.precision == "float32" else np.float64
    rows = frame.assign(doors=frame["doors"].sample(frac=1, random_state=0).to_numpy())
    feeds = {column: rows[[column]].to_numpy() for column in ("make", "automatic")}
    feeds |= {column: rows[[column]].to_numpy(number) for column in ("doors", "litres")}
    assert answers(published, feeds)["target"].ravel() == pytest.approx(model.predict(rows), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("function", STEPS, ids=lambda function: function.__name__)
def test_functions_of_numpy(function: np.ufunc) -> None:
    """Number by number, in doubles: between 0.1 and 3, and where a logarithm has no answer."""
    columns = [Column("width", "number", 0), Column("depth", "number", 1)]
    numbers = np.column_stack([np.linspace(0.1, 3.0, 50), np.linspace(-3.0, 3.0, 50)])
    model = FunctionTransformer(function).fit(numbers)
    with np.errstate(all="ignore"):
        wanted = model.transform(numbers)
    session = onnxruntime.InferenceSession(
        to_onnx(model, columns, "float64").SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"features": numbers})
    np.testing.assert_allclose(found, wanted, rtol=1e-12, equal_nan=True)


def test_the_logarithm_of_one_column_of_a_table(tmp_path: Path) -> None:
    frame = cars()
    logarithm = make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p))
    steps = [("log", logarithm, ["mileage"]), ("make", OneHotEncoder(handle_unknown="ignore"), ["make"])]
    model = make_pipeline(ColumnTransformer(steps, remainder="drop"), Ridge())
    published = converted(tmp_path, model, frame, np.log1p(frame["mileage"].fillna(frame["mileage"].mean())))
    assert published.manifest.quality["r2"] > 0.9


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            TransformedTargetRegressor(by_column(Ridge()), func=np.log1p, inverse_func=np.expm1),
            id="around a pipeline",
        ),
        pytest.param(
            by_column(TransformedTargetRegressor(DecisionTreeRegressor(), func=np.sqrt, inverse_func=np.square)),
            id="its last step",
        ),
    ],
)
def test_a_target_that_is_trained_through_a_function(tmp_path: Path, model: Any) -> None:
    frame = cars()
    published = converted(tmp_path, model, frame, price(frame).abs())
    assert published.manifest.quality["r2"] > 0.9


@pytest.mark.parametrize("norm", ["l2", None])
@pytest.mark.parametrize("split", [False, True], ids=["vectoriser", "counts first"])
def test_words_that_a_text_repeats(norm: str | None, split: bool) -> None:
    """No text of the training does: what skl2onnx makes of it differs only in such as do."""
    texts = ["good service", "slow service", "good and slow", "never again"]
    options = {"sublinear_tf": True, "norm": norm}
    model = make_pipeline(CountVectorizer(), TfidfTransformer(**options)) if split else TfidfVectorizer(**options)
    model.fit(texts)
    asked = ["good good good service", "slow slow", *texts]
    graph = to_onnx(model, [Column("text", "text")], "float32").SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"c0": np.array(asked, object).reshape(-1, 1)})
    np.testing.assert_allclose(found, model.transform(asked).toarray(), rtol=1e-5)


def test_missing_texts_are_a_category_to_a_target_encoder(tmp_path: Path) -> None:
    frame = cars()
    steps = [("texts", TargetEncoder(), ["make", "fuel"]), ("numbers", SimpleImputer(), ["mileage"])]
    model = make_pipeline(ColumnTransformer(steps), Ridge())
    assert frame["fuel"].isna().any()
    published = converted(tmp_path, model, frame, frame["fuel"].isna() * 1000.0 + frame["year"] * 0.37)
    assert published.manifest.quality["r2"] > 0.9


UNKNOWN = {"make": "Frod", "doors": 7, "litres": 9.5}


@pytest.mark.parametrize("column", UNKNOWN)
@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()], ids=["one-hot", "ordinal"])
def test_what_the_encoder_refuses_the_graph_refuses(tmp_path: Path, encoder: Any, column: str) -> None:
    """An unknown category answered as if it were another one would be wrong, and nobody would know."""
    frame = cars()[["make", "mileage"]].dropna().reset_index(drop=True)
    frame["doors"] = random(4).choice([2, 3, 4, 5], len(frame))
    frame["litres"] = random(4).choice([1.2, 1.6, np.nan], len(frame))
    frame = frame[[column, "mileage"]]
    steps = [("code", encoder, [column]), ("rest", "passthrough", ["mileage"])]
    model = make_pipeline(ColumnTransformer(steps), DecisionTreeRegressor(max_depth=5, random_state=0))
    published = converted(tmp_path, model, frame, frame["mileage"])
    number = np.float32 if published.chosen.precision == "float32" else np.float64
    kinds = {"make": object, "doors": np.int64, "litres": number, "mileage": number}
    row = {name: frame[[name]].head(2).to_numpy(kinds[name], copy=True) for name in frame}
    if column == "litres":
        row = {"features": frame.head(2).to_numpy(number, copy=True)}
    assert answers(published, row)["target"].ravel() == pytest.approx(model.predict(frame.head(2)))
    next(iter(row.values()))[1, 0] = UNKNOWN[column]
    with pytest.raises(ValueError, match="unknown categories"):
        model.predict(frame.head(2).assign(**{column: UNKNOWN[column]}))
    with pytest.raises(Exception, match="Unknown Category"):  # onnxruntime's own exceptions share no other base
        answers(published, row)


def test_known_texts_are_those_of_the_training(tmp_path: Path) -> None:
    """Also behind an imputer, and where the sample lacks one."""
    frame = cars().fillna({"mileage": 0.0})[["make", "fuel", "mileage"]]
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    steps = [("texts", texts, ["make", "fuel"]), ("rest", "passthrough", ["mileage"])]
    model = make_pipeline(ColumnTransformer(steps), Ridge()).fit(frame, frame["mileage"])
    published = converted(tmp_path, model, frame[frame["make"] != "VW"].reset_index(drop=True), fit=False)
    known = {feature.name: feature.categories for feature in published.manifest.features}
    assert known == {"make": ("Ford", "VW", "Škoda"), "fuel": ("diesel", "petrol"), "mileage": ()}


@pytest.mark.parametrize("encode", ["ordinal", "onehot", "onehot-dense"])
@pytest.mark.parametrize("scaled", [False, True], ids=["bare", "scaled"])
def test_bins_begin_where_they_began_in_training(tmp_path: Path, encode: str, scaled: bool) -> None:
    """The edges are decimals of the training, so that many rows sit on them."""
    frame = floats()
    binner = KBinsDiscretizer(5, encode=encode, quantile_method="averaged_inverted_cdf")
    model = make_pipeline(*([StandardScaler()] if scaled else []), binner, Ridge())
    published = converted(tmp_path, model, frame, frame["width"] * 2 + frame["depth"])
    fresh = pd.DataFrame(np.round(random(6).normal(size=(2000, 3)), 2), columns=frame.columns)
    number = np.float32 if published.chosen.precision == "float32" else np.float64
    got = answers(published, {"features": fresh.to_numpy(number)})["target"].ravel()
    assert got == pytest.approx(model.predict(fresh), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(["passthrough", StandardScaler(), LogisticRegression()], id="first"),
        pytest.param(
            [StandardScaler(), "passthrough", DecisionTreeClassifier(random_state=0)], id="in the middle"
        ),
        pytest.param([make_pipeline("passthrough"), make_pipeline(None, LogisticRegression())], id="nested"),
        pytest.param(
            ["passthrough", ColumnTransformer([("one", StandardScaler(), ["width"])]), LogisticRegression()],
            id="before columns",
        ),
        pytest.param(
            [
                FeatureUnion([("a", StandardScaler()), ("b", "passthrough"), ("c", "drop")]),
                LogisticRegression(),
            ],
            id="in a union",
        ),
        pytest.param(
            [SelectFromModel(DecisionTreeClassifier(max_depth=1), threshold=0.5), LogisticRegression()],
            id="a model's selection, of the first column alone",
        ),
    ],
)
def test_steps_that_do_nothing_or_choose(tmp_path: Path, steps: list[Any]) -> None:
    frame = floats()
    published = converted(tmp_path, make_pipeline(*steps), frame, two_classes(frame[["width"]]))
    assert published.manifest.quality["accuracy"] > 0.8


@pytest.mark.parametrize("dtype", ["Int64", "float64", "bool"])
def test_the_sample_may_hold_the_classes_in_another_type(tmp_path: Path, dtype: str) -> None:
    frame = floats()
    model = LogisticRegression().fit(frame, two_classes(frame))
    published = converted(tmp_path, model, frame, two_classes(frame).astype(dtype), fit=False)
    assert published.manifest.quality["accuracy"] > 0.8


def test_trained_on_a_matrix_without_names(tmp_path: Path) -> None:
    frame = floats()
    model = LogisticRegression().fit(frame.to_numpy(), two_classes(frame))
    published = converted(tmp_path, model, frame, two_classes(frame), fit=False)
    assert [feature.name for feature in published.manifest.features] == ["width", "height", "depth"]


def test_whole_numbers_are_packed_where_no_column_is_chosen_by_name(tmp_path: Path) -> None:
    frame = cars()[["year", "automatic"]].assign(width=floats()["width"])
    published = converted(tmp_path, LinearRegression(), frame, frame["width"])
    assert [(each.kind, each.column) for each in published.manifest.features] == [
        ("integer", 0),
        ("boolean", 1),
        ("number", 2),
    ]


@pytest.mark.parametrize(
    ("target", "classes", "datatype", "kind", "names", "probability"),
    [
        pytest.param([0, 1], (), DataType.INT64, "integer", (), "probability.0", id="numbers"),
        pytest.param(
            [0, 1], ("no", "yes"), DataType.INT64, "text", ("no", "yes"), "probability.no", id="numbers with names"
        ),
        pytest.param(
            [3, 7],
            ("no", "yes"),
            DataType.BYTES,
            "text",
            ("no", "yes"),
            "probability.no",
            id="any numbers with names",
        ),
        pytest.param([3, 7], (), DataType.INT64, "integer", (), "probability.3", id="any numbers"),
        pytest.param(["no", "yes"], (), DataType.BYTES, "text", ("no", "yes"), "probability.no", id="texts"),
        pytest.param([False, True], (), DataType.INT64, "boolean", (), "probability.false", id="booleans"),
        pytest.param([1.0, 2.0], (), DataType.INT64, "integer", (), "probability.1.0", id="floats"),
    ],
)
def test_class_names(
    tmp_path: Path, target: list[Any], classes: Any, datatype: DataType, kind: str, names: Any, probability: str
) -> None:
    frame = floats()
    truth = two_classes(frame).map(dict(enumerate(target)))
    published = converted(tmp_path, LogisticRegression(), frame, truth, classes=classes)
    label, first, _ = published.manifest.predictions
    assert published.manifest.signature.outputs[0].datatype is datatype
    assert (label.name, label.kind, label.classes) == ("target", kind, names)
    assert (first.name, first.output, first.column) == (probability, "probabilities", 0)
    assert published.manifest.quality["accuracy"] > 0.8


def test_decimals_that_clients_write_go_the_way_they_went_in_training(tmp_path: Path) -> None:
    """Histogram trees compare doubles, half way between the decimals of the training: where float32 puts such a
    decimal on the other side, doubles are taken."""
    frame = floats()
    model = HistGradientBoostingClassifier(max_iter=8, min_samples_leaf=5)
    published = converted(tmp_path, model, frame, two_classes(frame))
    verdicts = {attempt.precision: attempt.passed for attempt in published.attempts}
    assert verdicts == {"float32": False, "float64": True}
    fresh = pd.DataFrame(np.round(random(6).normal(size=(4000, 3)), 2), columns=frame.columns)
    got = answers(published, {"features": fresh.to_numpy()})
    assert (got["label"] == model.predict(fresh)).all()
    assert np.abs(got["probabilities"] - model.predict_proba(fresh)).max() < 1e-5
