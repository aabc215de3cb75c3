"""The models of a folder as hand-written servers hold them: one session each, run once per request."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime

NAMES = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64"}
"""The datatypes that the benchmark's models have."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A session, and what is looked up in it for every request."""

    session: Any
    input_name: str
    output_names: list[str]
    datatypes: list[str]

    def run(self, rows: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        answers: list[np.ndarray[Any, Any]] = self.session.run(self.output_names, {self.input_name: rows})
        return answers


def load(folder: Path) -> dict[str, LoadedModel]:
    """Every ``*.onnx`` in ``folder``, by its name."""
    return {path.stem: _load(path) for path in sorted(folder.glob("*.onnx"))}


def session(path: Path) -> Any:
    """A session of one thread that does not spin, like those of the servers compared with."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _load(path: Path) -> LoadedModel:
    made = session(path)
    (only_input,) = made.get_inputs()
    outputs = made.get_outputs()
    return LoadedModel(
        made, only_input.name, [spec.name for spec in outputs], [NAMES[spec.type] for spec in outputs]
    )
