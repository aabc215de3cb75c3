"""Losses on arrays whose differences are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rapide.converters.errors import ConversionError
from rapide.converters.optimise.loss import losses, worst_differences
from rapide.converters.optimise.measures import DEFAULT_LIMITS, read_limits
from rapide.converters.optimise.truth import lost, metrics
from rapide.server.repository.manifest import Prediction
from tests.server.repository.test_manifest import MANIFEST

LABELS = np.array([0, 1, 2, 1])
P = np.array([[0.9, 0.1], [0.2, 0.8]])
NUMBERS = np.array([[1.0], [3.0]])
OFF = np.array([[0.0], [0.5]])
VECTORS = 2 * np.eye(20)[:3]


def test_labels_flip() -> None:
    (loss,) = losses({"label": LABELS}, {"label": np.array([0, 1, 2, 0])})
    assert (loss.measure, loss.loss) == ("flips", 0.25)
    (loss,) = losses({"label": LABELS.astype(str).astype(object)}, {"label": np.array(list("0120"), object)})
    assert loss.loss == 0.25


def test_probabilities_move() -> None:
    (loss,) = losses({"p": P}, {"p": np.array([[0.9, 0.1], [0.3, 0.7]])})
    assert loss.measure == "probability"
    assert loss.loss == pytest.approx(0.05)


def test_numbers_count_against_their_spread() -> None:
    (loss,) = losses({"y": NUMBERS}, {"y": NUMBERS + 0.1})
    assert loss.measure == "spread"
    assert loss.loss == pytest.approx(0.1)


def test_the_worst_column_counts() -> None:
    prices_and_rates = np.array([[100_000.0, 0.0], [300_000.0, 0.4]])
    (loss,) = losses({"y": prices_and_rates}, {"y": prices_and_rates + np.array([0.0, 0.2])})
    assert loss.loss == pytest.approx(1.0)


def test_vectors_turn() -> None:
    turned = VECTORS.copy()
    turned[1, 0] = 2.0
    (loss,) = losses({"y": VECTORS}, {"y": turned})
    assert loss.measure == "cosine"
    assert loss.loss == pytest.approx(1 - 0.5**0.5)
    assert loss.typical == 0


def test_nan_is_far_from_everything_but_nan() -> None:
    with_nan = np.array([[np.nan], [3.0]])
    assert losses({"y": with_nan}, {"y": with_nan})[0].loss == 0
    assert losses({"y": NUMBERS}, {"y": with_nan})[0].loss == np.inf
    assert losses({"y": VECTORS}, {"y": VECTORS * np.nan})[0].loss == np.inf


def test_worst_differences() -> None:
    original = {"label": LABELS, "y": NUMBERS}
    assert worst_differences(original, {"label": LABELS, "y": NUMBERS + OFF}) == {"label": 0, "y": 0.5}
    assert worst_differences(original, {"label": LABELS + 1, "y": NUMBERS})["label"] == np.inf


CLASSES = (
    Prediction("diagnosis", "label", None, "text", ("malignant", "benign")),
    Prediction("probability.malignant", "p", 0, "number"),
    Prediction("probability.benign", "p", 1, "number"),
)


@pytest.mark.parametrize(
    ("truth", "label"),
    [
        (np.array([0, 1]), np.array([0, 1])),
        (np.array(["malignant", "benign"], object), np.array([0, 1])),
        (np.array(["malignant", "benign"], object), np.array(["malignant", "benign"], object)),
    ],
    ids=["numbers", "names of numbers", "names"],
)
def test_metrics_of_a_classifier(truth: np.ndarray, label: np.ndarray) -> None:  # type: ignore[type-arg]
    manifest = replace(MANIFEST, predictions=CLASSES, quality={})
    found = metrics(manifest, truth, {"label": label, "p": P})
    assert found == {"accuracy": 1.0, "roc_auc": 1.0}


def test_metrics_of_a_regressor_are_the_manifests() -> None:
    assert metrics(MANIFEST, np.array([1.0, 3.5]), {"y": NUMBERS}).keys() == {"r2"}


def test_a_truth_that_the_model_does_not_answer() -> None:
    with pytest.raises(ConversionError, match="are none of the model's classes"):
        metrics(MANIFEST, np.array(["yes", "no"], object), {"label": np.array([0, 1]), "p": P})


def test_what_a_metric_lost() -> None:
    assert lost("accuracy", 0.9, 0.89) == pytest.approx(0.01)
    assert lost("accuracy", 0.9, 0.95) == 0
    assert lost("mae", 2.0, 2.1) == pytest.approx(0.05)


def test_limits_are_read() -> None:
    assert read_limits([]) == DEFAULT_LIMITS
    assert read_limits(["cosine=0.02"]) == {**DEFAULT_LIMITS, "cosine": 0.02}
    assert set(read_limits(["0.1", "flips=0"]).values()) == {0.1, 0.0}


@pytest.mark.parametrize("text", ["much", "cosine=", "speed=0.1", "2", "-0.1", "cosine=nan"])
def test_limits_that_are_none(text: str) -> None:
    with pytest.raises(ConversionError, match="is neither a number from 0 to 1 nor MEASURE=NUMBER"):
        read_limits([text])
