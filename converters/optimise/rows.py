"""The rows that variants are judged by, and others that quantisers are calibrated with. Never the same ones,
unless there are only the golden rows.

``.parquet`` and ``.csv``: a table with the model's columns, as ``rapide convert`` takes it. ``.npz``: one array
for each input, called like it (or ``input:NAME``), and perhaps the true answers (called like them, or
``target``): images, token ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rapide.converters.arrays import load_arrays, save_arrays
from rapide.converters.errors import ConversionError
from rapide.converters.optimise.arrays import decoded
from rapide.server.errors import BrokenVersion
from rapide.server.model.golden import GoldenRows, read_golden
from rapide.server.repository.layout import GOLDEN_FILE
from rapide.server.repository.manifest import Feature, Manifest
from rapide.server.signature import DYNAMIC, DataType, TensorSpec
from rapide.server.tensors import NUMPY_DTYPES, Array

MOST_HELD_OUT = 2000
MOST_CALIBRATION = 512
_EVERY = 4
"""One row in so many is for calibration."""
INPUT, CALIBRATION, GOLDEN_INPUT, GOLDEN_OUTPUT, TRUTH = (
    "input:",
    "calibration:",
    "golden-input:",
    "golden-output:",
    "truth",
)
"""Prefixes of the arrays in the file that all children read."""


@dataclass(frozen=True, slots=True)
class Rows:
    """``held_out`` and ``calibration`` by input, ``truth`` for the held-out rows; ``golden`` of the version, if
    any."""

    held_out: Mapping[str, Array]
    calibration: Mapping[str, Array]
    truth: Array | None
    golden: GoldenRows | None
    are_golden_only: bool

    @property
    def count(self) -> int:
        return len(next(iter(self.held_out.values())))

    def save(self, path: Path) -> None:
        """Writes everything as named arrays."""
        arrays = {f"{INPUT}{name}": array for name, array in self.held_out.items()}
        arrays |= {f"{CALIBRATION}{name}": array for name, array in self.calibration.items()}
        if self.truth is not None:
            arrays[TRUTH] = self.truth
        if self.golden is not None:
            names = [name.removeprefix(INPUT) for name in arrays if name.startswith(INPUT)]
            given = zip(names, self.golden.inputs, strict=True)
            arrays |= {f"{GOLDEN_INPUT}{name}": decoded(array) for name, array in given}
            arrays |= {f"{GOLDEN_OUTPUT}{name}": decoded(array) for name, array in self.golden.outputs.items()}
        save_arrays(path, arrays)


def part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names start with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def gather(manifest: Manifest, folder: Path, path: Path | None, target: str) -> Rows:
    """The rows in ``path`` (None: the golden rows of the version in ``folder``). Raises ConversionError."""
    golden = _golden(manifest, folder)
    if path is None:
        if golden is None:
            raise ConversionError(
                f"{manifest.model}/{manifest.version} has no golden rows to compare variants on",
                hint="Give real rows that it was not trained on: --rows rows.parquet.",
            )
        feeds = {
            spec.name: decoded(array) for spec, array in zip(manifest.signature.inputs, golden.inputs, strict=True)
        }
        return Rows(feeds, feeds, None, golden, are_golden_only=True)
    read = _of_arrays if path.suffix.lower() == ".npz" else _of_table
    feeds, truth = read(path, manifest, target)
    rows = min(len(next(iter(feeds.values()))), MOST_HELD_OUT + MOST_CALIBRATION)
    everything = np.arange(rows)
    calibrates = everything % _EVERY == _EVERY - 1 if rows >= _EVERY else everything < 0
    held_out = everything[~calibrates][:MOST_HELD_OUT]
    calibration = everything[calibrates][:MOST_CALIBRATION] if calibrates.any() else held_out
    return Rows(
        {name: array[held_out] for name, array in feeds.items()},
        {name: array[calibration] for name, array in feeds.items()},
        None if truth is None else truth[held_out],
        golden,
        are_golden_only=False,
    )


def _golden(manifest: Manifest, folder: Path) -> GoldenRows | None:
    if GOLDEN_FILE not in manifest.files:
        return None
    try:
        return read_golden(folder / GOLDEN_FILE, manifest.signature)
    except BrokenVersion as error:
        raise ConversionError(f"{manifest.model}/{manifest.version}: {error.message}") from error


def _of_arrays(path: Path, manifest: Manifest, target: str) -> tuple[dict[str, Array], Array | None]:
    try:
        arrays = load_arrays(path)
    except (OSError, ValueError) as error:
        raise ConversionError(f"the rows {path.name} cannot be read: {error}") from error
    feeds = {}
    for spec in manifest.signature.inputs:
        array = arrays.get(spec.name, arrays.get(f"{INPUT}{spec.name}"))
        if array is None:
            raise ConversionError(
                f"the rows {path.name} have no array {spec.name!r}",
                hint=f"Arrays there are: {', '.join(sorted(arrays)) or 'none'}.",
            )
        feeds[spec.name] = _fitting(array, spec, path.name)
    _check_lengths(feeds, path.name)
    names = {spec.name for spec in manifest.signature.inputs}
    truth = next((arrays[name] for name in (target, "target") if name in arrays and name not in names), None)
    if truth is not None and len(truth) != len(next(iter(feeds.values()))):
        raise ConversionError(f"the rows {path.name} have {len(truth)} true answers for another number of rows")
    return feeds, truth


def _fitting(array: Array, spec: TensorSpec, name: str) -> Array:
    fits = len(array.shape) == len(spec.shape) and all(
        size in (DYNAMIC, found) for size, found in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        raise ConversionError(
            f"array {spec.name!r} of the rows {name} has shape {list(array.shape)}; "
            f"the model takes {list(spec.shape)}"
        )
    if spec.datatype is DataType.BYTES:
        return array
    try:
        return array.astype(NUMPY_DTYPES[spec.datatype], casting="same_kind")
    except TypeError as error:
        raise ConversionError(f"array {spec.name!r} of the rows {name} is {array.dtype}: {error}") from error


def _check_lengths(feeds: Mapping[str, Array], name: str) -> None:
    lengths = {len(array) for array in feeds.values()}
    if lengths == {0} or len(lengths) != 1:
        raise ConversionError(
            f"the arrays of the rows {name} have {sorted(lengths)} rows; expected one number above 0"
        )


def _of_table(path: Path, manifest: Manifest, target: str) -> tuple[dict[str, Array], Array | None]:
    from rapide.converters.samples import read_sample  # noqa: PLC0415 - pandas, for tables alone

    if not manifest.features:
        raise ConversionError(
            f"{manifest.model}/{manifest.version} names no features that columns could belong to",
            hint="Give its input tensors as a .npz file: one array for each input, called like it.",
        )
    frame = read_sample(path)
    missing = [each.name for each in manifest.features if each.required and each.name not in frame.columns]
    if missing:
        raise ConversionError(f"the rows {path.name} have no column {missing[0]!r}, which the model needs")
    feeds = {}
    for spec in manifest.signature.inputs:
        features = [feature for feature in manifest.features if feature.input == spec.name]
        feeds[spec.name] = _column_array(frame, features, spec)
    truth = frame[target].to_numpy() if target in frame.columns else None
    return feeds, truth


def _column_array(frame: Any, features: Sequence[Feature], spec: TensorSpec) -> Array:
    if not features:
        raise ConversionError(f"no feature belongs to input {spec.name!r}; give the rows as a .npz file")
    ordered = sorted(features, key=lambda feature: feature.column or 0)
    columns = [_values(frame, feature, spec.datatype) for feature in ordered]
    array = np.column_stack(columns)
    return array if len(spec.shape) > 1 else array[:, 0]


def _values(frame: Any, feature: Feature, datatype: DataType) -> Array:
    from rapide.converters.samples import numbers, texts  # noqa: PLC0415 - as above

    dtype = NUMPY_DTYPES[datatype]
    if feature.name not in frame.columns:
        absent = "" if datatype is DataType.BYTES else feature.missing
        return np.full(len(frame), absent, object if datatype is DataType.BYTES else dtype)
    values = frame[feature.name]
    if datatype is DataType.BYTES:
        return texts(values, str(feature.missing or ""))
    found = numbers(values, dtype)
    if found.dtype.kind == "f" and isinstance(feature.missing, float):
        found = np.where(np.isnan(found), dtype.type(feature.missing), found)
    return found
