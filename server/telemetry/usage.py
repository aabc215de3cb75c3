"""From what workers recorded, or a tuning file remembers, to what is compared. Pure."""

from __future__ import annotations

import numpy as np

from rapide.server.proven import Bins, UsageRecord
from rapide.server.telemetry import bins
from rapide.server.telemetry.aggregate import VersionTotals
from rapide.server.telemetry.bins import Counts
from rapide.server.telemetry.drift import Usage
from rapide.server.telemetry.version_block import WINDOWS_S

_EDGES = np.array(bins.ROW_EDGES)


def usage_of(totals: VersionTotals, span_s: float, workers: int) -> Usage:
    """All that a version has recorded; ``span_s``: over which time."""
    sums = totals.sums
    return Usage(
        requests=int(sums["rows"].sum()),
        span_s=span_s,
        workers=max(1, workers),
        rows=sums["rows"].astype(np.int64),
        rows_sum=float(sums["rows_sum"]),
        windows={
            width_s: counts.astype(np.int64) for width_s, counts in zip(WINDOWS_S, sums["burst"], strict=True)
        },
    )


def between(before: Usage, after: Usage, span_s: float) -> Usage:
    """What came from ``before`` to ``after``, within ``span_s``. A window that was open at the first instant has
    moved to another bin meanwhile: what would be negative is nothing."""
    return Usage(
        requests=max(0, after.requests - before.requests),
        span_s=span_s,
        workers=after.workers,
        rows=np.maximum(after.rows - before.rows, 0),
        rows_sum=max(0.0, after.rows_sum - before.rows_sum),
        windows={
            width_s: np.maximum(counts - before.windows[width_s], 0) for width_s, counts in after.windows.items()
        },
    )


def usage_from(record: UsageRecord) -> Usage:
    """What a tuning file remembers."""
    return Usage(
        requests=record.requests,
        span_s=record.span_s,
        workers=record.workers,
        rows=_counts(record.rows),
        rows_sum=record.rows_sum,
        windows={width_s: _counts(pairs) for width_s, pairs in record.windows},
    )


def _counts(pairs: Bins) -> Counts:
    counts = np.zeros(len(_EDGES) + 1, np.int64)
    for edge, number in pairs:
        counts[int(np.searchsorted(_EDGES, edge, side="left"))] += number
    return counts
