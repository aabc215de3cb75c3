"""What the outputs of a graph mean, as far as it shows: labels, probabilities, classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnx import ModelProto

from rapide.converters.columns import label_prediction, score_predictions
from rapide.converters.errors import ConversionError
from rapide.converters.sources.contract import Output
from rapide.server.repository.manifest import Kind, Prediction
from rapide.server.tensors import Array

MAX_NAMED_COLUMNS = 64
"""An output with more columns (an embedding) is a vector: nobody asks for its 17th column by name."""
_LABEL_KINDS = "iuOUb"


class Answers:
    """Outputs in the graph's order. ``answers``: the original's, to some rows; [N], [N, columns] or more.

    Making one raises ConversionError for class names that fit no output.
    """

    def __init__(self, model: ModelProto, answers: Mapping[str, Array], names: Sequence[str], target: str) -> None:
        self._names = tuple(names)
        self._target = target
        self._classes = _stated_classes(model)
        width = len(self._names) or len(self._classes)
        self._scores = next((name for name, array in answers.items() if _is_score(array, width)), "")
        if self._names and not self._scores:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in answers.items())
            raise ConversionError(
                f"--classes gives {len(self._names)} names, but no output has a column for each: {shapes}"
            )
        if self._names and self._classes and len(self._names) != len(self._classes):
            raise ConversionError(
                f"--classes gives {len(self._names)} names, but the model has {len(self._classes)} classes"
            )
        self.outputs = tuple(self._output(name, array) for name, array in answers.items())

    @property
    def class_values(self) -> list[int | str]:
        """As the label output, or else the target, writes them."""
        if self._classes:
            return list(self._classes)
        return list(range(len(self._names)))

    @property
    def task(self) -> str:
        return "classifier" if self._scores else "tensors"

    def _output(self, name: str, array: Array) -> Output:
        if array.ndim == 1 and array.dtype.kind in _LABEL_KINDS:
            kind: Kind = "text" if array.dtype.kind in "OU" else "integer"
            texts = tuple(map(str, self._classes)) if kind == "text" else self._names
            return Output(name, True, (label_prediction(self._target or name, name, kind, texts),))
        if name == self._scores:
            names = self._names or tuple(map(str, self._classes))
            likely = _is_likelihood(array)
            return Output(
                name, False, score_predictions("probability" if likely else "score", name, names), likely
            )
        if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
            column = None if array.ndim == 1 else 0
            return Output(name, False, (Prediction(self._target or name, name, column, "number"),))
        if array.ndim == 2 and array.shape[1] <= MAX_NAMED_COLUMNS:
            columns = tuple(
                Prediction(f"{name}.{column}", name, column, "number") for column in range(array.shape[1])
            )
            return Output(name, False, columns, _is_likelihood(array))
        return Output(name, False, ())


def _is_score(array: Array, classes: int) -> bool:
    return classes > 1 and array.ndim == 2 and array.dtype.kind == "f" and array.shape[1] == classes


def _is_likelihood(array: Array) -> bool:
    """Whether every row adds up to one, nothing in it being negative."""
    numbers = array.astype(np.float64)
    return bool((numbers >= 0).all() and np.allclose(numbers.sum(axis=1), 1.0, atol=1e-3))


def _stated_classes(model: ModelProto) -> tuple[int | str, ...]:
    """The classes that a classifier of ai.onnx.ml names."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("classlabels_ints", "classlabels_int64s") and attribute.ints:
                return tuple(attribute.ints)
            if attribute.name == "classlabels_strings" and attribute.strings:
                return tuple(text.decode() for text in attribute.strings)
    return ()
