"""From kept variants to a new version: files, golden rows, manifest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapide.converters.errors import ConversionError
from rapide.converters.lineage import who
from rapide.converters.optimise.recipes import ORIGINAL
from rapide.converters.trial_gate import Trial, pass_trial
from rapide.server.machine import INSTRUCTION_SETS, read_processor
from rapide.server.repository.digest import digest_file
from rapide.server.repository.layout import BASELINE_FILE, GOLDEN_FILE, MODEL_FILE
from rapide.server.repository.manifest import FileRecord, Manifest
from rapide.server.repository.publisher import publish
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.repository.times import format_time, utc_now
from rapide.server.repository.variant import Variant, variant_file

if TYPE_CHECKING:
    from rapide.converters.optimise.optimise import Tried
    from rapide.converters.optimise.options import OptimiseOptions

_MARGIN = 2.0
"""Golden rows may differ by so many times the worst difference that was seen: rows and kernels differ a little."""
_LEAST_TOLERANCE = 1e-6
_RELATIVE = 1e-3
"""As the server's own default, where the manifest states none."""
_INFINITE = 1e300
"""Labels that flip have no distance."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A variant to publish, and where its graph lies."""

    name: str
    path: Path
    tried: Tried


def publish_variants(
    options: OptimiseOptions,
    parent: VersionEntry,
    manifest: Manifest,
    kept: Sequence[Kept],
    tried: Sequence[Tried],
    facts: Mapping[str, Any],
    trial: Trial,
    folder: Path,
) -> tuple[int, Manifest]:
    """Publishes ``kept`` as a version whose parent is ``parent``, after each was loaded as a server does it, in
    ``folder``. Returns its number and manifest. Raises RapideError; then nothing is there."""
    variants = tuple(_variant(each, manifest) for each in kept)
    files: dict[str, Path] = {variant.file: each.path for variant, each in zip(variants, kept, strict=True)}
    if MODEL_FILE not in files:
        raise AssertionError("one of the kept variants is the default")
    if BASELINE_FILE in manifest.files:
        files[BASELINE_FILE] = parent.folder / BASELINE_FILE
    if GOLDEN_FILE in manifest.files:
        flipped = {row for each in kept for row in each.tried.trial["flipped"]}
        files[GOLDEN_FILE] = _golden(parent.folder / GOLDEN_FILE, flipped, folder)
    gates = _gates(options, kept)
    built: list[Manifest] = []

    def build(number: int, created: str, records: Mapping[str, FileRecord]) -> Manifest:
        built.append(
            replace(
                manifest,
                version=number,
                created=created,
                files=records,
                parent=parent.version,
                variants=variants,
                lineage={**manifest.lineage, "optimised": _lineage(options, parent, tried, facts)},
                quality=_quality(manifest, parent, kept, options, facts),
                gates=dict(gates),
            )
        )
        return built[-1]

    gates["trial"] = pass_trial(files, build, trial, folder)
    number = publish(options.repository, options.name, files, build)
    return number, built[-1]


def _gates(options: OptimiseOptions, kept: Sequence[Kept]) -> dict[str, Any]:
    """What was found of the kept variants, beside the limits; what the parent passed is in its own manifest."""
    return {
        "loss": {
            "max_loss": dict(options.max_loss),
            "losses": {each.name: list(each.tried.trial["losses"]) for each in kept},
        },
        "speed": {
            "ratios": {
                each.name: {str(rows): list(ratio) for rows, ratio in each.tried.ratios.items()} for each in kept
            },
            "processor": read_processor()[0],
        },
    }


def _golden(path: Path, flipped: Collection[int], folder: Path) -> Path:
    """The parent's golden rows without those that a kept variant labels otherwise (within the agreed loss): the
    server insists on every one of them."""
    if not flipped:
        return path
    import numpy as np  # noqa: PLC0415 - the command does without it where no label flips

    with np.load(path, allow_pickle=False) as file:
        arrays = {name: np.delete(file[name], sorted(flipped), axis=0) for name in file.files}
    if not all(len(array) for array in arrays.values()):
        raise ConversionError("every golden row gets another label from one of the variants")
    kept = folder / GOLDEN_FILE
    np.savez_compressed(kept, allow_pickle=False, **arrays)
    return kept


def _variant(kept: Kept, manifest: Manifest) -> Variant:
    tried, trial = kept.tried, kept.tried.trial
    is_default = bool(tried.verdict and tried.verdict.is_default)
    quality: dict[str, Any] = {f"{loss['measure']}.{loss['output']}": loss["loss"] for loss in trial["losses"]}
    quality |= {name: after for name, (_, after) in trial["metrics"].items()}
    return Variant(
        name=kept.name,
        file=variant_file(kept.name, is_default=is_default),
        is_default=is_default,
        recipe={"method": tried.method, **tried.options},
        bytes=int(trial["bytes"]),
        load_ms=float(trial["load_ms"]),
        memory_bytes=int(trial["memory_bytes"]),
        latency_us=tried.latency_us,
        quality=quality,
        tolerance=_tolerance(kept, manifest),
        needs_cpu=tried.needs_cpu,
    )


def _tolerance(kept: Kept, manifest: Manifest) -> dict[str, float]:
    """What golden rows are held to: nothing but the version's own for what is exact."""
    if kept.tried.trial["is_exact"]:
        return {}
    stated = manifest.parity.get("tolerance", {})
    worst = max((value for value in kept.tried.trial["worst"].values() if value < _INFINITE), default=0.0)
    return {
        "relative": float(stated.get("relative", _RELATIVE)),
        "absolute": max(_LEAST_TOLERANCE, float(stated.get("absolute", 0.0)), _MARGIN * worst),
    }


def _lineage(
    options: OptimiseOptions, parent: VersionEntry, tried: Sequence[Tried], facts: Mapping[str, Any]
) -> dict[str, Any]:
    processor, flags = read_processor()
    out: dict[str, Any] = {
        "from": {"version": parent.version, "digest": parent.digest},
        "by": who(),
        "at": format_time(utc_now()),
        "on": {"processor": processor, "flags": sorted(flag for flag in flags if flag in INSTRUCTION_SETS)},
        "versions": {name: version(name) for name in ("onnxruntime", "onnx", "numpy")},
        "rows": dict(facts["rows"]),
        "sizes": {str(rows): weight for rows, weight in options.sizes.items()},
        "max_loss": dict(options.max_loss),
        "tried": [{"method": each.method, **each.verdict.to_json()} for each in tried if each.verdict],
    }
    if options.rows is not None:
        record = digest_file(options.rows)
        out["rows"] |= {"name": options.rows.name, "sha256": record.sha256, "bytes": record.bytes}
    return out


def _quality(
    manifest: Manifest,
    parent: VersionEntry,
    kept: Sequence[Kept],
    options: OptimiseOptions,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """The default's quality: measured on the held-out rows where their true answers are known, else the
    parent's."""
    default = next(each for each in kept if each.tried.verdict and each.tried.verdict.is_default)
    figures = {name: after for name, (_, after) in default.tried.trial["metrics"].items()}
    if figures and options.rows is not None:
        return {
            **figures,
            "target": options.target or manifest.quality.get("target", "target"),
            "rows": facts["rows"]["held_out"],
            "measured_on": f"the rows given to rapide optimise ({options.rows.name})",
        }
    if not manifest.quality or default.name == ORIGINAL:
        return dict(manifest.quality)
    said = manifest.quality.get("measured_on", "its sample")
    return {**manifest.quality, "measured_on": f"{said}, with version {parent.version}, before it was optimised"}
