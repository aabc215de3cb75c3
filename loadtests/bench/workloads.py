"""The models of the benchmark: small ones, around which a server's own cost shows. Trained on drawn data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 20
SEED = 20


@dataclass(frozen=True, slots=True)
class Workload:
    """A model's name in files and requests, and in words."""

    name: str
    title: str
    train: Callable[[], Any]


def _logistic_regression() -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a second of imports, for training alone

    return LogisticRegression(max_iter=1000)


def _gradient_boosting() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415 - as above

    return GradientBoostingClassifier(n_estimators=100, max_depth=5, random_state=SEED)


WORKLOADS: Mapping[str, Workload] = {
    workload.name: workload
    for workload in (
        Workload("logistic-regression", f"logistic regression, {FEATURES} features", _logistic_regression),
        Workload("gradient-boosting", "gradient boosting, 100 trees of depth 5", _gradient_boosting),
    )
}


def row() -> np.ndarray[Any, Any]:
    """The one row that every request carries."""
    return np.random.default_rng(SEED).normal(size=(1, FEATURES)).astype(np.float32)


def export(workload: Workload, folder: Path) -> Path:
    """Trains the model and writes ``<folder>/<name>.onnx``: input ``x[N,20]``, outputs label and probabilities."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - as above

    random = np.random.default_rng(SEED)
    features = random.normal(size=(2000, FEATURES)).astype(np.float32)
    labels = (features @ random.normal(size=FEATURES) + random.normal(size=2000) > 0).astype(np.int64)
    trained = workload.train().fit(features, labels)
    converted = to_onnx(trained, features[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3})
    path = folder / f"{workload.name}.onnx"
    path.write_bytes(converted.SerializeToString())
    return path
