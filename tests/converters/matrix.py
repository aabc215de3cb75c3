"""Estimators × kinds of input: each cell is trained, converted and compared. ``scripts/matrix`` renders the
figures into docs/converters.md; test_matrix.py holds the page to what it says."""

from __future__ import annotations

import platform
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC

from rapide.converters.errors import ConversionError
from rapide.converters.row_kinds import REAL
from tests.converters.extras import imported
from tests.converters.material import cars, converted, floats, price

PAGE = Path(__file__).parents[2] / "docs" / "converters.md"
BEGIN, END = "<!-- figures: scripts/matrix -->", "<!-- end of figures -->"


@dataclass(frozen=True, slots=True)
class Cell:
    """``verdict``: the precision that was published, ``refused``, or ``not trained`` where the estimator itself
    does not bear such rows. ``worst``: at most how many limits any difference of numbers on real rows is.
    ``rows``: of all kinds that were compared; ``over``: those beyond the limit, none where anything is published.
    """

    verdict: str
    worst: float = 0.0
    over: int = 0
    rows: int = 0
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.verdict}, {self.worst:.0e} ({self.rows} rows)" if self.rows else self.verdict


def _of(module: str, name: str, **options: Any) -> Callable[[], Any]:
    return lambda: getattr(imported(module), name)(**options)


ESTIMATORS: Mapping[str, Callable[[], Any]] = {
    "Ridge": Ridge,
    "LogisticRegression": lambda: LogisticRegression(max_iter=500),
    "GaussianNB": GaussianNB,
    "KNeighborsClassifier": KNeighborsClassifier,
    "SVC": SVC,
    # Centred, and with some noise: weights are answers over ``alpha``, and with a small one the verdict hangs on
    # how the linear algebra of a processor rounds.
    "GaussianProcessRegressor": lambda: GaussianProcessRegressor(alpha=1.0, normalize_y=True),
    "MLPRegressor": lambda: MLPRegressor(hidden_layer_sizes=(8,), max_iter=300, solver="lbfgs", random_state=0),
    "RandomForestClassifier": lambda: RandomForestClassifier(10, random_state=0),
    "RandomForestRegressor": lambda: RandomForestRegressor(10, random_state=0),
    "ExtraTreesRegressor": lambda: ExtraTreesRegressor(10, random_state=0),
    "GradientBoostingClassifier": lambda: GradientBoostingClassifier(n_estimators=10, random_state=0),
    "HistGradientBoostingClassifier": lambda: HistGradientBoostingClassifier(max_iter=10, min_samples_leaf=5),
    "HistGradientBoostingRegressor": lambda: HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=5),
    "IsolationForest": lambda: IsolationForest(n_estimators=10, random_state=0),
    "XGBClassifier": _of("xgboost", "XGBClassifier", n_estimators=10, max_depth=4),
    "XGBRegressor": _of("xgboost", "XGBRegressor", n_estimators=10, max_depth=4),
    "LGBMClassifier": _of("lightgbm", "LGBMClassifier", n_estimators=10, min_child_samples=5, verbose=-1),
    "LGBMRegressor": _of("lightgbm", "LGBMRegressor", n_estimators=10, min_child_samples=5, verbose=-1),
    "CatBoostClassifier": _of(
        "catboost", "CatBoostClassifier", iterations=10, depth=4, verbose=0, allow_writing_files=False
    ),
    "CatBoostRegressor": _of(
        "catboost", "CatBoostRegressor", iterations=10, depth=4, verbose=0, allow_writing_files=False
    ),
}


def _mixed(estimator: Any, texts: Any) -> Any:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = [("texts", texts, ["make", "fuel"]), ("numbers", numbers, ["year", "automatic", "mileage"])]
    return make_pipeline(ColumnTransformer(columns, sparse_threshold=0.0), estimator)


def _one_hot(estimator: Any) -> Any:
    imputer = SimpleImputer(strategy="most_frequent")
    return _mixed(estimator, make_pipeline(imputer, OneHotEncoder(handle_unknown="ignore")))


def _ordinal(estimator: Any) -> Any:
    return _mixed(
        estimator, OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    )


def _holed(frame: Any) -> Any:
    frame = frame.copy()
    frame.loc[::6, "width"] = np.nan
    return frame


KINDS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "floats": (floats, lambda estimator: estimator),
    "floats, scaled": (floats, lambda estimator: make_pipeline(StandardScaler(), estimator)),
    "floats, binned": (floats, lambda estimator: make_pipeline(_bins(), estimator)),
    "missing values": (lambda: _holed(floats()), lambda estimator: estimator),
    "missing values, imputed": (lambda: _holed(floats()), lambda each: make_pipeline(SimpleImputer(), each)),
    "columns, one-hot": (cars, _one_hot),
    "columns, ordinal": (cars, _ordinal),
}
"""The table, and what is put before the estimator."""


def _bins() -> Any:
    return KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")


def cell(name: str, kind: str) -> Cell:
    """Trains, converts and compares."""
    table, arranged = KINDS[kind]
    frame, model = table(), arranged(ESTIMATORS[name]())
    numbers = price(frame) if "make" in frame else frame.fillna(0.0).sum(axis=1)
    target = (
        None if name == "IsolationForest" else numbers if name.endswith("Regressor") or name == "Ridge" else None
    )
    if name.endswith(("Classifier", "Regression", "NB", "SVC")):
        target = (numbers > numbers.median()).astype(int)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            published = converted(Path(folder), model, frame, target, baseline="none")
        except ConversionError as error:
            return Cell("refused", reason=error.message)
        except ValueError as error:  # scikit-learn does not train on missing values
            return Cell("not trained", reason=str(error))
    return _judged(published)


def _judged(published: Any) -> Cell:
    examination = published.chosen.examination
    limits = examination["tolerance"]["outputs"]
    held = [line for line in examination["table"] if not line["advisory"]]
    parts = [
        _strain(line, limits[line["output"]]) for line in held if line["set"] == REAL and not line["is_label"]
    ]
    first = held[0]["output"]
    rows = sum(line["rows"] for line in held if line["output"] == first)
    over = sum(line["over"] for line in held)
    return Cell(published.chosen.precision, max(parts, default=0.0), over, rows)


def _strain(line: Mapping[str, Any], limit: Mapping[str, float]) -> float:
    """At most how many limits a difference is: the limit of a row is ``absolute + relative · |answer|``."""
    parts = (("worst_absolute", "absolute"), ("worst_relative", "relative"))
    return min(float(line[worst]) / limit[part] for worst, part in parts)


def rendered(cells: Mapping[tuple[str, str], Cell]) -> str:
    """The part of the page that the command writes."""
    lines = ["| estimator | " + " | ".join(KINDS) + " |", "|---|" + "---|" * len(KINDS)]
    lines += [f"| {name} | " + " | ".join(str(cells[name, kind]) for kind in KINDS) + " |" for name in ESTIMATORS]
    refused: dict[str, list[tuple[str, str]]] = {}
    for (name, kind), each in cells.items():
        if each.verdict == "refused":
            refused.setdefault(kind, []).append((name, each.reason.partition(". Tried")[0]))
    lines += ["", "Why refused (the first of each kind in full):", ""]
    lines += [
        f"- **{kind}**: {', '.join(name for name, _ in found)}. {found[0][0]}: {found[0][1]}."
        for kind, found in refused.items()
    ]
    return "\n".join([BEGIN, "", *lines, "", f"Made with {_versions()}.", "", END])


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for names in (
        ("scikit-learn",),
        ("skl2onnx",),
        ("xgboost", "xgboost-cpu"),
        ("lightgbm",),
        ("catboost",),
        ("onnxruntime",),
    ):
        for name in names:
            try:
                found.append(f"{name} {version(name)}")
                break
            except PackageNotFoundError:
                continue
    return ", ".join(found)


def main() -> int:
    cells = {}
    for name in ESTIMATORS:
        for kind in KINDS:
            cells[name, kind] = cell(name, kind)
            print(f"{name}, {kind}: {cells[name, kind]}", file=sys.stderr)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    PAGE.write_text(before + rendered(cells) + rest.partition(END)[2], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
