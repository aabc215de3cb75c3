"""Named arrays in ``.npz`` files, texts as fixed-width unicode: nothing in them can run code when it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rapide.server.tensors import Array


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Writes ``arrays``; object arrays must hold str."""
    plain = {name: array.astype(np.str_) if array.dtype == object else array for name, array in arrays.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **plain)


def load_arrays(path: Path) -> dict[str, Array]:
    """Reads what ``save_arrays`` wrote; texts come back as object arrays of str. Raises ValueError for pickles."""
    with np.load(path, allow_pickle=False) as file:
        loaded = {name: file[name] for name in file.files}
    return {name: array.astype(object) if array.dtype.kind == "U" else array for name, array in loaded.items()}


def grown(array: Array, sizes: Sequence[int]) -> Array:
    """``array`` [N, …] with its dimensions after the first grown to ``sizes``, the new places zero (empty)."""
    if list(array.shape[1:]) == list(sizes):
        return array
    large = np.full((len(array), *sizes), "" if array.dtype == object else 0, dtype=array.dtype)
    large[(slice(None), *(slice(size) for size in array.shape[1:]))] = array
    return large


def cut(array: Array, sizes: Sequence[int]) -> Array:
    """The inverse of ``grown``: the first ``sizes`` of each dimension after the first."""
    return np.ascontiguousarray(array[(slice(None), *(slice(size) for size in sizes))])
