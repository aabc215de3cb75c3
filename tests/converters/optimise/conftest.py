"""A small network on digits, published once for all tests of variants; they add versions to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from tests.converters.material import TARGET, converted


@pytest.fixture(scope="session")
def digits() -> tuple[Any, Any]:
    """1797 images of 8 × 8 as a frame of floats, and what they show."""
    features, target = load_digits(return_X_y=True, as_frame=True)
    return features.astype(float), target


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, digits: tuple[Any, Any]) -> Path:
    """``models/subject/1``: a network that was trained on the even rows; ``rows.parquet``: the odd ones."""
    folder = tmp_path_factory.mktemp("digits")
    features, target = digits
    network = MLPClassifier((512, 128), random_state=0, tol=1e-2, n_iter_no_change=2)
    converted(folder, network, features[::2], target[::2])
    features[1::2].assign(**{TARGET: target[1::2]}).to_parquet(folder / "rows.parquet")
    return folder
