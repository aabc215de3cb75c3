"""How good the answers are, by the metrics that trainers name. Pure; on numpy alone, so that the process that
checks the graph needs no scikit-learn. Definitions are scikit-learn's (``sklearn.metrics``), and tested against
it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rapide.converters.errors import ConversionError
from rapide.server.tensors import Array

LABELS, SCORES, NUMBERS = "labels", "probabilities", "numbers"
TENSORS = "tensors"
"""The task of a graph of which nobody said what its answers mean."""


@dataclass(frozen=True, slots=True)
class Metric:
    """``needs``: what is compared with the truth. ``higher_is_better`` for gates and reports."""

    name: str
    needs: str
    higher_is_better: bool
    measure: Callable[[Array, Array], float]
    """(truth [N], answers [N] or [N, classes]) → figure. For SCORES, truth holds class positions."""


def accuracy(truth: Array, labels: Array) -> float:
    return float(np.mean(truth == labels))


def balanced_accuracy(truth: Array, labels: Array) -> float:
    """The mean over classes of the share found."""
    return float(np.mean([np.mean(labels[truth == value] == value) for value in _values(truth)]))


def f1_macro(truth: Array, labels: Array) -> float:
    """The plain mean over classes of 2·TP / (2·TP + FP + FN)."""
    scores = []
    for value in _values(np.concatenate([truth, labels])):
        hits = np.sum((truth == value) & (labels == value))
        misses = np.sum((truth == value) != (labels == value))
        scores.append(2 * hits / (2 * hits + misses))
    return float(np.mean(scores))


def roc_auc(truth: Array, scores: Array) -> float:
    """The chance that a random member of a class scores above a random other; with more than two classes the plain
    mean of each against the rest. Equal scores count half (Mann-Whitney)."""
    if scores.shape[1] == 2:
        return _auc(truth == 1, scores[:, 1])
    return float(np.mean([_auc(truth == column, scores[:, column]) for column in range(scores.shape[1])]))


def log_loss(truth: Array, scores: Array) -> float:
    tiny = np.finfo(scores.dtype).eps
    chosen = np.clip(scores[np.arange(len(truth)), truth.astype(np.int64)], tiny, 1 - tiny)
    return float(-np.mean(np.log(chosen.astype(np.float64))))


def r2(truth: Array, numbers: Array) -> float:
    """1 − residual sum of squares / total sum of squares; 0 for a constant truth that is missed."""
    total = np.sum((truth - truth.mean()) ** 2)
    residual = np.sum((truth - numbers) ** 2)
    if total == 0:
        return 1.0 if residual == 0 else 0.0
    return float(1 - residual / total)


def mae(truth: Array, numbers: Array) -> float:
    return float(np.mean(np.abs(truth - numbers)))


def rmse(truth: Array, numbers: Array) -> float:
    return float(np.sqrt(np.mean((truth - numbers) ** 2)))


def max_error(truth: Array, numbers: Array) -> float:
    return float(np.max(np.abs(truth - numbers)))


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", LABELS, True, accuracy),
        Metric("balanced_accuracy", LABELS, True, balanced_accuracy),
        Metric("f1_macro", LABELS, True, f1_macro),
        Metric("roc_auc", SCORES, True, roc_auc),
        Metric("log_loss", SCORES, False, log_loss),
        Metric("r2", NUMBERS, True, r2),
        Metric("mae", NUMBERS, False, mae),
        Metric("rmse", NUMBERS, False, rmse),
        Metric("max_error", NUMBERS, False, max_error),
    )
}
DEFAULT_METRICS: Mapping[str, tuple[str, ...]] = {
    "classifier": ("accuracy", "roc_auc"),
    "regressor": ("r2", "mae"),
    TENSORS: ("r2", "mae"),
}
"""By task: what is measured where no metric was named."""


def measure(
    task: str,
    metric: str,
    truth: Array,
    positions: Array | None,
    labels: Array | None,
    scores: Array | None,
    numbers: Array | None,
) -> dict[str, float]:
    """The figures by metric: the one asked for, or (empty) the task's usual ones as far as the model allows.

    ``truth``: as labels or numbers; ``positions``: the same as positions of classes, for scores.

    Raises ConversionError for a metric that the model's answers do not allow.
    """
    answers = {LABELS: labels, SCORES: scores, NUMBERS: numbers}
    wanted = (metric,) if metric else DEFAULT_METRICS.get(task, ())
    figures = {}
    for name in wanted:
        chosen = METRICS[name]
        given = answers[chosen.needs]
        if given is None:
            if metric:
                possible = [known for known, each in METRICS.items() if answers[each.needs] is not None]
                raise ConversionError(
                    f"--metric {name} needs {chosen.needs}, which this model ({task}) does not answer",
                    hint=f"Possible here: {', '.join(possible) or 'none'}.",
                )
            continue
        figures[name] = chosen.measure(
            positions if chosen.needs == SCORES and positions is not None else truth, given
        )
    return figures


def constant_answers(metric: Metric, truth: Array, positions: Array | None) -> tuple[Array, str]:
    """What the best constant answers to every row, shaped as ``metric`` takes it; and what it is, in words."""
    if metric.needs == LABELS:
        values, counts = np.unique(truth, return_counts=True)
        best = values[int(np.argmax(counts))]
        return np.full(len(truth), best, truth.dtype), f"always {str(best)[:40]}, the most frequent class"
    if metric.needs == SCORES and positions is not None:
        shares = np.bincount(positions.astype(np.int64)) / len(positions)
        return np.tile(shares, (len(truth), 1)), "the classes' shares for every row"
    word, centre = _CENTRES.get(metric.name, _MEAN)
    return np.full(len(truth), centre(truth)), f"always the {word}"


_MEAN: tuple[str, Callable[[Array], float]] = ("mean", lambda truth: float(np.mean(truth)))
_CENTRES: Mapping[str, tuple[str, Callable[[Array], float]]] = {
    "mae": ("median", lambda truth: float(np.median(truth))),
    "max_error": ("middle of the range", lambda truth: float((truth.max() + truth.min()) / 2)),
}
"""The constant that is best by the metric; for the others it is the mean."""


def _auc(positive: Array, score: Array) -> float:
    """By ranks, equal scores sharing theirs."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    hits = int(positive.sum())
    others = len(positive) - hits
    if not hits or not others:
        return float("nan")
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * others))


def _values(array: Array) -> list[object]:
    return sorted(set(array.tolist()))
