"""The encoder with what comes after it, as one module: what is exported, and what it is compared with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from onnx import ModelProto
from transformers import AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging

from rapide.converters.errors import ConversionError
from rapide.converters.sources.hugging_face.folder import ModelFolder
from rapide.converters.sources.pytorch.export import exported

IDS, MASK = "input_ids", "attention_mask"
_FREE = {IDS: (0, 1), MASK: (0, 1)}


def network(folder: ModelFolder, *, attention: str | None = None) -> Any:
    """The module: token ids and mask, both int64 [rows, tokens], → embedding, probabilities or token vectors.

    ``attention``: the implementation, or transformers' own choice. Raises ConversionError for weights that do not
    fit.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    kind = AutoModelForSequenceClassification if folder.is_classifier else AutoModel
    options: dict[str, Any] = {} if attention is None else {"attn_implementation": attention}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            encoder = kind.from_pretrained(
                str(folder.path),
                local_files_only=True,
                trust_remote_code=False,
                torch_dtype=torch.float32,
                **options,
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ConversionError(
                f"transformers cannot load {folder.path.name}: {' '.join(str(error).split())[:400]}",
                hint="Give the folder that save_pretrained wrote, with config.json and model.safetensors.",
            ) from error
    return _Head(encoder, folder).eval()


def output_name(folder: ModelFolder) -> str:
    if folder.is_classifier:
        return "probabilities"
    return "embedding" if folder.pooling else "token_embeddings"


def graph_of(folder: ModelFolder) -> ModelProto:
    """The ONNX graph, the numbers of rows and of tokens being free. The plain attention gives the graph that the
    runtime's own fusions know best."""
    ids = torch.ones((3, 8), dtype=torch.int64)
    module = network(folder, attention="eager")
    return exported(module, {IDS: ids, MASK: torch.ones_like(ids)}, [output_name(folder)], _FREE)


class _Head(torch.nn.Module):  # type: ignore[misc]  # torch is Any: see pyproject.toml
    """The encoder and its head: class probabilities, or pooled and perhaps normalised vectors."""

    def __init__(self, encoder: Any, folder: ModelFolder) -> None:
        super().__init__()
        self.encoder = encoder
        self._folder = folder

    def forward(self, input_ids: Any, attention_mask: Any) -> Any:
        answer = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        if self._folder.is_classifier:
            return torch.softmax(answer.logits, dim=1)
        vectors = answer.last_hidden_state
        if self._folder.pooling:
            vectors = _POOLINGS[self._folder.pooling](vectors, attention_mask)
        return torch.nn.functional.normalize(vectors, dim=-1) if self._folder.normalises else vectors


def _mean(vectors: Any, mask: Any) -> Any:
    weights = mask.unsqueeze(-1).to(vectors.dtype)
    return (vectors * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def _first(vectors: Any, _mask: Any) -> Any:
    return vectors[:, 0]


def _max(vectors: Any, mask: Any) -> Any:
    return vectors.masked_fill(mask.unsqueeze(-1) == 0, -1e9).max(1).values


_POOLINGS: Mapping[str, Callable[[Any, Any], Any]] = {"mean": _mean, "first": _first, "max": _max}
