"""Fixed histogram edges, the same in every process and every release of a schema: histograms merge by addition.

An edge belongs to the bin below it (Prometheus: ``le``), and the last bin has no upper edge, so ``n`` edges make
``n + 1`` bins. Edges are finer than what Prometheus is shown: ``/profile`` gives quantiles from all of them, while
``/metrics`` shows the subset named ``*_SHOWN``, whose cumulative counts are exact because it *is* a subset.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Counts = np.ndarray[Any, np.dtype[np.int64]]

_MANTISSAS = ("1", "1.25", "1.5", "2", "2.5", "3", "4", "5", "6", "8")
_SHOWN_MANTISSAS = ("1", "2.5", "5")


def _decades(first: int, last: int, mantissas: Sequence[str]) -> tuple[float, ...]:
    """Edges from 10**first to 10**last; parsed from text, so that they print as people write them."""
    inner = [float(f"{mantissa}e{exponent}") for exponent in range(first, last) for mantissa in mantissas]
    return (*inner, float(f"1e{last}"))


def _octaves(first: int, last: int, steps: int) -> tuple[float, ...]:
    """Edges from 2**first to 2**last with ``steps`` equal steps in each doubling."""
    inner = [2.0**power * (1 + step / steps) for power in range(first, last) for step in range(steps)]
    return (*inner, 2.0**last)


DURATION_EDGES_S = _decades(-6, 2, _MANTISSAS)
"""1 µs to 100 s, ten bins to a decade: a quantile read from them is at most 33 % and typically 12 % off."""
DURATION_SHOWN_S = _decades(-5, 2, _SHOWN_MANTISSAS)
GAP_EDGES_S = _decades(-6, 6, _MANTISSAS)
"""1 µs to 11 days: a model may sleep for a week between two floods."""
ROW_EDGES = (*(float(rows) for rows in range(64)), *_octaves(6, 16, 4))
"""Every count up to 64, where batches are usually capped, then four bins to a doubling up to 65,536."""
ROW_SHOWN = tuple(2.0**power for power in range(17))
PAYLOAD_EDGES_BYTES = _octaves(4, 30, 2)
"""16 bytes to 1 GiB, two bins to a doubling."""


def bin_of(edges: Floats, values: Floats) -> Counts:
    """The bin of each value: the index of the first edge that is not below it."""
    return np.searchsorted(edges, values, side="left")


def shown_bins(edges: Sequence[float], shown: Sequence[float]) -> tuple[int, ...]:
    """Where each shown edge stands among ``edges``. Raises ValueError where one is missing."""
    return tuple(list(edges).index(edge) for edge in shown)


def quantile(edges: Sequence[float], counts: Sequence[float], share: float, *, interpolate: bool = True) -> float:
    """The value below which ``share`` (0 to 1) of the counts lie; 0 without counts. Interpolated inside its bin,
    or, for whole numbers, the bin's edge.

    Values beyond the last edge are reported as the last edge: the histogram knows no more.
    """
    total = float(sum(counts))
    if total == 0:
        return 0.0
    wanted = share * total
    below = 0.0
    for index, count in enumerate(counts):
        if count and below + count >= wanted:
            if index >= len(edges):
                return edges[-1]
            if not interpolate:
                return edges[index]
            low = edges[index - 1] if index else 0.0
            return low + (edges[index] - low) * max(0.0, wanted - below) / count
        below += count
    return edges[-1]
