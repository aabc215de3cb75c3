"""What a row costs by the rows of a run on one thread, with other rows each time and with the same ones again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from rapide.server.model import SessionOptions, load_model
from rapide.tuning import sample_rows
from rapide.tuning.curve_child import entry_of, measure

ROWS: Final = (1, 8, 16, 32, 64, 128, 256, 512)
POINT_S: Final = 0.4
ROUNDS: Final = 3
"""In turn, of which the best counts, as for a curve."""


def measure_rows(root: Path, name: str, on_step: Callable[[str], None]) -> list[dict[str, Any]]:
    """One entry for each number of rows: µs a row, ``other_us`` and ``same_us``."""
    entry = entry_of(str(root), name, 1)
    model = load_model(entry, SessionOptions())
    pool = sample_rows.pool_of(entry, model)
    found: dict[int, list[tuple[float, float]]] = {rows: [] for rows in ROWS}
    for number in range(ROUNDS):
        on_step(f"{name}: rows per run, round {number + 1} of {ROUNDS}")
        for rows, seen in found.items():
            same = [array[:rows] for array in pool]
            seen.append((measure(model, pool, rows, POINT_S).us, measure(model, same, rows, POINT_S).us))
    best = {rows: np.min(seen, axis=0) / rows for rows, seen in found.items()}
    return [
        {"model": name, "rows": rows, "other_us": round(other, 3), "same_us": round(same, 3)}
        for rows, (other, same) in best.items()
    ]
