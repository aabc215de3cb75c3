"""What a tuning was proven for: the range within which its limits held, and the usage that they held under. Pure.

Part of a tuning file, for the worker that may move the limits when the usage drifts (``steering``). Free of numpy:
the supervisor reads tuning files. Histograms are as in a usage profile: bins by their upper edges.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from rapide.server.repository.fields import Fields

Range = tuple[int, int]
"""Least and most, both included."""
Bins = tuple[tuple[float, int], ...]
"""Upper edge (infinite for the last bin) and count, of the bins that are not empty."""
_MOST: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """How a model was used: what ``telemetry.drift.Usage`` compares."""

    requests: int
    span_s: float
    workers: int
    rows: Bins
    rows_sum: float
    windows: tuple[tuple[float, Bins], ...]
    """By the width of a window in seconds: windows by their requests."""

    def to_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "span_s": self.span_s,
            "workers": self.workers,
            "rows": _bins_json(self.rows),
            "rows_sum": self.rows_sum,
            "windows": [{"window_s": width_s, "bins": _bins_json(counts)} for width_s, counts in self.windows],
        }

    @classmethod
    def read(cls, fields: Fields) -> UsageRecord:
        """Raises FieldError."""
        return cls(
            requests=fields.integer("requests"),
            span_s=_amount(fields, "span_s"),
            workers=fields.integer("workers", least=1),
            rows=_read_bins(fields, "rows"),
            rows_sum=_amount(fields, "rows_sum"),
            windows=fields.each("windows", lambda one: (_amount(one, "window_s"), _read_bins(one, "bins"))),
        )


@dataclass(frozen=True, slots=True)
class Proven:
    """Within these ranges the objective held, in replays on this machine."""

    batch_rows: Range
    """Of ``max_batch_rows``."""
    queue_rows: Range
    """Of ``max_queue_rows``."""
    usage: UsageRecord
    """How the model was used when it was tuned: what a live usage has drifted from, or has not."""
    rows_per_s: float
    """Of the replays: the busiest part of that usage. Less load than that asks for nothing."""

    def to_json(self) -> dict[str, Any]:
        return {
            "batch_rows": list(self.batch_rows),
            "queue_rows": list(self.queue_rows),
            "usage": self.usage.to_json(),
            "rows_per_s": self.rows_per_s,
        }

    @classmethod
    def read(cls, fields: Fields) -> Proven:
        """Raises FieldError."""
        usage = UsageRecord.read(fields.fields("usage"))
        if "rows_per_s" in fields.raw:
            rows_per_s = _amount(fields, "rows_per_s")
        else:  # the first files had what was replayed as their usage
            rows_per_s = usage.rows_sum / usage.span_s if usage.span_s else 0.0
        return cls(_read_range(fields, "batch_rows"), _read_range(fields, "queue_rows"), usage, rows_per_s)


def bins_of(pairs: Iterable[Iterable[float | int | None]]) -> Bins:
    """From a profile's ``[[upper edge, count], …]``, where the last edge is None."""
    return tuple((math.inf if edge is None else float(edge), int(count or 0)) for edge, count in pairs)


def _bins_json(counts: Bins) -> list[list[float | int | None]]:
    return [[None if math.isinf(edge) else edge, count] for edge, count in counts]


def _read_bins(fields: Fields, key: str) -> Bins:
    raw = fields.raw.get(key)
    is_well_formed = isinstance(raw, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and (pair[0] is None or (type(pair[0]) in (int, float) and math.isfinite(pair[0])))
        and type(pair[1]) is int
        and pair[1] >= 0
        for pair in raw
    )
    if not is_well_formed:
        raise fields.wrong(key, "a list of [upper edge, count]", raw)
    return bins_of(raw or ())


def _read_range(fields: Fields, key: str) -> Range:
    raw = fields.raw.get(key)
    if not (isinstance(raw, list) and len(raw) == 2 and all(type(one) is int for one in raw)):
        raise fields.wrong(key, "[least, most]", raw)
    least, most = raw
    if not 1 <= least <= most <= _MOST:
        raise fields.wrong(key, f"1 ≤ least ≤ most ≤ {_MOST}", raw)
    return least, most


def _amount(fields: Fields, key: str) -> float:
    value = fields.optional_number(key)
    if value is None or value < 0:
        raise fields.wrong(key, "a number that is not negative", fields.raw.get(key))
    return value
