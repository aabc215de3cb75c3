"""A trained scikit-learn model, opened: what it takes, what it answers, its graph, its thresholds."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from rapide.converters.channel import Channel
from rapide.converters.columns import Column, Precision
from rapide.converters.errors import ConversionError
from rapide.converters.feeds import make_feeds
from rapide.converters.samples import Frame, column_kind
from rapide.converters.sources.contract import SplitSite
from rapide.converters.sources.scikit_learn.export import to_onnx
from rapide.converters.sources.scikit_learn.splits import split_sites
from rapide.converters.sources.scikit_learn.structure import check_fitted, describe, parts, root, walk
from rapide.converters.sources.scikit_learn.tasks import Task, task_of
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
    if not isinstance(model, BaseEstimator):
        raise ConversionError(
            f"the file holds a {type(model).__name__}, not a scikit-learn estimator",
            hint="Save the fitted estimator or pipeline itself.",
        )
    channel.step("comparing the model with the sample")
    return SklearnOriginal(model, trained_with, frame, job, channel)


class SklearnOriginal:
    """Implements ``contract.Original``. Making one raises ConversionError where model and sample do not fit."""

    def __init__(
        self, model: Any, trained_with: str, frame: Frame, job: Mapping[str, Any], channel: Channel
    ) -> None:
        self._model = model
        self._trained_with = trained_with
        target = str(job.get("target") or "")
        names = _column_names(model, frame, target, channel)
        self._root = root(model, names)
        check_fitted(self._root)
        self._is_document = _takes_documents(model)
        self._by_name = hasattr(model, "feature_names_in_")
        self.columns = _columns(model, frame[list(names)], self._is_document)
        self._sample = frame[list(names)]
        task = task_of(
            model,
            target=target,
            class_names=tuple(job.get("classes") or ()),
            taken=frozenset(column.input for column in self.columns),
        )
        self._task = _widened(task, self._first_answers(task))
        self.outputs = self._task.outputs

    @property
    def description(self) -> Mapping[str, Any]:
        kind = type(self._model)
        return {
            "estimator": f"{kind.__module__.partition('.')[0]}.{kind.__name__}",
            "task": self._task.name,
            "steps": [describe(part) for part in parts(self._root)],
            "trained_with": {"scikit-learn": self._trained_with},
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
        narrows_itself = isinstance(inner, Pipeline) and not hasattr(inner.steps[-1][1], "_predictors")
        return ("float32", "mixed", "float64") if narrows_itself else ("float32", "float64")

    def answers(self, frame: Frame) -> dict[str, Array]:
        return {
            output.name: self._task.shaped(output, getattr(self._model, method)(self._argument(frame)))
            for output, method in zip(self._task.outputs, self._task.methods, strict=True)
        }

    def truth(self, values: Any) -> Array:
        classes = self._task.classes
        if values.isna().any():
            raise ConversionError(
                f"{int(values.isna().sum())} rows of the sample have no value for {values.name!r}",
                hint="Leave them out of the sample, or leave --target out.",
            )
        if classes is not None:
            unknown = sorted(
                {str(value) for value in values.tolist()} - {str(value) for value in classes.tolist()}
            )
            if unknown:
                raise ConversionError(
                    f"the sample's {values.name!r} holds {_listed(unknown)}, which the model has no class for",
                    hint=f"Its classes are {_listed([str(value) for value in classes.tolist()])}.",
                )
        return self._task.shaped(self.outputs[0], values.to_numpy())

    def export(self, precision: Precision) -> bytes:
        model = to_onnx(self._model, self.columns, precision)
        rename_inputs(model, self.columns, precision)
        shape_outputs(model, self._faces(model, precision))
        stamp(model, "rapide, skl2onnx")
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    def splits(self, most: int) -> list[SplitSite]:
        return [
            replace(site, transform=functools.partial(_transformed, site, self._argument))
            for site in split_sites(self._root, most)
        ]

    def known_categories(self, column: str) -> tuple[str, ...]:
        for node in walk(self._root):
            categories = getattr(node.estimator, "categories_", None)
            if categories is not None and column in node.columns and len(categories) == len(node.columns):
                known = categories[node.columns.index(column)]
                return tuple(sorted({value for value in known.tolist() if isinstance(value, str) and value}))
        return ()

    def _argument(self, frame: Frame) -> Any:
        """``frame`` as the model was trained: a table, a matrix, or one text a row."""
        if self._is_document:
            return frame.iloc[:, 0]
        return frame if self._by_name else frame.to_numpy()

    def _first_answers(self, task: Task) -> dict[str, Array]:
        rows = self._sample.head(_TRIAL_ROWS)
        try:
            return {
                output.name: task.shaped(output, getattr(self._model, method)(self._argument(rows)))
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
                hint="Try another --precision, or a similar estimator.",
            ) from error
        return answers


def _transformed(site: SplitSite, argument: Any, frame: Frame) -> Array:
    return site.transform(argument(frame))


def _column_names(model: Any, frame: Frame, target: str, channel: Channel) -> tuple[str, ...]:
    """The sample's columns that the model takes, in its order. Raises ConversionError, naming what is missing."""
    given = [name for name in frame.columns if name != target]
    wanted = getattr(model, "feature_names_in_", None)
    if wanted is not None:
        wanted = [str(name) for name in wanted]
        missing = [name for name in wanted if name not in frame.columns]
        surplus = [name for name in given if name not in wanted]
        if missing:
            raise ConversionError(
                f"the sample lacks {_listed(missing)}, which the model was trained on",
                hint=f"It has {_listed(surplus)} instead; names must match exactly." if surplus else "",
            )
        if surplus:
            channel.note(f"not used by the model, left out: {_listed(surplus)}")
        return tuple(wanted)
    count = getattr(model, "n_features_in_", None)
    if count is not None and count != len(given):
        raise ConversionError(
            f"the model was trained on {count} columns without names; the sample has {len(given)}: "
            f"{_listed(given)}",
            hint="Give exactly those columns, in the order of training"
            + ("." if target else "; name the column to predict with --target, if it is among them."),
        )
    return tuple(given)


def _columns(model: Any, frame: Frame, is_document: bool) -> tuple[Column, ...]:
    kinds = {name: column_kind(frame[name]) for name in frame.columns}
    if is_document and list(kinds.values()) != ["text"]:
        raise ConversionError(
            "the model takes texts, one a row, so the sample must have one text column",
            hint=f"It has {_listed(list(frame.columns))}; name the column to predict with --target.",
        )
    all_float = all(kind == "number" for kind in kinds.values())
    all_numeric = all(kind != "text" for kind in kinds.values())
    packed = all_float or (all_numeric and not _selects_columns(model))
    return tuple(
        Column(name, kind, packed_at=position if packed else None)
        for position, (name, kind) in enumerate(kinds.items())
    )


def _selects_columns(model: Any) -> bool:
    return any(isinstance(node.estimator, ColumnTransformer) and node.columns for node in walk(root(model, ("",))))


def _takes_documents(model: Any) -> bool:
    """Whether the model begins with a text vectoriser, which takes a list of texts and no table."""
    first = model
    while isinstance(first, Pipeline) or hasattr(first, "best_estimator_"):
        first = first.steps[0][1] if isinstance(first, Pipeline) else first.best_estimator_
    return hasattr(first, "build_analyzer")


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


def _onnx_type(array: Array) -> int:
    kinds = {"O": DataType.BYTES, "U": DataType.BYTES, "i": DataType.INT64, "b": DataType.BOOL}
    datatype = kinds.get(array.dtype.kind)
    if datatype is None:
        datatype = DataType.FP64 if array.dtype == np.float64 else DataType.FP32
    return ONNX_TYPES[datatype]


def _nearest_column(given: Array, wanted: Array) -> int:
    """Of two classes' scores skl2onnx gives both signs, and for some estimators in the other order."""
    return int(np.argmin(np.abs(given.astype(np.float64) - wanted).sum(axis=0)))


def _listed(names: list[str], most: int = 8) -> str:
    shown = ", ".join(repr(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
