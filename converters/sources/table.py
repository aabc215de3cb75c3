"""The sources, and which of them opens a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rapide.converters.errors import ConversionError


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of trained model. ``module`` has ``open_original(job, sample, channel)``, which gives what
    ``contract.py`` describes; ``sample`` is a table, arrays by name (.npz), or None."""

    name: str
    module: str
    suffixes: tuple[str, ...]
    extra: str
    """``pip install "rapide[…]"``"""
    imports: tuple[str, ...]
    """What must be importable."""
    runs_code: bool
    """Whether opening such a file runs code that is stored in it."""
    needs_sample: bool = True
    """Whether there is nothing to compare on without one."""
    marker: str = ""
    """A file that tells a folder of this kind, where models are folders."""


SOURCES: tuple[Source, ...] = (
    Source(
        name="scikit-learn",
        module="rapide.converters.sources.scikit_learn.original",
        suffixes=(".joblib", ".pkl", ".pickle", ".skops"),
        extra="convert",
        imports=("sklearn", "skl2onnx", "onnx", "onnxruntime", "pandas"),
        runs_code=True,
    ),
    Source(
        name="ONNX",
        module="rapide.converters.sources.onnx_file.original",
        suffixes=(".onnx",),
        extra="convert",
        imports=("onnx", "onnxruntime", "pandas"),
        runs_code=False,
        needs_sample=False,
    ),
    Source(
        name="constant",
        module="rapide.converters.sources.constant.original",
        suffixes=(".constant",),
        extra="convert",
        imports=("sklearn", "skl2onnx", "onnx", "onnxruntime", "pandas"),
        runs_code=False,
    ),
    Source(
        name="XGBoost",
        module="rapide.converters.sources.boosters.original",
        suffixes=(".ubj", ".json"),
        extra="xgboost",
        imports=("xgboost", "sklearn", "skl2onnx", "onnx", "onnxruntime", "pandas"),
        runs_code=False,
    ),
    Source(
        name="LightGBM",
        module="rapide.converters.sources.boosters.original",
        suffixes=(".txt", ".lgb"),
        extra="lightgbm",
        imports=("lightgbm", "sklearn", "skl2onnx", "onnx", "onnxruntime", "pandas"),
        runs_code=False,
    ),
    Source(
        name="CatBoost",
        module="rapide.converters.sources.boosters.original",
        suffixes=(".cbm", ".cb"),
        extra="catboost",
        imports=("catboost", "sklearn", "skl2onnx", "onnx", "onnxruntime", "pandas"),
        runs_code=False,
    ),
    Source(
        name="PyTorch",
        module="rapide.converters.sources.pytorch.original",
        suffixes=(".pt2", ".pt", ".pth"),
        extra="torch",
        imports=("torch", "onnxscript", "onnx", "onnxruntime", "pandas"),
        runs_code=True,
    ),
    Source(
        name="Keras",
        module="rapide.converters.sources.keras_file.original",
        suffixes=(".keras", ".h5"),
        extra="keras",
        imports=("keras", "torch", "onnxscript", "onnx", "onnxruntime", "pandas"),
        runs_code=False,
    ),
    Source(
        name="transformers",
        module="rapide.converters.sources.hugging_face.original",
        suffixes=(),
        extra="transformers",
        imports=("torch", "onnxscript", "transformers", "onnx", "onnxruntime", "pandas"),
        runs_code=False,
        marker="config.json",
    ),
)


def source_of(path: Path) -> Source:
    """The source that opens ``path``, by its suffix or, for a folder, by what lies in it. Raises ConversionError
    if there is none."""
    if path.is_dir():
        return _source_of_folder(path)
    for source in SOURCES:
        if path.suffix.lower() in source.suffixes:
            return source
    raise ConversionError(
        f"{path.name} is no model file that can be converted",
        hint=f"Give a file ending in {', '.join(suffixes())} (joblib.dump(model, 'model.joblib') writes one).",
    )


def suffixes() -> list[str]:
    """All that name a kind of model file."""
    return [suffix for source in SOURCES for suffix in source.suffixes]


def _source_of_folder(path: Path) -> Source:
    for source in SOURCES:
        if source.marker and (path / source.marker).is_file():
            return source
    markers = ", ".join(f"{source.marker} ({source.name})" for source in SOURCES if source.marker)
    raise ConversionError(
        f"the folder {path} holds no model that can be converted", hint=f"What would tell is one of {markers}."
    )
