"""Named arrays in ``.npz`` files, texts as fixed-width unicode: nothing in them can run code when it is read."""

from __future__ import annotations

from collections.abc import Mapping
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
