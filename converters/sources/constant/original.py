"""A file with one number, or one class of those that ``--classes`` names, as a model of the sample's columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError
from rapide.converters.sources.contract import Original
from rapide.converters.sources.scikit_learn.original import SklearnOriginal


def open_original(job: Mapping[str, Any], sample: Any, channel: Channel) -> Original:
    """The constant in the file ``job["model"]``. Raises ConversionError for what is neither number nor class."""
    text = Path(job["model"]).read_text(encoding="utf-8").strip()
    target = str(job.get("target") or "")
    features = sample[[name for name in sample.columns if name != target]]
    classes = list(job.get("classes") or ())
    model = _classifier(text, classes) if classes else DummyRegressor(strategy="constant", constant=_number(text))
    truth = np.resize(np.array(classes, dtype=object), max(len(classes), len(features))) if classes else None
    if truth is None:
        model.fit(features, np.zeros(len(features)))
    else:
        rows = features.iloc[np.arange(len(truth)) % len(features)]
        model.fit(rows, truth)
    model.feature_names_in_ = np.array(features.columns, dtype=object)
    model.n_features_in_ = len(features.columns)
    return SklearnOriginal(model, {}, sample, {**job, "classes": []}, channel)


def _classifier(text: str, classes: list[str]) -> Any:
    if text not in classes:
        raise ConversionError(f"the constant {text!r} is none of the classes {', '.join(classes)}")
    return DummyClassifier(strategy="constant", constant=text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConversionError(
            f"the constant {text[:40]!r} is no number", hint="For a class, name them all: --classes no,yes."
        ) from None
