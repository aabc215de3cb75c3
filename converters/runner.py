"""A converted graph, loaded and run on the examination's rows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from rapide.converters.errors import GateRefused
from rapide.server.tensors import Array

CHUNK_ROWS = 1000
CHUNK_VALUES = 1 << 17
"""Of all inputs together: inner layers may be hundreds of times as large."""
_REPEATS = 30
_BUDGET_S = 1.0
"""A large model is timed fewer times, but twice at least."""


class Runner:
    """One session on one thread. Raises GateRefused where onnxruntime cannot load or run the graph."""

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        self._outputs = list(outputs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exception types share no base but Exception
            raise GateRefused("graph", f"onnxruntime cannot load the graph: {str(error)[:300]}") from error

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """The answers to all rows of ``feeds`` at once."""
        try:
            answers = self._session.run(self._outputs, dict(feeds))
        except Exception as error:  # as above
            raise GateRefused("graph", f"onnxruntime cannot run the graph: {str(error)[:300]}") from error
        return dict(zip(self._outputs, answers, strict=True))

    def run_all(self, feeds: Mapping[str, Array], chunk_rows: int = CHUNK_ROWS) -> dict[str, Array]:
        """The same, ``chunk_rows`` rows at a time, or fewer where rows are large."""
        rows = len(next(iter(feeds.values())))
        row_values = sum(array.size for array in feeds.values()) // max(1, rows)
        chunk_rows = max(1, min(chunk_rows, CHUNK_VALUES // max(1, row_values)))
        pieces = [
            self.run({name: array[start : start + chunk_rows] for name, array in feeds.items()})
            for start in range(0, rows, chunk_rows)
        ]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in self._outputs}

    def latencies_us(self, feeds: Mapping[str, Array], sizes: Sequence[int]) -> dict[str, float]:
        """Median microseconds of one run, by rows. A first impression: on this machine, while others may work."""
        return {str(rows): self._median_us(feeds, rows) for rows in sizes}

    def _median_us(self, feeds: Mapping[str, Array], rows: int) -> float:
        batch = {name: np.resize(array, (rows, *array.shape[1:])) for name, array in feeds.items()}
        times_us: list[float] = []
        while len(times_us) < _REPEATS and (len(times_us) < 2 or sum(times_us) < _BUDGET_S * 1e6):
            started = time.perf_counter()
            self.run(batch)
            times_us.append((time.perf_counter() - started) * 1e6)
        return round(statistics.median(times_us), 1)
