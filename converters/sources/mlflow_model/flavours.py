"""What lies in an MLflow model's folder: the file ``MLmodel`` tells, by flavour."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rapide.converters.errors import ConversionError

MARKER = "MLmodel"
_MAX_BYTES = 4 * 1024 * 1024
_FLAVOURS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("onnx", ("data",)),
    ("sklearn", ("pickled_model",)),
    ("xgboost", ("data",)),
    ("lightgbm", ("data",)),
    ("catboost", ("data",)),
    ("keras", ("data",)),
    ("transformers", ("model_binary",)),
    ("pytorch", ("model_data",)),
)
"""By flavour: the fields that may name its file or folder."""
_NAMED = ("*.pt2", "*.pth", "*.keras", "model.onnx")
"""What is looked for where that is a folder."""


def model_file(folder: Path) -> Path:
    """The file, or folder, of the model itself. Raises ConversionError where no flavour can be converted."""
    path = folder / MARKER
    if path.stat().st_size > _MAX_BYTES:
        raise ConversionError(f"{path} is longer than {_MAX_BYTES} bytes: no MLflow wrote it")
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
        flavours: Mapping[str, Any] = described["flavors"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConversionError(f"{path} cannot be read: {str(error)[:300]}") from error
    for name, fields in _FLAVOURS:
        if name in flavours:
            for field in fields:
                if isinstance(flavours[name].get(field), str):
                    return _inside(folder, flavours[name][field])
    raise ConversionError(
        f"the MLflow model has the flavours {', '.join(sorted(map(str, flavours)))}, none of which can be "
        "converted",
        hint=f"Known: {', '.join(name for name, _ in _FLAVOURS)}. A python_function alone is code, for which "
        "there is no graph.",
    )


def _inside(folder: Path, name: str) -> Path:
    found = (folder / name).resolve()
    if not found.is_relative_to(folder.resolve()) or not found.exists():
        raise ConversionError(f"the MLflow model names {name!r}, which is not in its folder")
    if found.is_dir() and not (found / "config.json").is_file():
        inner = [each for pattern in _NAMED for each in sorted(found.glob(pattern))]
        if inner:
            return inner[0]
    return found
