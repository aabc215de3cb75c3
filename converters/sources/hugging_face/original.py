"""A transformer from its folder, opened. Its sample: a table with one column of texts, or token ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnx import ModelProto

from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError
from rapide.converters.samples import column_kind, texts
from rapide.converters.sources.contract import Original, TensorOriginal
from rapide.converters.sources.hugging_face.folder import ModelFolder, read_folder
from rapide.converters.sources.hugging_face.network import IDS, MASK, graph_of, network
from rapide.converters.sources.hugging_face.tokens import token_rows
from rapide.converters.sources.pytorch.network import Network
from rapide.converters.sources.tensors.original import original_of
from rapide.server.tensors import Array

MAX_TEXTS = 1000


def open_original(job: Mapping[str, Any], sample: Any, channel: Channel) -> Original | TensorOriginal:
    """The model in the folder ``job["model"]``. Raises ConversionError."""
    folder = read_folder(Path(job["model"]))
    target = str(job.get("target") or "")
    rows = sample if isinstance(sample, dict) else _tokenised(folder, sample, target, channel)
    channel.step("exporting the transformer")
    classes = tuple(job.get("classes") or ()) or folder.labels
    return original_of(TransformerModel(folder), rows, {**job, "classes": classes}, channel)


def export_graph(path: Path) -> ModelProto:
    """The graph of the model in the folder ``path``, for those who want nothing else. Raises ConversionError."""
    return graph_of(read_folder(path))


class TransformerModel:
    """Implements ``tensors.model.GraphModel``. Making one raises ConversionError."""

    def __init__(self, folder: ModelFolder) -> None:
        self._folder = folder
        self.graph = graph_of(folder)
        self._network = Network(network(folder), (IDS, MASK))
        self._output = self.graph.graph.output[0].name

    @property
    def description(self) -> Mapping[str, Any]:
        folder = self._folder
        steps = [folder.architecture, *([f"{folder.pooling} pooling"] if folder.pooling else [])]
        return {
            "estimator": f"transformers.{folder.architecture}",
            "steps": [*steps, *(["normalisation"] if folder.normalises else [])],
            "max_tokens": folder.max_length,
        }

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return {self._output: self._network.run(feeds)["output"]}


def _tokenised(folder: ModelFolder, frame: Any, target: str, channel: Channel) -> dict[str, Array]:
    names = [name for name in frame.columns if name != target]
    if len(names) != 1 or column_kind(frame[names[0]]) != "text":
        raise ConversionError(
            "the sample must have one column of texts, one a row",
            hint=f"It has {', '.join(map(repr, names[:8]))}; name the column of true answers with --target.",
        )
    channel.step("tokenising the sample")
    chosen = frame.head(MAX_TEXTS)
    rows = token_rows(folder, texts(chosen[names[0]], "").tolist())
    if target:
        labels = {label: position for position, label in enumerate(folder.labels)}
        rows[target] = chosen[target].map(lambda value: labels.get(str(value), value)).to_numpy()
    return rows
