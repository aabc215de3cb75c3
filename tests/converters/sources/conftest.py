"""What all tests of sources do: put a file and a sample into a folder and convert them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from rapide.converters.convert import Published, convert
from rapide.converters.options import ConvertOptions
from tests.converters.in_process import InProcess, trial_in_process

Publish = Callable[..., Published]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """``publish(model, sample, **options)``: a path; a table, arrays by name, or None."""

    def run(model: Path, sample: Any = None, **options: Any) -> Published:
        path = None
        if isinstance(sample, dict):
            path = tmp_path / "rows.npz"
            np.savez(path, **sample)
        elif sample is not None:
            path = tmp_path / "rows.parquet"
            sample.to_parquet(path)
        chosen = ConvertOptions(model, path, tmp_path / "models", "subject", **options)
        return convert(chosen, lambda kind, text: None, sandbox=InProcess(), trial=trial_in_process)

    return run


def answers(published: Published, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the published graph answers."""
    session = onnxruntime.InferenceSession(published.folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, rows), strict=True))
