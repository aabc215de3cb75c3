"""Arrays by name from an .npz file, or one sentence about why that is none."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_FAULTS: Final = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    EOFError,
    MemoryError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy raises for other files, and for those that were cut or damaged."""


def read_npz(path: Path) -> dict[str, Array]:
    """All arrays in ``path``. Raises ValueError for another file or a damaged one, OSError where there is none."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except _FAULTS as error:
        raise ValueError(f"{path} is no .npz file, or a damaged one ({type(error).__name__})") from None
