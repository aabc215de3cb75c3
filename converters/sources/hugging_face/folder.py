"""What a model's folder says about it: configuration files alone, read without importing anything heavy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapide.converters.errors import ConversionError

CONFIG = "config.json"
_POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_max_tokens": "max",
}
"""sentence-transformers' switches → ours. Exactly one must be on."""
_ENDINGS = ("Model", "ForSequenceClassification")
"""Of architectures that can be converted."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """``pooling``: how token vectors become one ("mean", "first", "max"), empty for what is no sentence
    transformer. ``max_length``: tokens that are looked at. ``labels``: a classifier's, in its scores' order."""

    path: Path
    architecture: str
    pooling: str
    normalises: bool
    max_length: int
    labels: tuple[str, ...]

    @property
    def is_classifier(self) -> bool:
        return self.architecture.endswith("ForSequenceClassification")


def read_folder(path: Path) -> ModelFolder:
    """The description of the model in ``path``. Raises ConversionError for what is none, or cannot be exported."""
    config = _json(path / CONFIG)
    architecture = str((config.get("architectures") or [""])[0])
    pooling, normalises = "", False
    if (path / "modules.json").is_file():
        pooling, normalises = _pooling(path)
    elif not architecture.endswith(_ENDINGS) or architecture.endswith("LMHeadModel"):
        raise ConversionError(
            f"{architecture or 'this model'} is neither an encoder nor a sequence classifier, which are "
            "what can be converted",
            hint="Models that write text token by token need a loop around them, which is no single ONNX graph.",
        )
    labels = config.get("id2label") or {}
    classes = architecture.endswith("ForSequenceClassification")
    return ModelFolder(
        path=path,
        architecture=architecture,
        pooling=pooling,
        normalises=normalises,
        max_length=_max_length(path, config),
        labels=tuple(str(labels[key]) for key in sorted(labels, key=int)) if classes else (),
    )


def _pooling(path: Path) -> tuple[str, bool]:
    kinds = {
        str(module["type"]).rpartition(".")[2]: str(module["path"]) for module in _json(path / "modules.json")
    }
    unknown = sorted(kinds.keys() - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise ConversionError(f"the sentence transformer has a module {unknown[0]!r}, which cannot be converted")
    if "Pooling" not in kinds:
        return "", "Normalize" in kinds
    config = _json(path / kinds["Pooling"] / CONFIG)
    chosen = [ours for theirs, ours in _POOLINGS.items() if config.get(theirs)]
    other = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    if len(chosen) != 1 or len(other) != 1:
        raise ConversionError(
            f"the sentence transformer pools by {', '.join(other) or 'nothing'}",
            hint=f"What can be converted is one of {', '.join(_POOLINGS)}.",
        )
    return chosen[0], "Normalize" in kinds


def _max_length(path: Path, config: dict[str, Any]) -> int:
    most = int(config.get("max_position_embeddings") or 512)
    own = path / "sentence_bert_config.json"
    stated = _json(own).get("max_seq_length") if own.is_file() else None
    return min(most, int(stated)) if stated else most


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path} cannot be read: {error}") from error
