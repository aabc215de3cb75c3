"""Rows to measure with: many different ones, since a model that sees the same few again and again looks faster.

Measured here: a forest of 100 trees answers one row in 7 µs if it is always the same and in 16 if it never is
(the processor learns the way through the trees), so a curve from one repeated row, or one repeated batch, is a
wrong one.

Golden rows are too few and are drawn from again: each column of a table by itself, so that values stay within
what the model was trained on and rows differ. Where columns belong together (sequences, images) whole rows are
drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from rapide.server.errors import RapideError
from rapide.server.model import Model
from rapide.server.model.golden import read_golden
from rapide.server.repository.layout import GOLDEN_FILE
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.signature import Signature
from rapide.server.tensors import Array
from rapide.tuning.errors import TuningError
from rapide.tuning.inputs import Inputs

POOL_ROWS: Final = 4096
MOST_ELEMENTS: Final = 8_000_000
"""In the pool, of all inputs together: images make it shorter."""


AS_THEY_ARE: Final = Inputs()


def pool_of(entry: VersionEntry, model: Model, inputs: Inputs = AS_THEY_ARE, seed: int = 0) -> list[Array]:
    """Inputs of as many rows as the pool has, in the signature's order; of one request for a model without rows.
    They are like ``inputs``.

    Raises TuningError where no row is known that the model takes.
    """
    known = _known(entry, model)
    if not known or known[0].shape[:1] == (0,):
        raise TuningError(
            f"no row is known that {entry.model}/{entry.version} takes.", hint="Publish it with golden rows."
        )
    known = _as_long(known, model, inputs)
    if not model.signature.batchable:
        return known
    random = np.random.default_rng(seed)
    elements = sum(array[:1].size for array in known)
    count = int(max(64, min(POOL_ROWS, MOST_ELEMENTS // max(1, elements))))
    if _is_table(model.signature):
        return inputs.repeated([_by_columns(array, count, random) for array in known])
    chosen = random.integers(0, len(known[0]), count)
    return inputs.repeated([np.ascontiguousarray(array[chosen]) for array in known])


def batch_of(pool: Sequence[Array], rows: int, number: int) -> list[Array]:
    """The batch called ``number`` of ``rows`` rows: neighbours in the pool, others each time."""
    count = len(pool[0])
    start = number * rows % count
    return [
        np.ascontiguousarray(np.take(array, range(start, start + rows), axis=0, mode="wrap")) for array in pool
    ]


def save(pool: Sequence[Array], signature: Signature, path: Path, least_rows: int = 1) -> None:
    """Writes the pool as a replay reads recorded rows: arrays by the inputs' names, texts as unicode.

    ``least_rows``: those of the largest request. A pool of images has fewer, and begins again after its end.
    """
    if signature.batchable and len(pool[0]) < least_rows:
        pool = batch_of(pool, least_rows, 0)
    arrays = {spec.name: _plain(array) for spec, array in zip(signature.inputs, pool, strict=True)}
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type] # numpy's stub takes the keywords for its own


def _known(entry: VersionEntry, model: Model) -> list[Array]:
    """Rows that are known to run: the golden ones, or many beside the one that loading found."""
    if entry.manifest is not None and GOLDEN_FILE in entry.manifest.files:
        return list(read_golden(entry.folder / GOLDEN_FILE, model.signature).inputs)
    if not model.signature.batchable:
        return list(model.sample_row)
    random = np.random.default_rng(1)
    return [_around(array, random) for array in model.sample_row]


def _as_long(known: list[Array], model: Model, inputs: Inputs) -> list[Array]:
    """``known``, stretched to the lengths of ``inputs``; as they are where the model does not run so: of
    dimensions that must be alike a profile may know some and not all."""
    if not inputs.lengths:
        return known
    stretched = inputs.stretched(known, model.signature)
    try:
        model.run([array[:1] for array in stretched] if model.signature.batchable else stretched)
    except RapideError:
        return known
    return stretched


def _around(row: Array, random: np.random.Generator) -> Array:
    """64 rows like ``row``: numbers move by a standard deviation of 1, all else stays as it is."""
    rows = np.repeat(row, 64, axis=0)
    if row.dtype.kind != "f":
        return rows
    return np.asarray(rows + random.standard_normal(rows.shape), row.dtype)


def _is_table(signature: Signature) -> bool:
    """Whether each column may be drawn by itself: numbers side by side, or one input for each column."""
    return all(
        len(spec.shape) == 1
        or (len(spec.shape) == 2 and (spec.shape[1] == 1 or (spec.datatype.is_float and spec.shape[1] > 0)))
        for spec in signature.inputs
    )


def _by_columns(array: Array, count: int, random: np.random.Generator) -> Array:
    chosen = random.integers(0, len(array), (count, *array.shape[1:]))
    return np.ascontiguousarray(np.take_along_axis(array, chosen, axis=0))


def _plain(array: Array) -> Array:
    if array.dtype.hasobject:
        return np.array([text.decode() for text in array.ravel()]).reshape(array.shape)
    return array
