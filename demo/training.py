"""Trains the four models on data that scikit-learn bundles, and on generated used cars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from demo.used_cars import ORIGIN, used_cars

_BUNDLED = "bundled with scikit-learn: sklearn.datasets"


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model in files, and what ``rapide convert`` is to be told about it.

    ``example``: one usual row by feature name; ``expected``: what the original answers to it.
    """

    name: str
    title: str
    model: Path
    sample: Path
    target: str
    example: dict[str, Any]
    expected: float | str
    options: dict[str, str] = field(default_factory=dict)


def train_all(folder: Path) -> list[Callable[[], Trained]]:
    """One function a model, in the order of the demonstration; each trains and saves into ``folder``."""
    return [
        lambda: _breast_cancer(folder),
        lambda: _diabetes(folder),
        lambda: _digits(folder),
        lambda: _car_price(folder, 1, trees=80, label="stable"),
        lambda: _car_price(folder, 2, trees=200, label="canary:20%"),
    ]


def _breast_cancer(folder: Path) -> Trained:
    data = load_breast_cancer(as_frame=True)
    return _saved(
        folder,
        "breast-cancer",
        "scaler + logistic regression",
        make_pipeline(StandardScaler(), LogisticRegression()),
        data.data.assign(diagnosis=data.target),
        target="diagnosis",
        class_names=[str(name) for name in data.target_names],
        options={
            "metric": "roc_auc",
            "description": "Whether a breast mass is malignant, from measurements of a fine-needle aspirate.",
            "data-origin": f"{_BUNDLED}.load_breast_cancer",
            "label": "stable",
        },
    )


def _diabetes(folder: Path) -> Trained:
    data = load_diabetes(as_frame=True)
    return _saved(
        folder,
        "diabetes",
        "gradient boosting",
        GradientBoostingRegressor(random_state=0),
        data.data.assign(progression=data.target),
        target="progression",
        options={
            "description": "Progression of diabetes after a year, from ten standardised measurements.",
            "data-origin": f"{_BUNDLED}.load_diabetes",
            "label": "stable",
        },
    )


def _digits(folder: Path) -> Trained:
    data = load_digits(as_frame=True)
    return _saved(
        folder,
        "digits",
        "scaler + neural network",
        make_pipeline(MinMaxScaler(), MLPClassifier((64,), max_iter=300, tol=1e-3, random_state=0)),
        data.data.assign(digit=data.target),
        target="digit",
        options={
            "description": "A handwritten digit, from 8 × 8 grey values between 0 and 16.",
            "data-origin": f"{_BUNDLED}.load_digits",
            "label": "stable",
        },
    )


def _car_price(folder: Path, version: int, *, trees: int, label: str) -> Trained:
    texts, numbers = ["make", "fuel", "gearbox"], ["year", "mileage", "power", "owners"]
    columns = ColumnTransformer(
        [
            (
                "texts",
                make_pipeline(
                    SimpleImputer(strategy="constant", fill_value="unknown"),
                    OneHotEncoder(handle_unknown="ignore"),
                ),
                texts,
            ),
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        ]
    )
    return _saved(
        folder,
        "car-price",
        f"text and number columns + gradient boosting, version {version}",
        make_pipeline(columns, GradientBoostingRegressor(n_estimators=trees, max_depth=4, random_state=0)),
        used_cars(4000)[[*texts, *numbers, "price"]],
        target="price",
        options={
            "description": "Price in euros of a used car (km, kW). Trained on GENERATED data: no real cars.",
            "data-origin": ORIGIN,
            "label": label,
        },
        file_name=f"car-price-{version}",
    )


def _saved(
    folder: Path,
    name: str,
    title: str,
    estimator: Any,
    rows: Any,
    *,
    target: str,
    options: dict[str, str],
    class_names: list[str] | None = None,
    file_name: str = "",
) -> Trained:
    model, sample = folder / f"{file_name or name}.joblib", folder / f"{file_name or name}.parquet"
    features = rows.drop(columns=target)
    estimator.fit(features, rows[target])
    joblib.dump(estimator, model)
    rows.to_parquet(sample)
    complete = rows.dropna()
    usual = (complete[target] - complete[target].median()).abs().idxmin()
    answer = estimator.predict(features.loc[[usual]])[0].item()
    if class_names:
        options = {**options, "classes": ",".join(class_names)}
    return Trained(
        name=name,
        title=title,
        model=model,
        sample=sample,
        target=target,
        example={column: _plain(value) for column, value in features.loc[usual].items()},
        expected=class_names[answer] if class_names else answer,
        options=options,
    )


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
