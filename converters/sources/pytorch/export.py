"""From a PyTorch module to an ONNX graph, by the exporter that is based on ``torch.export``."""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from onnx import ModelProto

from rapide.converters.errors import ConversionError
from rapide.converters.surgery import forget_origins, hide_inner_names, rename_values

OPSET = 20
"""The exporter's own choice in torch 2.13, and known to every onnxruntime that this project runs on."""
_EXAMPLE_ROWS = 3
"""More than one: torch.export takes sizes of 0 and 1 for constants."""


def exported(
    module: Any,
    arguments: Mapping[str, Any],
    outputs: Sequence[str],
    free: Mapping[str, Sequence[int]] | None = None,
) -> ModelProto:
    """The graph of ``module`` (a Module in evaluation mode, or an ExportedProgram).

    ``arguments``: by the input's name in the graph, in the order of ``forward``: a tensor [rows, …] of some rows.
    ``outputs``: names for what comes out, in its order. ``free``: the dimensions that requests choose, for
    Modules; dimension 0 of every input if left out.

    Raises ConversionError, saying where the module insists on a size, or what cannot be exported.
    """
    inner = [f"output:{position}" for position in range(len(outputs))]
    options: dict[str, Any] = {}
    if isinstance(module, torch.nn.Module):
        sizes = free or dict.fromkeys(arguments, (0,))
        shapes = tuple(dict.fromkeys(sizes[name], torch.export.Dim.DYNAMIC) for name in arguments)
        options["dynamic_shapes"] = (shapes,) if _takes_any_number(module) else shapes
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(example(tensor) for tensor in arguments.values()),
                dynamo=True,
                input_names=list(arguments),
                output_names=inner,
                opset_version=OPSET,
                external_data=False,
                **options,
            )
    except Exception as error:  # the exporter's own types share no base but Exception
        raise _explained(error) from error
    if program is None:
        raise ConversionError("torch.onnx.export gave no graph")
    model = ModelProto()
    model.ParseFromString(program.model_proto.SerializeToString())
    forget_origins(model)
    hide_inner_names(model.graph)  # the exporter calls a layer ``embedding`` so, too, and does not look
    hidden = [value.name for value in model.graph.output]
    rename_values(model.graph, dict(zip(hidden, outputs, strict=True)))
    return model


def _takes_any_number(module: Any) -> bool:
    """Whether ``forward`` is written ``*tensors``."""
    parameters = inspect.signature(module.forward).parameters.values()
    return any(each.kind is each.VAR_POSITIONAL for each in parameters)


def example(tensor: Any) -> Any:
    """A few rows of ``tensor``, more than one even if it has only one."""
    rows = tensor[:_EXAMPLE_ROWS]
    return rows if len(rows) > 1 else rows.repeat(_EXAMPLE_ROWS, *[1] * (rows.ndim - 1))


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter prints its progress and warns of its own deprecations."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _explained(error: BaseException) -> ConversionError:
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(str(cause))
        cause = cause.__cause__
    text = next((text for text in reversed(causes) if text.strip()), type(error).__name__)
    reason = " ".join(text.split())[:300]
    if "static shape" in text or "specialized" in text or "Constraints violated" in text:
        return ConversionError(
            f"the module insists on the number of rows of its example: {reason}",
            hint="Take sizes from the input (x.shape[0], or -1 in reshape), not from constants, so that any "
            "number of rows can come.",
        )
    return ConversionError(
        f"torch.export cannot follow the module: {reason}",
        hint="Branches on the values of tensors and calls of other libraries cannot be exported: write them with "
        "torch.where and torch's own functions, or do that step before the model is called.",
    )
