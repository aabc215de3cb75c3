"""What an estimator answers, by its task: which method gives which output, under which name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_outlier_detector, is_regressor

from rapide.converters.columns import label_prediction, score_predictions
from rapide.converters.errors import ConversionError
from rapide.converters.sources.contract import Output
from rapide.converters.sources.scikit_learn.several import answers_several_labels
from rapide.server.repository.manifest import Kind, Prediction
from rapide.server.tensors import Array


@dataclass(frozen=True, slots=True)
class Task:
    """``methods``: of the original, one an output, in the order of skl2onnx's outputs.

    ``class_names``: given by the user, for the original's classes in their order. ``text_labels``: whether the
    graph itself says the names (where the classes are not simply 0, 1, …).
    """

    name: str
    outputs: tuple[Output, ...]
    methods: tuple[str, ...]
    classes: Array | None = None
    class_names: tuple[str, ...] = ()

    @property
    def text_labels(self) -> bool:
        return bool(self.class_names) and not self._counts_up

    @property
    def _counts_up(self) -> bool:
        classes = self.classes
        return classes is not None and classes.dtype != object and np.array_equal(classes, np.arange(len(classes)))

    def shaped(self, output: Output, answer: Any) -> Array:
        """``answer`` as the graph gives it: labels [N] or [N, targets], numbers [N, columns]."""
        answer = np.hstack(answer) if isinstance(answer, list) else answer  # probabilities, label by label
        array = np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
        if output.is_label and array.ndim == 2 and array.shape[1] == 1:  # CatBoost's
            array = array.ravel()
        if not output.is_label:
            numbers: Array = array.astype(np.float64).reshape(len(array), -1)
            return numbers
        if self.text_labels and self.classes is not None:
            names = dict(zip(self.classes.tolist(), self.class_names, strict=True))
            return np.array([names[value] for value in array.tolist()], dtype=object)
        if array.dtype.kind in "OUST":
            return np.array([str(value) for value in array.ravel()], dtype=object).reshape(array.shape)
        labels: Array = array.astype(np.int64)
        return labels


def task_of(estimator: Any, *, target: str, class_names: tuple[str, ...], taken: frozenset[str]) -> Task:
    """What ``estimator`` answers. ``taken``: names of inputs, which no output may have.

    Raises ConversionError for class names that do not fit, and for an estimator that answers nothing.
    """
    if not hasattr(estimator, "predict") and not hasattr(estimator, "transform"):
        raise ConversionError(
            f"{type(estimator).__name__} has neither predict nor transform: it cannot answer for new rows",
            hint="Save the estimator that answers.",
        )
    if class_names and not is_classifier(estimator):
        raise ConversionError("--classes names classes, but the model is no classifier")
    if is_classifier(estimator):
        return _classifier(estimator, target, class_names, taken)
    if is_regressor(estimator):
        return _regressor(target, taken)
    if is_outlier_detector(estimator):
        return _labelled("outlier detector", estimator, "decision_function", "scores", taken)
    if hasattr(estimator, "predict_proba") and hasattr(estimator, "predict"):  # mixtures
        return _labelled("mixture", estimator, "predict_proba", "probabilities", taken)
    if hasattr(estimator, "predict"):
        return _labelled("clusterer", estimator, "transform", "distances", taken)
    return _single("transformer", "transform", _free("transformed", taken))


def _classifier(estimator: Any, target: str, names: tuple[str, ...], taken: frozenset[str]) -> Task:
    if answers_several_labels(estimator):
        return _several_labels(estimator, target, names, taken)
    classes = np.asarray(estimator.classes_)
    kind = _kind(classes)
    _check_class_names(names, classes, kind)
    shown_names = names or tuple(_spelled(value) for value in classes.tolist())
    label = _free("label", taken)
    prediction = label_prediction(target or label, label, kind, shown_names if kind == "text" else names)
    outputs = [Output(label, True, (prediction,))]
    methods = ["predict"]
    if hasattr(estimator, "predict_proba"):
        name = _free("probabilities", taken)
        outputs.append(Output(name, False, score_predictions("probability", name, shown_names), unit_scale=True))
        methods.append("predict_proba")
    elif hasattr(estimator, "decision_function"):
        name = _free("scores", taken)
        scored = shown_names if len(classes) > 2 else shown_names[1:]
        outputs.append(Output(name, False, score_predictions("score", name, scored)))
        methods.append("decision_function")
    return Task("classifier", tuple(outputs), tuple(methods), classes, names)


def _several_labels(estimator: Any, target: str, names: tuple[str, ...], taken: frozenset[str]) -> Task:
    """One output with a column for each label, and one with all their probabilities side by side."""
    check_one_label(estimator, len(estimator.classes_), target, names)
    label = _free("label", taken)
    by_label = [np.asarray(classes) for classes in estimator.classes_]
    labels = tuple(
        Prediction(f"{label}.{number}", label, number, _kind(classes)) for number, classes in enumerate(by_label)
    )
    outputs, methods = [Output(label, True, labels)], ["predict"]
    if hasattr(estimator, "predict_proba"):
        name = _free("probabilities", taken)
        shown = [f"{number}.{_spelled(value)}" for number, each in enumerate(by_label) for value in each.tolist()]
        predictions = score_predictions("probability", name, tuple(shown))
        outputs.append(Output(name, False, predictions, unit_scale=True))
        methods.append("predict_proba")
    return Task("classifier", tuple(outputs), tuple(methods))


def check_one_label(estimator: Any, labels: int, target: str, names: tuple[str, ...]) -> None:
    """Raises ConversionError for true answers and class names where a row gets several labels."""
    for option, given in (("--target", bool(target)), ("--classes", bool(names))):
        if given:
            raise ConversionError(
                f"{option} is about one label, but {type(estimator).__name__} answers {labels} labels a row",
                hint="Leave it out, and the column with the true answers out of the sample: the graph is compared "
                "with the original, and nothing is measured.",
            )


def _kind(classes: Array) -> Kind:
    kinds: dict[str, Kind] = {"b": "boolean", "i": "integer", "u": "integer", "f": "integer"}
    if classes.dtype.kind in "mM":
        raise ConversionError(
            f"the model's classes are dates or times ({classes.dtype}), which no output can carry",
            hint="Train on texts or numbers that stand for them.",
        )
    return kinds.get(classes.dtype.kind, "text")


def _check_class_names(names: tuple[str, ...], classes: Array, kind: Kind) -> None:
    if not names:
        return
    shown = ", ".join(str(value) for value in classes[:8])
    if kind == "text":
        raise ConversionError(
            f"--classes names classes that are numbers; this model's are texts: {shown}",
            hint="Leave --classes out: clients get these names.",
        )
    if len(names) != len(classes):
        raise ConversionError(
            f"--classes gives {len(names)} names, but the model has {len(classes)} classes: {shown}",
            hint="Name them in this order.",
        )


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _regressor(target: str, taken: frozenset[str]) -> Task:
    return _single("regressor", "predict", _free(target or "prediction", taken))


def _labelled(task: str, estimator: Any, method: str, scores: str, taken: frozenset[str]) -> Task:
    label = _free("label", taken)
    outputs = [Output(label, True, (Prediction(label, label, None, "integer"),))]
    methods = ["predict"]
    if hasattr(estimator, method):
        name = _free(scores, taken)
        outputs.append(Output(name, False, (Prediction(name, name, None, "number"),), scores == "probabilities"))
        methods.append(method)
    return Task(task, tuple(outputs), tuple(methods))


def _single(task: str, method: str, name: str) -> Task:
    return Task(task, (Output(name, False, (Prediction(name, name, None, "number"),)),), (method,))


def _free(name: str, taken: frozenset[str]) -> str:
    while name in taken:
        name = f"predicted_{name}"
    return name
