"""A model that came as a whole graph, behind the contract: fed tensors, or a table whose columns it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto

from rapide.converters.channel import Channel
from rapide.converters.columns import PACKED_INPUT, Column, Precision
from rapide.converters.errors import ConversionError
from rapide.converters.feeds import make_feeds
from rapide.converters.samples import Frame, column_kind
from rapide.converters.sources.contract import Original, Output, SplitSite, TensorInput, TensorOriginal
from rapide.converters.sources.tensors.answers import Answers
from rapide.converters.sources.tensors.face import name_batch, tensor_inputs
from rapide.converters.sources.tensors.model import GraphModel
from rapide.converters.surgery import Face, rename_inputs, rename_values, shape_outputs, stamp
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array

GENERATED_ROWS = 64
_FREE_SIZE = 16
"""What a dimension that requests choose is generated with."""


def original_of(
    model: GraphModel, sample: Any, job: Mapping[str, Any], channel: Channel
) -> Original | TensorOriginal:
    """The model with its sample: a table, arrays by input's name, or None for rows that are made up."""
    inputs = tensor_inputs(model.graph)
    target = str(job.get("target") or "")
    if sample is None:
        channel.note("no --sample: compared on made-up rows; real ones would prove more")
        return GraphOriginal(model, inputs, made_up_rows(inputs), None, job)
    if isinstance(sample, dict):
        rows = checked_rows(inputs, sample, target)
        return GraphOriginal(model, inputs, rows, sample.get(target), job)
    return GraphTable(model, inputs, sample, job, channel)


def checked_rows(inputs: Sequence[TensorInput], sample: Mapping[str, Array], target: str = "") -> dict[str, Array]:
    """The sample's arrays, in the datatypes that the inputs have. Raises ConversionError where they do not fit."""
    given = {name: array for name, array in sample.items() if name != target}
    names = [each.name for each in inputs]
    if len(given) == 1 and len(names) == 1:
        given = dict(zip(names, given.values(), strict=True))
    if set(given) < set(names) or set(names) - set(given):
        raise ConversionError(
            f"the model takes {', '.join(map(repr, names))}; the sample has {', '.join(map(repr, given))}",
            hint="Name the arrays as the inputs: numpy.savez('rows.npz', "
            + ", ".join(f"{name}=…" for name in names)
            + ").",
        )
    return {each.name: _fitted(each, given[each.name]) for each in inputs}


def made_up_rows(inputs: Sequence[TensorInput]) -> dict[str, Array]:
    """Rows of the right shapes: normal numbers, small integers, short texts."""
    generator = np.random.default_rng(0)
    rows = {}
    for each in inputs:
        sizes = [axis if isinstance(axis, int) else _FREE_SIZE for axis in each.axes[1:]]
        shape = (GENERATED_ROWS, *sizes)
        dtype = NUMPY_DTYPES[each.datatype]
        if each.datatype is DataType.BYTES:
            rows[each.name] = generator.choice(np.array(["", "a", "made up"], dtype=object), shape)
        elif each.datatype.is_float:
            rows[each.name] = generator.normal(size=shape).astype(dtype)
        else:
            rows[each.name] = generator.integers(0, 2, shape).astype(dtype)
    return rows


def _fitted(wanted: TensorInput, array: Array) -> Array:
    dtype = NUMPY_DTYPES[wanted.datatype]
    sizes = wanted.axes[1:]
    fits = array.ndim == len(wanted.axes) and all(
        isinstance(size, str) or size == given for size, given in zip(sizes, array.shape[1:], strict=True)
    )
    if not fits:
        raise ConversionError(
            f"the model's input {wanted.name!r} has the shape {['rows', *sizes]}; the sample's has "
            f"{list(array.shape)}"
        )
    if wanted.datatype is DataType.BYTES:
        return np.array([str(value) for value in array.ravel()], dtype=object).reshape(array.shape)
    if array.dtype.kind not in "biuf":
        raise ConversionError(f"the model's input {wanted.name!r} takes {wanted.datatype}; the sample has texts")
    fitted = np.ascontiguousarray(array, dtype=dtype)
    if dtype.kind in "iu" and not np.array_equal(fitted, array):
        raise ConversionError(
            f"the model's input {wanted.name!r} takes {wanted.datatype}, which cannot hold the sample's numbers"
        )
    return fitted


class GraphOriginal:
    """Implements ``contract.TensorOriginal``."""

    def __init__(
        self,
        model: GraphModel,
        inputs: tuple[TensorInput, ...],
        rows: Mapping[str, Array],
        truth: Array | None,
        job: Mapping[str, Any],
    ) -> None:
        self._model = model
        self.tensor_inputs = inputs
        self.rows = rows
        first = first_answers(model, {name: array[:32] for name, array in rows.items()})
        self._answers = Answers(model.graph, first, job.get("classes") or (), str(job.get("target") or ""))
        self.outputs: tuple[Output, ...] = self._answers.outputs
        self.truth = None if truth is None else _written(truth, self.class_values)

    @property
    def description(self) -> Mapping[str, Any]:
        return {**self._model.description, "task": self._answers.task}

    @property
    def class_values(self) -> list[int | str]:
        return self._answers.class_values

    def answers(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._model.run(feeds)

    def export(self) -> bytes:
        graph = ModelProto()
        graph.CopyFrom(self._model.graph)
        name_batch(graph.graph)
        stamp(graph, "rapide")
        content: bytes = graph.SerializeToString(deterministic=True)
        return content


class GraphTable:
    """Implements ``contract.Original``: a graph whose inputs are a table's columns, each [N, 1] with the column's
    name, or one matrix of them all.

    Making one raises ConversionError where the columns are not those.
    """

    def __init__(
        self,
        model: GraphModel,
        inputs: tuple[TensorInput, ...],
        sample: Frame,
        job: Mapping[str, Any],
        channel: Channel,
    ) -> None:
        self._model = model
        self._inputs = inputs
        target = str(job.get("target") or "")
        self.columns = _columns(inputs, sample, target, channel)
        self._precision: Precision = (
            "float64" if any(each.datatype is DataType.FP64 for each in inputs) else "float32"
        )
        first = first_answers(model, self._feeds(sample.head(32)))
        self._answers = Answers(model.graph, first, job.get("classes") or (), target)
        self.outputs: tuple[Output, ...] = self._answers.outputs
        self._first = first

    @property
    def description(self) -> Mapping[str, Any]:
        single = len(self.outputs) == 1 and len(self.outputs[0].predictions) == 1
        task = "regressor" if single and self._answers.task == "tensors" else self._answers.task
        return {**self._model.description, "task": task}

    @property
    def class_values(self) -> list[int | str]:
        return self._answers.class_values

    @property
    def precisions(self) -> tuple[Precision, ...]:
        return (self._precision,)

    def answers(self, frame: Frame) -> dict[str, Array]:
        answers = self._model.run(self._feeds(frame))
        return {
            output.name: answers[output.name]
            if output.is_label
            else answers[output.name].astype(np.float64).reshape(len(frame), -1)
            for output in self.outputs
        }

    def truth(self, values: Any) -> Array:
        return _written(values.to_numpy(), self.class_values)

    def export(self, precision: Precision) -> bytes:
        graph = ModelProto()
        graph.CopyFrom(self._model.graph)
        packed = self.columns[0].packed_at is not None
        inner = [PACKED_INPUT] if packed else [f"c{position}" for position in range(len(self.columns))]
        _rename_inputs(graph, dict(zip((each.name for each in self._inputs), inner, strict=True)))
        rename_inputs(graph, self.columns, precision)
        shape_outputs(graph, [self._face(position, output) for position, output in enumerate(self.outputs)])
        stamp(graph, "rapide")
        content: bytes = graph.SerializeToString(deterministic=True)
        return content

    def splits(self, most: int) -> list[SplitSite]:  # noqa: ARG002 - none that could be followed
        return []

    def known_categories(self, column: str) -> tuple[str, ...]:  # noqa: ARG002 - no graph tells
        return ()

    def _feeds(self, frame: Frame) -> dict[str, Array]:
        feeds = make_feeds(frame, self.columns, self._precision)
        return {
            each.name: feed.astype(NUMPY_DTYPES[each.datatype], copy=False)
            for each, feed in zip(self._inputs, feeds.values(), strict=True)
        }

    def _face(self, position: int, output: Output) -> Face:
        value = self._model.graph.graph.output[position]
        array = self._first[output.name]
        width = None if output.is_label else array.size // max(1, len(array))
        return Face(output.name, position, width, value.type.tensor_type.elem_type)


def first_answers(model: GraphModel, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The original's answers to some rows. Raises ConversionError where it cannot give them."""
    try:
        answers = model.run(feeds)
    except ConversionError:
        raise
    except Exception as error:  # the model's own code
        raise ConversionError(
            f"the model fails on the sample's first rows: {type(error).__name__}: {str(error)[:500]}",
            hint="Give rows as it was trained on, of the shapes that it takes.",
        ) from error
    given = len(next(iter(feeds.values())))
    for name, array in answers.items():
        if len(array) != given:
            raise ConversionError(
                f"output {name!r} has {len(array)} rows where {given} were given: dimension 0 must count rows",
                hint="Let the model answer one row for each row it is given.",
            )
    return answers


def _written(truth: Array, class_values: Sequence[int | str]) -> Array:
    if class_values:
        texts = all(isinstance(value, str) for value in class_values)
        written = np.array(
            [str(value) if texts else value for value in truth.tolist()], dtype=object if texts else None
        )
        unknown = sorted(set(written.tolist()) - set(class_values), key=str)
        if unknown:
            raise ConversionError(
                f"the true answers hold {unknown[0]!r}, which the model has no class for",
                hint=f"Its classes are {', '.join(map(str, class_values[:8]))}.",
            )
        return written if texts else written.astype(np.int64)
    if truth.dtype.kind not in "biuf":
        raise ConversionError(
            f"the true answers are texts ({truth.ravel()[0]!r}), and nothing says which column is which",
            hint="Name the classes in the order of the model's columns: --classes A,B,…; else leave --target out.",
        )
    return np.asarray(truth, dtype=np.float64)


def _columns(inputs: Sequence[TensorInput], sample: Frame, target: str, channel: Channel) -> tuple[Column, ...]:
    given = [name for name in sample.columns if name != target]
    only = inputs[0]
    if len(inputs) == 1 and len(only.axes) == 2 and only.datatype in (DataType.FP32, DataType.FP64):
        width = only.axes[1]
        if isinstance(width, str) or width == len(given):
            kinds = {name: column_kind(sample[name]) for name in given}
            texts = [name for name, kind in kinds.items() if kind == "text"]
            if texts:
                raise ConversionError(f"the model takes numbers; column {texts[0]!r} of the sample holds texts")
            return tuple(Column(name, kinds[name], packed_at=position) for position, name in enumerate(given))
        raise ConversionError(
            f"the model's input {only.name!r} takes {width} columns; the sample has {len(given)}: "
            f"{', '.join(map(repr, given[:8]))}",
            hint="Give exactly those columns in their order; name the one to predict with --target.",
        )
    names = [each.name for each in inputs]
    if any(each.axes[1:] != (1,) for each in inputs) or set(names) - set(given):
        shapes = ", ".join(f"{each.name} {each.datatype} {['rows', *each.axes[1:]]}" for each in inputs)
        raise ConversionError(
            f"the sample's columns do not fit the model's inputs: {shapes}",
            hint="Give a .npz file with an array for each input (numpy.savez), or a table with a column for each.",
        )
    columns = tuple(Column(name, column_kind(sample[name])) for name in names)
    for each, column in zip(inputs, columns, strict=True):
        if column.is_numeric == (each.datatype is DataType.BYTES):
            raise ConversionError(
                f"the model's input {each.name!r} takes {each.datatype}; the sample's column holds {column.kind}s"
            )
    surplus = [name for name in given if name not in names]
    if surplus:
        channel.note(f"not used by the model, left out: {', '.join(map(repr, surplus))}")
    return columns


def _rename_inputs(model: ModelProto, names: dict[str, str]) -> None:
    rename_values(model.graph, names)
    for value in model.graph.input:
        value.name = names.get(value.name, value.name)
