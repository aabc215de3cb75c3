"""Opens what ``torch.save`` and ``torch.export.save`` wrote. The former runs code that is stored in the file: only
ever in a confined child process."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from rapide.converters.errors import ConversionError

PROGRAM_SUFFIX = ".pt2"


def load(path: Path) -> Any:
    """A Module in evaluation mode, or an ExportedProgram. Raises ConversionError, saying what to do, if there is
    none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if path.suffix.lower() == PROGRAM_SUFFIX:
                return torch.export.load(path)
            found = torch.load(path, map_location="cpu", weights_only=False)
        except MemoryError:
            raise
        except Exception as error:  # whatever the stored code raises
            raise _explained(path, error) from error
    if isinstance(found, torch.jit.ScriptModule):
        raise ConversionError(
            f"{path.name} holds TorchScript, which torch's exporter no longer takes",
            hint="Save the module that it was made of: torch.save(module, 'model.pt'), or better "
            "torch.export.save(torch.export.export(module, …), 'model.pt2').",
        )
    if isinstance(found, torch.nn.Module):
        return found.eval()
    raise ConversionError(
        f"{path.name} holds {_kind(found)}, not a module: the weights alone do not say what is computed with them",
        hint="Save the whole module: torch.save(module, 'model.pt'), or torch.export.save(…, 'model.pt2').",
    )


def check_rows_are_free(program: Any) -> None:
    """Raises ConversionError for an ExportedProgram that takes one number of rows only."""
    inputs = set(program.graph_signature.user_inputs)
    for node in program.graph.nodes:
        shape: Any = getattr(node.meta.get("val"), "shape", ())
        if node.name in inputs and len(shape) and isinstance(shape[0], int):
            raise ConversionError(
                f"the program was exported for exactly {shape[0]} rows",
                hint="Export it again: torch.export.export(module, (example,), "
                "dynamic_shapes=({0: torch.export.Dim('rows')},)), the example having two rows or more; or save "
                "the module itself with torch.save.",
            )


def _kind(found: Any) -> str:
    weights = isinstance(found, dict) and any(isinstance(value, torch.Tensor) for value in found.values())
    return "a state_dict" if weights else f"a {type(found).__name__}"


def _explained(path: Path, error: Exception) -> ConversionError:
    if isinstance(error, ModuleNotFoundError):
        return ConversionError(
            f"{path.name} needs the module {error.name!r}, which is not installed here",
            hint="Install it, or put the folder that holds it on PYTHONPATH; a .pt2 file (torch.export.save) "
            "needs no code of yours.",
        )
    if isinstance(error, AttributeError):
        return ConversionError(
            f"{path.name} needs code that is not here: {error}",
            hint="Classes of a notebook or script are not stored in the file: put them in a module on PYTHONPATH, "
            "or save a .pt2 file (torch.export.save), which needs no code of yours.",
        )
    return ConversionError(
        f"{path.name} cannot be opened: {type(error).__name__}: {str(error)[:300]}",
        hint="The file may be cut off, or be none that torch.save or torch.export.save wrote.",
    )
