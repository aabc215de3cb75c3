"""Quality metrics of a graph's answers against the true ones, as the manifest names outputs and classes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from rapide.converters.errors import ConversionError
from rapide.converters.optimise.loss import are_probabilities, is_label
from rapide.converters.quality import METRICS, measure
from rapide.server.repository.manifest import Manifest
from rapide.server.tensors import Array


def metrics(manifest: Manifest, truth: Array, answers: Mapping[str, Array]) -> dict[str, float]:
    """The metrics that the manifest's quality has, or else the usual ones. ``truth``: [N].

    Raises ConversionError where the true answers are not what the model answers.
    """
    truth = truth.reshape(-1) if truth.ndim == 2 and truth.shape[1] == 1 else truth
    wanted = [name for name in manifest.quality if name in METRICS]
    labels = next((array for array in answers.values() if is_label(array) and array.ndim == 1), None)
    scores_name, scores = _scores(answers, truth)
    if labels is None and scores is not None:
        labels = scores.argmax(axis=1)
    if labels is None:
        return _of_numbers(wanted, truth, answers)
    truth, positions = _as_labels(truth, labels, _class_names(manifest, scores_name))
    return _measured("classifier", wanted, truth, positions, labels, None if positions is None else scores, None)


def lost(name: str, original: float, variant: float) -> float:
    """What a metric lost: of a bounded one its own points, of an error its growth relative to itself."""
    metric = METRICS[name]
    if metric.higher_is_better:
        return max(0.0, original - variant)
    return max(0.0, (variant - original) / abs(original)) if original else float(variant > 0)


def _scores(answers: Mapping[str, Array], truth: Array) -> tuple[str, Array | None]:
    """The output with a column for each class: probabilities, or else any scores, if the truth names classes."""
    found = [(name, array) for name, array in answers.items() if are_probabilities(array)]
    if not found and truth.dtype.kind not in "f":
        found = [(n, a) for n, a in answers.items() if not is_label(a) and a.ndim == 2 and a.shape[1] > 1]
    return found[0] if found else ("", None)


def _of_numbers(wanted: Collection[str], truth: Array, answers: Mapping[str, Array]) -> dict[str, float]:
    numbers = next((a.reshape(-1) for a in answers.values() if a.size == len(truth) and not is_label(a)), None)
    if numbers is None:
        return {}
    exact = numbers.astype(np.float64)
    return _measured("regressor", wanted, np.asarray(truth, np.float64), None, None, None, exact)


def _measured(
    task: str,
    wanted: Collection[str],
    truth: Array,
    positions: Array | None,
    labels: Array | None,
    scores: Array | None,
    numbers: Array | None,
) -> dict[str, float]:
    figures: dict[str, float] = {}
    for metric in wanted or [""]:
        try:
            figures |= measure(task, metric, truth, positions, labels, scores, numbers)
        except ConversionError:  # a metric that this output no longer allows says nothing about a loss
            continue
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _class_names(manifest: Manifest, scores: str) -> list[str]:
    columns = sorted(
        (each for each in manifest.predictions if each.output == scores and each.column is not None),
        key=lambda each: each.column or 0,
    )
    return [each.name.partition(".")[2] for each in columns]


def _as_labels(truth: Array, labels: Array, names: list[str]) -> tuple[Array, Array | None]:
    """The truth as the label output writes it, and as positions of classes (None where they are not known)."""
    texts = np.array([str(value) for value in truth.tolist()], dtype=object)
    places = {name: position for position, name in enumerate(names)}
    if labels.dtype == object:
        known = bool(places) and all(text in places for text in texts)
        return texts, np.array([places[text] for text in texts]) if known else None
    if truth.dtype.kind in "iub":
        return truth.astype(np.int64), truth.astype(np.int64)
    if all(text in places for text in texts):
        positions = np.array([places[text] for text in texts])
        return positions, positions
    raise ConversionError(
        f"the true answers ({', '.join(sorted(set(texts.tolist()))[:4])}, …) are none of the model's classes",
        hint=f"Its classes: {', '.join(names[:8]) or 'integers'}.",
    )
