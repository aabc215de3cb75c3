"""A module as a function of named arrays."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from rapide.converters.errors import ConversionError
from rapide.server.tensors import Array


class Network:
    """``call`` takes tensors in the order of ``inputs``. Outputs are known after the first run."""

    def __init__(self, call: Any, inputs: Sequence[str]) -> None:
        self._call = call
        self.inputs = tuple(inputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The answers, by name: ``output``, ``output_0`` …, or a dictionary's own keys."""
        arguments = [torch.from_numpy(np.array(feeds[name])) for name in self.inputs]
        with torch.inference_mode():
            answer = self._call(*arguments)
        return {name: tensor.detach().cpu().numpy() for name, tensor in named_outputs(answer).items()}


def named_outputs(answer: Any) -> dict[str, Any]:
    """What ``forward`` gave, as tensors by name. Raises ConversionError for anything but tensors with rows."""
    if isinstance(answer, torch.Tensor):
        named = {"output": answer}
    elif isinstance(answer, Mapping):
        named = {str(name): value for name, value in answer.items()}
    elif isinstance(answer, list | tuple):
        names = getattr(answer, "_fields", [f"output_{position}" for position in range(len(answer))])
        named = dict(zip(names, answer, strict=True))
    else:
        named = {type(answer).__name__: answer}
    wrong = [name for name, value in named.items() if not isinstance(value, torch.Tensor) or not value.ndim]
    if wrong or not named:
        raise ConversionError(
            f"the module answers {', '.join(wrong) or 'nothing'}, no tensor with a row for each row given",
            hint="Let forward return a tensor, or a tuple or dictionary of tensors.",
        )
    return named


def argument_names(module: Any) -> list[str]:
    """The names of ``forward``'s parameters that must be given; empty where they cannot be known."""
    parameters = inspect.signature(module.forward).parameters.values()
    if any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in parameters):
        return []
    return [each.name for each in parameters if each.default is each.empty]
