"""An existing ONNX file, opened.

The original is the file as it came, run without any of the runtime's optimisations; what is published is the
cleaned graph, run with all of them: the comparison proves that neither changes an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import ModelProto

from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError
from rapide.converters.graph_gate import check_foreign
from rapide.converters.sources.contract import Original, TensorOriginal
from rapide.converters.sources.onnx_file.zipmap import without_zipmaps
from rapide.converters.sources.tensors.face import axes, name_batch, tensor_inputs
from rapide.converters.sources.tensors.original import first_answers, made_up_rows, original_of
from rapide.server.tensors import Array


def open_original(job: Mapping[str, Any], sample: Any, channel: Channel) -> Original | TensorOriginal:
    """The graph of ``job["model"]``. Raises ConversionError for what cannot be served."""
    channel.step("reading the ONNX file")
    return original_of(OnnxModel(Path(job["model"]), channel), sample, job, channel)


class OnnxModel:
    """Implements ``tensors.model.GraphModel``. Making one raises ConversionError."""

    def __init__(self, path: Path, channel: Channel) -> None:
        self._given = _read(path)
        self._session = _session(path)
        cleaned, changed = without_zipmaps(self._given)
        if changed:
            channel.note(f"dictionaries became matrices, one column a class: {', '.join(map(repr, changed))}")
        self.graph = cleaned
        self._names = [value.name for value in cleaned.graph.output]
        self._batch = _fixed_batch(cleaned)
        _check_shapes(cleaned)
        if self._batch:
            self._free_batch(channel)
        else:
            name_batch(self.graph.graph)

    @property
    def description(self) -> Mapping[str, Any]:
        producer = f"{self._given.producer_name} {self._given.producer_version}".strip()
        return {
            "estimator": "onnx",
            "producer": producer,
            "opsets": {opset.domain or "ai.onnx": opset.version for opset in self._given.opset_import},
        }

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        if not self._batch:
            return self._run(feeds)
        return _joined(
            [self._run(piece) for piece in _pieces(feeds, self._batch)], len(next(iter(feeds.values())))
        )

    def _run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        answers = self._session.run(self._names, dict(feeds))
        return {name: _matrix(answer) for name, answer in zip(self._names, answers, strict=True)}

    def _free_batch(self, channel: Channel) -> None:
        """Lets requests choose the number of rows where the exporter fixed it, if the graph bears that."""
        channel.note(
            f"the file takes exactly {self._batch} row{'s' * (self._batch > 1)} at a time; the published graph "
            "takes any number"
        )
        freed = ModelProto()
        freed.CopyFrom(self.graph)
        name_batch(freed.graph)
        del freed.graph.value_info[:]
        rows = made_up_rows(tensor_inputs(freed))
        wanted = first_answers(self, rows)
        try:
            session = onnxruntime.InferenceSession(
                freed.SerializeToString(), _quiet(), providers=["CPUExecutionProvider"]
            )
            answers = dict(zip(self._names, session.run(self._names, rows), strict=True))
            same_shapes = all(answers[name].shape == wanted[name].shape for name in self._names)
        except Exception:  # noqa: BLE001 - onnxruntime's own exception types share no base but Exception
            same_shapes = False
        if not same_shapes:
            raise ConversionError(
                f"the graph works for exactly {self._batch} rows at a time, and for no other number",
                hint="Export it again with a dynamic first dimension (torch.onnx.export: dynamic_shapes, with an "
                "example of two rows or more).",
            )
        self.graph = freed


def _read(path: Path) -> ModelProto:
    check_foreign(path)
    try:
        model = onnx.load_model(path)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ConversionError(
            f"{path.name} cannot be read as ONNX: {(str(error).splitlines() or [''])[0][:300]}",
            hint="Weights that lie beside the file must lie in the same folder, under the names that it gives.",
        ) from error
    if not model.graph.node:
        raise ConversionError(f"{path.name} is no ONNX model: it has no nodes")
    return model


def _session(path: Path) -> Any:
    try:
        return onnxruntime.InferenceSession(path, _quiet(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exception types share no base but Exception
        raise ConversionError(f"onnxruntime cannot load {path.name}: {str(error)[:300]}") from error


def _quiet() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _fixed_batch(model: ModelProto) -> int:
    """The number of rows that the inputs insist on, or 0."""
    sizes = {each.axes[0] for each in tensor_inputs(model) if each.axes and isinstance(each.axes[0], int)}
    if len(sizes) > 1:
        raise ConversionError(
            f"the inputs insist on different first dimensions ({', '.join(map(str, sorted(sizes)))}): the first "
            "dimension must count rows",
            hint="Export the model with the rows first in every input.",
        )
    return sizes.pop() if sizes else 0


def _check_shapes(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        if not value.type.HasField("tensor_type"):
            kind = value.type.WhichOneof("value") or "nothing"
            raise ConversionError(f"{value.name!r} is a {kind.removesuffix('_type')}, not a tensor")
        if not axes(value):
            raise ConversionError(
                f"{value.name!r} is a single number or has no known rank: the first dimension must count rows",
                hint="Export the model with rows in every input and output.",
            )


def _pieces(feeds: Mapping[str, Array], rows: int) -> list[dict[str, Array]]:
    """``rows`` rows at a time; the last piece is filled up with the last row."""
    total = len(next(iter(feeds.values())))
    filled = -(-total // rows) * rows
    order = np.minimum(np.arange(filled), total - 1)
    return [
        {name: array[order[start : start + rows]] for name, array in feeds.items()}
        for start in range(0, filled, rows)
    ]


def _joined(pieces: list[dict[str, Array]], rows: int) -> dict[str, Array]:
    return {name: np.concatenate([piece[name] for piece in pieces])[:rows] for name in pieces[0]}


def _matrix(answer: Any) -> Array:
    """A ZipMap's dictionaries as a matrix, their keys being in the order of the classes."""
    if isinstance(answer, list):
        return np.array([list(row.values()) for row in answer], dtype=np.float32)
    array: Array = answer
    return array
