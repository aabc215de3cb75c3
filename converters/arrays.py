"""Named arrays in ``.npz`` files, texts as fixed-width unicode: nothing in them can run code when it is read."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rapide.server.tensors import Array

_DAMAGE = (EOFError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)
"""What numpy lets through beside ValueError and OSError."""


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Writes ``arrays``; object arrays must hold str."""
    plain = {name: array.astype(np.str_) if array.dtype == object else array for name, array in arrays.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **plain)


def load_arrays(path: Path) -> dict[str, Array]:
    """Reads what ``save_arrays`` wrote; texts come back as object arrays of str.

    Raises ValueError for pickles, and for what is no archive of arrays, or a damaged one.
    """
    try:
        with path.open("rb") as opened:  # numpy leaves it open where it finds damage
            file = np.load(opened, allow_pickle=False)
            loaded = {"": file} if isinstance(file, np.ndarray) else {name: file[name] for name in file.files}
    except _DAMAGE as error:
        raise ValueError(f"it is no archive of arrays, or damaged ({error})") from error
    for name, array in loaded.items():
        if not name or not isinstance(array, np.ndarray):
            raise ValueError(f"{name!r} in it is no array" if name else "it holds one array without a name")
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
