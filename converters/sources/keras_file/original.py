"""A Keras model, opened. Keras runs on torch here, whatever it was trained on: layers are the same, files too."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"  # read once, at the import that follows

import keras
import numpy as np
import torch

from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError
from rapide.converters.sources.contract import Original, TensorOriginal
from rapide.converters.sources.pytorch.export import exported
from rapide.converters.sources.pytorch.network import Network
from rapide.converters.sources.tensors.original import original_of
from rapide.server.tensors import Array

_FREE_SIZE = 8


def open_original(job: Mapping[str, Any], sample: Any, channel: Channel) -> Original | TensorOriginal:
    """The model of ``job["model"]``. Raises ConversionError."""
    channel.step("opening the Keras model")
    model = _load(Path(job["model"]))
    channel.step("exporting the Keras model")
    return original_of(KerasModel(model), sample, job, channel)


class KerasModel:
    """Implements ``tensors.model.GraphModel``. Making one raises ConversionError."""

    def __init__(self, model: Any) -> None:
        if keras.backend.backend() != "torch":
            raise ConversionError(
                f"Keras runs on {keras.backend.backend()} in this process; the graph is made on torch",
                hint="Convert in a process where nothing imported Keras before.",
            )
        self._model = model
        inputs = {str(each.name): each for each in model.inputs}
        free = {name: _free(each.shape) for name, each in inputs.items()}
        examples = {name: _example(each) for name, each in inputs.items()}
        module = _Inference(model)
        self._network = Network(module, list(inputs))
        outputs = [str(name) for name in getattr(model, "output_names", [model.layers[-1].name])]
        self.graph = exported(module, examples, _distinct(outputs, inputs), free)
        self._outputs = [value.name for value in self.graph.graph.output]

    @property
    def description(self) -> Mapping[str, Any]:
        return {
            "estimator": f"keras.{type(self._model).__name__}",
            "steps": [f"{layer.name} ({type(layer).__name__})" for layer in self._model.layers],
        }

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(self._outputs, self._network.run(feeds).values(), strict=True))


class _Inference(torch.nn.Module):  # type: ignore[misc]  # torch is Any: see pyproject.toml
    """The model as a function of tensors that answers a tuple, dropout and the like being off."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, *tensors: Any) -> Any:
        answer = self.model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)
        if isinstance(answer, dict):
            answer = list(answer.values())
        return tuple(answer) if isinstance(answer, list | tuple) else (answer,)


def _load(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = keras.saving.load_model(path, compile=False)  # in safe mode: no code of lambdas
    except (OSError, ValueError, TypeError, KeyError, ImportError, AttributeError) as error:
        raise ConversionError(
            f"Keras cannot open {path.name}: {' '.join(str(error).split())[:400]}",
            hint="Write it with model.save('model.keras'). Layers of your own and lambdas are code, which the "
            "file does not hold: use Keras' own layers.",
        ) from error
    if not getattr(model, "inputs", None):
        raise ConversionError(
            f"{path.name} does not say what the model takes",
            hint="Give the model an Input layer, or call it once before saving.",
        )
    return model


def _free(shape: Any) -> tuple[int, ...]:
    return tuple(position for position, size in enumerate(shape) if position == 0 or size is None)


def _example(tensor: Any) -> Any:
    sizes = [_FREE_SIZE if size is None else int(size) for size in tensor.shape[1:]]
    return torch.from_numpy(np.ones((3, *sizes), dtype=np.dtype(tensor.dtype)))


def _distinct(names: list[str], taken: Mapping[str, Any]) -> list[str]:
    return [f"predicted_{name}" if name in taken else name for name in names]
