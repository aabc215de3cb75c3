"""Small models of three kinds to tune, trained on drawn data and laid out as a repository."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

SEED: Final = 20
TRAIN_ROWS: Final = 4000
EDITION: Final = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
"""Of these models: another one when anything here is changed. What was measured belongs to one."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of model: its title, the width of its input, and how it is trained."""

    title: str
    features: int
    train: Callable[[], Any]

    @property
    def words(self) -> str:
        return f"{self.title}, {self.features} features"


def _linear() -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a second of imports, for training alone

    return LogisticRegression(max_iter=1000)


def _forest() -> Any:
    from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415 - as above

    return RandomForestClassifier(500, max_depth=12, random_state=SEED)


def _network() -> Any:
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415 - as above

    return MLPClassifier((1024, 1024, 512), max_iter=1, random_state=SEED)


KINDS: Final[Mapping[str, Kind]] = {
    "linear": Kind("logistic regression", 20, _linear),
    "forest": Kind("random forest, 500 trees of depth 12", 100, _forest),
    "network": Kind("neural network, 1024 × 1024 × 512", 20, _network),
}


def train(root: Path) -> None:
    """Writes ``root/<name>/1/model.onnx`` for each kind that is not there yet: input X[N,features]."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - as above

    for name, kind in KINDS.items():
        path = root / name / "1" / "model.onnx"
        if path.exists():
            continue
        random = np.random.default_rng(SEED)
        rows = random.normal(size=(TRAIN_ROWS, kind.features)).astype(np.float32)
        noise = random.normal(size=TRAIN_ROWS)
        labels = (rows @ random.normal(size=kind.features) + noise > 0).astype(np.int64)
        trained = kind.train().fit(rows, labels)
        target = {"": 18, "ai.onnx.ml": 3}
        converted = to_onnx(trained, rows[:1], options={"zipmap": False}, target_opset=target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(converted.SerializeToString())
