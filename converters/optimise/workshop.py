"""The child process that makes variants: reads rows and graph once, then makes what the parent asks for.

Writes ``rows.npz`` (``rows.py``), ``original.onnx`` and ``NAME.onnx`` into the work folder.
"""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError, GateRefused
from rapide.converters.graph_gate import read_graph
from rapide.converters.optimise.cleanup import clean
from rapide.converters.optimise.contract import Bench, Made, NotApplicable
from rapide.converters.optimise.recipes import RECIPES, Recipe
from rapide.converters.optimise.rows import gather
from rapide.converters.optimise.traits import Traits
from rapide.server.machine import read_processor
from rapide.server.repository.manifest import read_manifest

MANIFEST_GONE = "its manifest is gone"


def main(job: dict[str, Any], channel: Channel) -> None:
    """Answers first with what rows and graph are, then once for each ``{"recipe": name}``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the quantisers' own, for whoever calls them by hand
        bench = _set_up(job, channel)
        recipes = {recipe.name: recipe for recipe in RECIPES}
        while (question := channel.receive()) is not None:
            recipe = recipes[question["recipe"]]
            channel.step(f"making {recipe.name} ({recipe.method})")
            channel.answer(_made(bench, recipe))


def _set_up(job: dict[str, Any], channel: Channel) -> Bench:
    folder, version = Path(job["folder"]), Path(job["version"])
    manifest = read_manifest(version)
    if manifest is None:
        raise ConversionError(MANIFEST_GONE)
    channel.step("reading the rows")
    rows = gather(manifest, version, Path(job["rows"]) if job["rows"] else None, str(job["target"]))
    rows.save(folder / "rows.npz")
    channel.step("cleaning up the graph")
    graph = read_graph(Path(job["graph"]))
    cleaned, facts = clean(graph, [spec.name for spec in manifest.signature.outputs], folder)
    traits = Traits.of(cleaned)
    bench = Bench(
        original=graph,
        clean=cleaned,
        cleaned=facts,
        traits=traits,
        signature=manifest.signature,
        calibration=rows.calibration,
        folder=folder,
        flags=read_processor()[1],
        max_loss=job["max_loss"],
    )
    channel.answer(
        {
            "graph": Traits.of(graph).to_json(),
            "cleaned": facts,
            "rows": {
                "held_out": rows.count,
                "calibration": len(next(iter(rows.calibration.values()))),
                "golden_only": rows.are_golden_only,
                "truth": rows.truth is not None,
            },
        }
    )
    return bench


def _made(bench: Bench, recipe: Recipe) -> dict[str, Any]:
    try:
        made: Made = importlib.import_module(recipe.module).make(bench, **recipe.options)
    except NotApplicable as reason:
        return {"skipped": str(reason)}
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a quantiser's failure is this recipe's alone
        return {"failed": f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"}
    path = bench.folder / f"{recipe.name}.onnx"
    path.write_bytes(made.model.SerializeToString())
    try:
        read_graph(path)
    except GateRefused as refused:
        path.unlink()
        return {"failed": refused.message}
    return {
        "made": True,
        "options": dict(made.options),
        "needs_cpu": list(made.needs_cpu),
        "note": made.note,
        "nodes": len(made.model.graph.node),
    }
