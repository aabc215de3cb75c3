"""A PyTorch module or exported program, opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto

from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError
from rapide.converters.samples import column_kind, numbers
from rapide.converters.sources.contract import Original, TensorOriginal
from rapide.converters.sources.pytorch.export import exported
from rapide.converters.sources.pytorch.network import Network, argument_names
from rapide.converters.sources.pytorch.unpickle import check_rows_are_free, load
from rapide.converters.sources.tensors.original import original_of
from rapide.server.tensors import Array

_TRIAL_ROWS = 3


def open_original(job: Mapping[str, Any], sample: Any, channel: Channel) -> Original | TensorOriginal:
    """The module of ``job["model"]``. Raises ConversionError."""
    channel.step("opening the module (this runs code stored in it)")
    module = load(Path(job["model"]))
    channel.step("exporting the module")
    return original_of(TorchModel(module, sample, str(job.get("target") or "")), sample, job, channel)


class TorchModel:
    """Implements ``tensors.model.GraphModel``. Making one raises ConversionError."""

    def __init__(self, module: Any, sample: Any, target: str) -> None:
        self._module = module
        is_program = isinstance(module, torch.export.ExportedProgram)
        call = module.module() if is_program else module
        if is_program:
            check_rows_are_free(module)
        names = list(module.graph_signature.user_inputs) if is_program else argument_names(module)
        rows = _arguments(names, sample, target, _float_type(call))
        self._network = Network(call, list(rows))
        self.graph = self._exported(rows)

    @property
    def description(self) -> Mapping[str, Any]:
        kind = type(self._module)
        return {
            "estimator": f"{kind.__module__.partition('.')[0]}.{kind.__name__}",
            "steps": [
                f"{name} ({type(child).__name__})"
                for name, child in getattr(self._module, "named_children", list)()
            ],
        }

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self._network.run(feeds)

    def _exported(self, rows: Mapping[str, Array]) -> ModelProto:
        tensors = {name: torch.from_numpy(np.array(array[:_TRIAL_ROWS])) for name, array in rows.items()}
        try:
            outputs = list(self._network.run({name: array[:_TRIAL_ROWS] for name, array in rows.items()}))
        except ConversionError:
            raise
        except Exception as error:  # the module's own code
            shapes = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in rows.items())
            raise ConversionError(
                f"the module fails on the sample's first rows: {type(error).__name__}: {str(error)[:500]}",
                hint=f"It was given {shapes}: give rows as it was trained on.",
            ) from error
        return exported(self._module, tensors, outputs)


def _arguments(names: Sequence[str], sample: Any, target: str, floating: Any) -> dict[str, Array]:
    """The sample's arrays by the names of ``forward``'s parameters, floats in the type of the module's weights."""
    if not isinstance(sample, dict):
        given = {(names or ["features"])[0]: _matrix(sample, target)}
    else:
        given = {name: array for name, array in sample.items() if name != target}
    if names and set(names) != set(given):
        if len(names) != 1 or len(given) != 1:
            raise ConversionError(
                f"the module's forward takes {', '.join(names)}; the sample has {', '.join(given)}",
                hint=f"Name the arrays as the parameters: numpy.savez('rows.npz', {'=…, '.join(names)}=…).",
            )
        given = dict(zip(names, given.values(), strict=True))
    ordered = {name: given[name] for name in names or given}
    return {name: array.astype(floating) if array.dtype.kind == "f" else array for name, array in ordered.items()}


def _matrix(frame: Any, target: str) -> Array:
    columns = [name for name in frame.columns if name != target]
    texts = [name for name in columns if column_kind(frame[name]) == "text"]
    if texts:
        raise ConversionError(
            f"a module takes numbers; column {texts[0]!r} of the sample holds texts",
            hint="Give a table of numbers, or a .npz file with an array for each of forward's parameters.",
        )
    head = frame.head(_TRIAL_ROWS)
    return np.column_stack([numbers(head[name], np.dtype(np.float64)) for name in columns])


def _float_type(module: Any) -> Any:
    parameter = next((each for each in module.parameters() if each.is_floating_point()), None)
    return np.float32 if parameter is None else torch.empty(0, dtype=parameter.dtype).numpy().dtype
