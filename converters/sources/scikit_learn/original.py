"""A trained scikit-learn model, opened: what it takes, what it answers, its graph, its thresholds."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from onnx import ModelProto
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from rapide.converters.channel import Channel
from rapide.converters.columns import Precision
from rapide.converters.errors import ConversionError
from rapide.converters.feeds import make_feeds
from rapide.converters.samples import Frame
from rapide.converters.sources.boosters.table import booster_of, opened_booster
from rapide.converters.sources.contract import SplitSite
from rapide.converters.sources.scikit_learn.export import to_onnx
from rapide.converters.sources.scikit_learn.splits import split_sites
from rapide.converters.sources.scikit_learn.structure import check_fitted, describe, parts, root, walk
from rapide.converters.sources.scikit_learn.table import TrainedTable, listed
from rapide.converters.sources.scikit_learn.tasks import Task, check_one_label, task_of
from rapide.converters.sources.scikit_learn.unpickle import unpickle
from rapide.converters.surgery import ONNX_TYPES, Face, rename_inputs, shape_outputs, stamp
from rapide.server.repository.manifest import Prediction
from rapide.server.signature import DataType
from rapide.server.tensors import Array

_TRIAL_ROWS = 2


def open_original(job: Mapping[str, Any], frame: Frame, channel: Channel) -> SklearnOriginal:
    """The model of ``job["model"]``, checked against the sample. Raises ConversionError."""
    channel.step("unpickling the model (this runs code stored in it)")
    model, trained_with = unpickle(Path(job["model"]), channel)
    model = opened_booster(model)
    if not isinstance(model, BaseEstimator) and booster_of(model) is None:
        raise ConversionError(
            f"the file holds a {type(model).__name__}, not a scikit-learn estimator",
            hint="Save the fitted estimator or pipeline itself.",
        )
    channel.step("comparing the model with the sample")
    return SklearnOriginal(model, {"scikit-learn": trained_with}, frame, job, channel)


class SklearnOriginal:
    """Implements ``contract.Original``. Making one raises ConversionError where model and sample do not fit."""

    def __init__(
        self, model: Any, trained_with: Mapping[str, str], frame: Frame, job: Mapping[str, Any], channel: Channel
    ) -> None:
        self._model = model
        self._trained_with = trained_with
        target = str(job.get("target") or "")
        check_fitted(root(model, ()))
        self._table = TrainedTable(model, frame, target, channel)
        self._root = root(model, self._table.names)
        self.columns = self._table.columns
        self._sample = frame[[column.name for column in self.columns]]
        task = task_of(
            model,
            target=target,
            class_names=tuple(job.get("classes") or ()),
            taken=frozenset(column.input for column in self.columns),
        )
        first = self._first_answers(task)
        labels = first[task.outputs[0].name]
        if task.classes is not None and labels.ndim == 2:  # yes or no to each of several labels
            check_one_label(model, labels.shape[1], target, task.class_names)
            task = replace(task, classes=None)
        self._task = _widened(task, first)
        _check_widths(self._task, first)
        self.outputs = self._task.outputs

    @property
    def description(self) -> Mapping[str, Any]:
        kind = type(self._model)
        return {
            "estimator": f"{kind.__module__.partition('.')[0]}.{kind.__name__}",
            "task": self._task.name,
            "steps": [describe(part) for part in parts(self._root)],
            "trained_with": dict(self._trained_with),
        }

    @property
    def class_values(self) -> list[int | str]:
        classes = self._task.classes
        if classes is None:
            return []
        values: list[int | str] = self._task.shaped(self.outputs[0], classes).tolist()
        return values

    @property
    def precisions(self) -> tuple[Precision, ...]:
        if not any(column.is_numeric for column in self.columns):
            return ("float32",)
        inner = self._model
        while hasattr(inner, "best_estimator_"):
            inner = inner.best_estimator_
        narrows_itself = isinstance(inner, Pipeline) and not _compares_doubles(inner.steps[-1][1])
        return ("float32", "mixed", "float64") if narrows_itself else ("float32", "float64")

    def answers(self, frame: Frame) -> dict[str, Array]:
        return {
            output.name: self._task.shaped(output, getattr(self._model, method)(self._table.argument(frame)))
            for output, method in zip(self._task.outputs, self._task.methods, strict=True)
        }

    def truth(self, values: Any) -> Array:
        classes = self._task.classes
        if values.isna().any():
            raise ConversionError(
                f"{int(values.isna().sum())} rows of the sample have no value for {values.name!r}",
                hint="Leave them out of the sample, or leave --target out.",
            )
        truth = values.to_numpy() if classes is None else self._own_classes(values, classes)
        return self._task.shaped(self.outputs[0], truth)

    def _own_classes(self, values: Any, classes: Array) -> Array:
        """``values`` as the model writes its classes. Where it was trained on numbers (files of the boosters' own
        know no others), the sample may have the names that --classes gives."""
        given, known = {str(value) for value in values.tolist()}, [str(value) for value in classes.tolist()]
        names = dict(zip(self._task.class_names, classes.tolist(), strict=False))
        named = bool(given - set(known) and given & names.keys())
        if named:
            known = list(names)
        unknown = sorted(given - set(known))
        alike = _same_numbers(values, classes) if unknown else None
        if alike is not None:
            return alike
        if unknown:
            raise ConversionError(
                f"the sample's {values.name!r} holds {listed(unknown)}, which the model has no class for",
                hint=f"Its classes are {listed(known)}.",
            )
        own: Array = np.array([names[str(value)] for value in values.tolist()]) if named else values.to_numpy()
        return own

    def export(self, precision: Precision) -> bytes:
        model = to_onnx(self._model, self.columns, precision)
        rename_inputs(model, self.columns, precision)
        shape_outputs(model, self._faces(model, precision))
        stamp(model, "rapide, skl2onnx")
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def splits(self, most: int) -> list[SplitSite]:
        return [
            replace(site, transform=functools.partial(_transformed, site, self._table.argument))
            for site in split_sites(self._root, most)
        ]

    def known_categories(self, column: str) -> tuple[str, ...]:
        for node in walk(self._root):
            booster = booster_of(node.estimator)
            if booster is not None and column in node.columns:
                return tuple(sorted(booster.categories(node.estimator).get(node.columns.index(column), ())))
            categories = getattr(node.estimator, "categories_", None)
            if categories is not None and column in node.columns and len(categories) == len(node.columns):
                known = categories[node.columns.index(column)]
                return tuple(sorted({value for value in known.tolist() if isinstance(value, str) and value}))
        return ()

    def _first_answers(self, task: Task) -> dict[str, Array]:
        rows = self._sample.head(_TRIAL_ROWS)
        try:
            return {
                output.name: task.shaped(output, getattr(self._model, method)(self._table.argument(rows)))
                for output, method in zip(task.outputs, task.methods, strict=True)
            }
        except Exception as error:  # the model's own code
            raise ConversionError(
                f"the model fails on the sample's first rows: {type(error).__name__}: {str(error)[:500]}",
                hint="Give rows with the columns and types that it was trained on: parquet keeps types.",
            ) from error

    def _faces(self, model: ModelProto, precision: Precision) -> list[Face]:
        """How each output is to look, from what the graph gives for some rows: declared shapes are often wrong."""
        given = self._trial(model, precision)
        first = self._first_answers(self._task)
        faces = []
        for position, output in enumerate(self.outputs):
            if position >= len(given):
                raise ConversionError(f"the converted graph lacks the output {output.name!r}")
            array, wanted = given[position], first[output.name]
            width = None if wanted.ndim == 1 else wanted.shape[1]
            columns = array.size // len(wanted)
            if width is not None and width > 1 and columns != width:
                raise ConversionError(
                    f"the converted graph gives {columns} columns in {output.name!r}; the original gives {width}",
                    hint="The converter does not know this kind of answer: use a similar estimator "
                    "(docs/guides/convert.md lists those that convert).",
                )
            names: tuple[tuple[int, str], ...] = ()
            onnx_type = _onnx_type(array)
            if output.is_label and self._task.text_labels and self._task.classes is not None:
                names = tuple(zip(map(int, self._task.classes), self._task.class_names, strict=True))
                onnx_type = ONNX_TYPES[DataType.BYTES]
            take = _nearest_column(array, wanted) if width == 1 and columns > 1 else None
            faces.append(Face(output.name, position, width, onnx_type, take, names))
        return faces

    def _trial(self, model: ModelProto, precision: Precision) -> list[Array]:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # wrong shape declarations are what this run is for
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            feeds = make_feeds(self._sample.head(_TRIAL_ROWS), self.columns, precision)
            answers: list[Array] = session.run(None, feeds)
        except Exception as error:  # onnxruntime's own exception types share no base but Exception
            raise ConversionError(
                f"the graph made in {precision} does not run: {str(error)[:300]}",
                hint="docs/guides/convert.md says what converts instead of what does not. If the estimator is not "
                "among those, another --precision may do.",
            ) from error
        return answers


def _compares_doubles(predictor: Any) -> bool:
    return hasattr(predictor, "_predictors") or type(predictor).__module__.startswith("lightgbm.")


def _transformed(site: SplitSite, argument: Any, frame: Frame) -> Array:
    return site.transform(argument(frame))


def _widened(task: Task, answers: Mapping[str, Array]) -> Task:
    """Outputs of several columns get a prediction a column: ``prediction.0``, ``prediction.1``, …"""
    outputs = []
    for output in task.outputs:
        width = answers[output.name].shape[1] if answers[output.name].ndim == 2 else 1
        if len(output.predictions) == 1 and width > 1:
            only = output.predictions[0]
            spread = tuple(
                Prediction(f"{only.name}.{column}", only.output, column, only.kind, only.classes, only.unit)
                for column in range(width)
            )
            output = replace(output, predictions=spread)  # noqa: PLW2901 - the widened one takes its place
        outputs.append(output)
    return replace(task, outputs=tuple(outputs))


def _same_numbers(values: Any, classes: Array) -> Array | None:
    """``values`` as the classes that they equal: a table may hold 1.0, or true, where the training had 1. None
    where one equals no class, or where they are no numbers."""
    if classes.dtype.kind not in "biuf" or not pd.api.types.is_numeric_dtype(values.dtype):
        return None
    by_number = {float(value): value for value in classes.tolist()}
    if not {float(value) for value in values.tolist()} <= by_number.keys():
        return None
    return np.array([by_number[float(value)] for value in values.tolist()], dtype=classes.dtype)


def _check_widths(task: Task, answers: Mapping[str, Array]) -> None:
    """Raises ConversionError where an answer has another number of columns than the classes say."""
    for output in task.outputs:
        width = answers[output.name].shape[1] if answers[output.name].ndim == 2 else 1
        if width != len(output.predictions):
            raise ConversionError(
                f"the model answers {width} columns in {output.name!r}, where its classes are "
                f"{len(output.predictions)}",
                hint="Chains of classifiers answer so: use MultiOutputClassifier, or publish one model a label.",
            )


def _onnx_type(array: Array) -> int:
    kinds = {"O": DataType.BYTES, "U": DataType.BYTES, "i": DataType.INT64, "b": DataType.BOOL}
    datatype = kinds.get(array.dtype.kind)
    if datatype is None:
        datatype = DataType.FP64 if array.dtype == np.float64 else DataType.FP32
    return ONNX_TYPES[datatype]


def _nearest_column(given: Array, wanted: Array) -> int:
    """Of two classes' scores skl2onnx gives both signs, and for some estimators in the other order."""
    return int(np.argmin(np.abs(given.astype(np.float64) - wanted).sum(axis=0)))
