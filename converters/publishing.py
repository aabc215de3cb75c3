"""From an examined candidate to a version in the repository: the manifest, the files, the label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapide import __version__
from rapide.converters.columns import Column, Precision
from rapide.converters.errors import ConversionError
from rapide.converters.lineage import lineage
from rapide.converters.options import ConvertOptions
from rapide.converters.row_kinds import by_set
from rapide.converters.trial_gate import Trial, pass_trial
from rapide.server.machine import read_processor
from rapide.server.repository.digest import digest_file
from rapide.server.repository.layout import BASELINE_FILE, GOLDEN_FILE, MODEL_FILE
from rapide.server.repository.manifest import FileRecord, Manifest, Prediction
from rapide.server.repository.publisher import publish
from rapide.server.signature import Signature

_MAX_SIDE_FILE_BYTES = 256 * 1024 * 1024
"""Of golden rows and baseline; a hundredth is usual."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One precision that was tried, and what the examination found."""

    precision: Precision
    examination: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        return bool(self.examination["passed"])

    @property
    def reservations(self) -> tuple[str, ...]:
        """Columns whose missing values are refused, though the original bears them."""
        return tuple(self.examination["refused_missing"])


def publish_attempt(
    options: ConvertOptions, folder: Path, facts: Mapping[str, Any], chosen: Attempt, trial: Trial
) -> tuple[int, Manifest]:
    """Publishes ``chosen`` if it passes the ``trial``. Returns the version's number and manifest.

    Raises RapideError; then nothing is there.
    """
    examination = chosen.examination
    graph = folder / f"{chosen.precision}.onnx"
    if digest_file(graph).sha256 != examination["sha256"]:
        raise ConversionError("the graph changed after it was checked; something else writes to the work folder")
    files: dict[str, Path] = {MODEL_FILE: graph}
    for name in (BASELINE_FILE, GOLDEN_FILE):
        path = folder / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_SIDE_FILE_BYTES:
            raise ConversionError(f"the child process left no usable {name}")
        files[name] = path
    built: list[Manifest] = []
    gates = _gates(options, chosen)

    def build(version: int, created: str, records: Mapping[str, FileRecord]) -> Manifest:
        built.append(_manifest(options, facts, chosen, version, created, records, gates))
        return built[-1]

    gates["trial"] = pass_trial(files, build, trial, folder)
    version = publish(options.repository, options.name, files, build)
    return version, built[-1]


def _gates(options: ConvertOptions, chosen: Attempt) -> dict[str, Any]:
    """What each gate found, beside its limit."""
    examination = chosen.examination
    binding = [line for line in examination["table"] if not line["advisory"]]
    gates: dict[str, Any] = {
        "graph": {**examination["graph"], "bytes": examination["bytes"]},
        "parity": {
            "rows": sum(line["rows"] for line in binding),
            "flips": sum(line["over"] for line in binding if line["is_label"]),
            "max_flips": options.max_flips,
            "max_difference": options.max_difference,
        },
        "speed": {
            "latency_us": examination["latency_us"],
            "max_latency_us": options.max_latency_us,
            "processor": read_processor()[0],
        },
    }
    if examination["quality_gate"] is not None:
        gates["quality"] = {name: each for name, each in examination["quality_gate"].items() if name != "fault"}
    return gates


def _manifest(
    options: ConvertOptions,
    facts: Mapping[str, Any],
    chosen: Attempt,
    version: int,
    created: str,
    records: Mapping[str, FileRecord],
    gates: Mapping[str, Any],
) -> Manifest:
    examination = chosen.examination
    columns = [Column.from_json(raw) for raw in examination["columns"]]
    quality: dict[str, Any] = {}
    if examination["quality"]:
        quality = {
            **examination["quality"],
            "target": options.target,
            "rows": examination["table"][0]["rows"],
            "measured_on": f"the sample given to rapide convert ({options.sample.name if options.sample else ''})",
        }
    return Manifest(
        model=options.name,
        version=version,
        created=created,
        files=records,
        signature=Signature.from_json(examination["signature"]),
        features=tuple(column.feature() for column in columns),
        predictions=tuple(_prediction(raw) for output in facts["outputs"] for raw in output["predictions"]),
        lineage=lineage(options, facts, {**facts["versions"], "rapide": __version__}),
        parity={
            "precision": chosen.precision,
            "tolerance": examination["tolerance"],
            "max_difference": options.max_difference,
            "max_flips": options.max_flips,
            # Without the rows: what a real one holds is nobody's business who may only read the manifest.
            "checks": by_set(examination["table"]),
        },
        quality=quality,
        gates=dict(gates),
        description=options.description,
        parent=options.parent,
    )


def _prediction(raw: Mapping[str, Any]) -> Prediction:
    return Prediction(
        name=raw["name"],
        output=raw["output"],
        column=raw["column"],
        kind=raw["kind"],
        classes=tuple(raw.get("classes", ())),
        unit=raw.get("unit", ""),
    )
