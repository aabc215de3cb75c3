"""The sources, and which of them opens a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rapide.converters.errors import ConversionError


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of trained model. ``module`` has ``open_original(job, frame, channel) -> Original``."""

    name: str
    module: str
    suffixes: tuple[str, ...]
    extra: str
    """``pip install "rapide[…]"``"""
    imports: tuple[str, ...]
    """What must be importable."""
    runs_code: bool
    """Whether opening such a file runs code that is stored in it."""


SOURCES: tuple[Source, ...] = (
    Source(
        name="scikit-learn",
        module="rapide.converters.sources.scikit_learn.original",
        suffixes=(".joblib", ".pkl", ".pickle"),
        extra="convert",
        imports=("sklearn", "skl2onnx", "onnx", "onnxruntime", "pandas"),
        runs_code=True,
    ),
)


def source_of(path: Path) -> Source:
    """The source that opens ``path``, by its suffix. Raises ConversionError if there is none."""
    for source in SOURCES:
        if path.suffix.lower() in source.suffixes:
            return source
    suffixes = ", ".join(suffix for source in SOURCES for suffix in source.suffixes)
    raise ConversionError(
        f"{path.name} is no model file that can be converted",
        hint=f"Give a file ending in {suffixes} (joblib.dump(model, 'model.joblib') writes one).",
    )
