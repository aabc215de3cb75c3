from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from rapide.converters import quality
from rapide.converters.errors import ConversionError
from rapide.converters.metric_names import METRIC_NAMES, check_metric

LABELS = arrays(np.int64, 12, elements=st.integers(0, 2))
NUMBERS = arrays(np.float64, 12, elements=st.floats(-100, 100, width=16))


def scores(classes: int) -> st.SearchStrategy[np.ndarray]:
    """Rows that add up to one; few different values, so that some are equal."""
    raw = arrays(np.float64, (12, classes), elements=st.integers(1, 5).map(float))
    return raw.map(lambda array: array / array.sum(axis=1, keepdims=True))


@given(LABELS, LABELS)
def test_label_metrics_are_those_of_scikit_learn(truth: np.ndarray, labels: np.ndarray) -> None:
    assert quality.accuracy(truth, labels) == pytest.approx(metrics.accuracy_score(truth, labels))
    assert quality.f1_macro(truth, labels) == pytest.approx(metrics.f1_score(truth, labels, average="macro"))
    known = np.isin(labels, truth)  # a class that is never true: scikit-learn warns and passes over it, as we do
    truth, labels = truth[known], labels[known]
    if len(truth):
        expected = np.mean(
            [metrics.recall_score(truth, labels, labels=[value], average="macro") for value in np.unique(truth)]
        )
        assert quality.balanced_accuracy(truth, labels) == pytest.approx(expected)


@given(arrays(np.int64, 12, elements=st.integers(0, 1)), scores(2))
def test_roc_auc_of_two_classes(truth: np.ndarray, given_scores: np.ndarray) -> None:
    if len(np.unique(truth)) == 2:
        expected = metrics.roc_auc_score(truth, given_scores[:, 1])
        assert quality.roc_auc(truth, given_scores) == pytest.approx(expected)
    else:
        assert np.isnan(quality.roc_auc(truth, given_scores))


@given(LABELS, scores(3))
def test_roc_auc_of_more_classes(truth: np.ndarray, given_scores: np.ndarray) -> None:
    if len(np.unique(truth)) == 3:
        expected = metrics.roc_auc_score(truth, given_scores, multi_class="ovr")
        assert quality.roc_auc(truth, given_scores) == pytest.approx(expected)


@given(LABELS, scores(3))
def test_log_loss(truth: np.ndarray, given_scores: np.ndarray) -> None:
    expected = metrics.log_loss(truth, given_scores, labels=[0, 1, 2])
    assert quality.log_loss(truth, given_scores) == pytest.approx(expected)


@given(NUMBERS, NUMBERS)
@settings(max_examples=50)
def test_number_metrics_are_those_of_scikit_learn(truth: np.ndarray, numbers: np.ndarray) -> None:
    pairs: list[tuple[Callable[..., float], Callable[..., float]]] = [
        (quality.r2, metrics.r2_score),
        (quality.mae, metrics.mean_absolute_error),
        (quality.rmse, metrics.root_mean_squared_error),
        (quality.max_error, metrics.max_error),
    ]
    for ours, theirs in pairs:
        assert ours(truth, numbers) == pytest.approx(theirs(truth, numbers), rel=1e-6, abs=1e-9), ours.__name__


def test_the_light_list_of_names_is_complete() -> None:
    assert tuple(quality.METRICS) == METRIC_NAMES


def test_a_metric_that_the_answers_do_not_allow_is_refused() -> None:
    truth = np.array([1.0, 2.0])
    with pytest.raises(ConversionError, match=r"--metric accuracy needs labels.*Possible here: r2, mae"):
        quality.measure("regressor", "accuracy", truth, None, None, None, truth)


def test_the_usual_metrics_leave_out_what_is_not_there() -> None:
    labels = np.array([0, 1])
    assert quality.measure("classifier", "", labels, labels, labels, None, None) == {"accuracy": 1.0}


@pytest.mark.parametrize(
    ("metric", "target", "message"),
    [("accuracy", "", "needs --target"), ("acuracy", "y", "'acuracy' is unknown")],
)
def test_metrics_are_checked_early(metric: str, target: str, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        check_metric(metric, target)
