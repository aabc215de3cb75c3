"""What a profile remembers of one model's arrivals: the last ones exactly, all of them in counts and curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.histogram import GAPS, ROWS, Histogram, bins_json, read_bins
from rapide.profiles.reading import Node, instant_text
from rapide.server.telemetry import bins
from rapide.server.telemetry.bins import Counts, Floats

WINDOWS_S: Final = (0.01, 0.1, 1.0)
"""Windows in which bursts are counted."""
SECONDS: Final = 600
"""Seconds of the curve of requests by second."""
HOURS: Final = 168
MOST_EXACT: Final = 100_000
"""Exact arrivals that a document holds at most: about a megabyte of JSON."""
_MONDAY_HOURS: Final = 72
"""The epoch began on a Thursday: three days after a Monday."""
_US: Final = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """How many requests came within one window of ``window_s``: counts of windows by that number, empty ones left
    out, and the most."""

    window_s: float
    most: int
    counts: Counts
    """Shape of ``bins.ROW_EDGES`` and one."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalRecord:
    """Instants are epoch seconds; without arrivals they are 0 and all else is empty."""

    count: int
    first_s: float
    last_s: float
    recent_start_s: float
    recent: Arrivals
    """The last ones, exactly, from ``recent_start_s`` on; none within that time is missing."""
    gaps: Histogram
    bursts: tuple[Burst, ...]
    seconds_start_s: int
    seconds: Counts
    """Requests in each second from ``seconds_start_s`` on, the last one being that of the last request."""
    hour_of_week: Counts
    """UTC, from Monday 00:00, shape [168]."""

    @property
    def rate_per_s(self) -> float:
        """The mean rate between the first and the last arrival."""
        span_s = self.last_s - self.first_s
        return (self.count - 1) / span_s if span_s > 0 else 0.0

    @property
    def has_forgotten(self) -> bool:
        """Whether there were arrivals before the exact ones."""
        return self.count > self.recent.count

    @property
    def hour_of_day(self) -> Counts:
        """UTC, shape [24]."""
        hours: Counts = self.hour_of_week.reshape(7, 24).sum(axis=0)
        return hours


def no_arrivals() -> ArrivalRecord:
    nothing = Arrivals(np.empty(0), np.empty(0, np.int64))
    return ArrivalRecord(
        0, 0.0, 0.0, 0.0, nothing, Histogram.empty(GAPS), (), 0, np.zeros(0, np.int64), np.zeros(HOURS, np.int64)
    )


def record(arrivals: Arrivals, start_s: float) -> ArrivalRecord:
    """What a server with one worker would remember of ``arrivals`` that begin at the epoch second ``start_s``."""
    if not arrivals.count:
        return no_arrivals()
    instants = arrivals.instants_s + start_s
    exact = max(0, arrivals.count - MOST_EXACT)
    seconds = np.floor(instants).astype(np.int64)
    last_seconds = seconds[seconds > seconds[-1] - SECONDS]
    return ArrivalRecord(
        count=arrivals.count,
        first_s=float(instants[0]),
        last_s=float(instants[-1]),
        recent_start_s=float(instants[exact]),
        recent=Arrivals(arrivals.instants_s[exact:] - arrivals.instants_s[exact], arrivals.rows[exact:]),
        gaps=Histogram.of(GAPS, np.diff(arrivals.instants_s)),
        bursts=tuple(_burst(arrivals.instants_s, width_s) for width_s in WINDOWS_S),
        seconds_start_s=int(last_seconds[0]),
        seconds=np.bincount(last_seconds - last_seconds[0]),
        hour_of_week=np.bincount((seconds // 3600 + _MONDAY_HOURS) % HOURS, minlength=HOURS),
    )


def _burst(instants_s: Floats, width_s: float) -> Burst:
    _, counts = np.unique(np.floor(instants_s / width_s), return_counts=True)
    return Burst(width_s, int(counts.max()), Histogram.of(ROWS, counts).counts)


def read_arrivals(node: Node) -> ArrivalRecord:
    """From a document. Raises ProfileError."""
    count = node["count"].whole()
    if not count:
        return no_arrivals()
    recent = node["recent"]
    offsets = recent["offsets_us"].wholes()
    rows = recent["rows"].wholes(len(offsets))
    if not 0 < len(offsets) <= count:
        raise recent["offsets_us"].wrong(f"at least one arrival and no more than there were ({count})")
    if (np.diff(offsets) < 0).any():
        raise recent["offsets_us"].wrong("offsets that never go back")
    return ArrivalRecord(
        count=count,
        first_s=node["first"].instant(),
        last_s=node["last"].instant(),
        recent_start_s=recent["start"].instant(),
        recent=Arrivals(offsets / _US, rows),
        gaps=Histogram.read(node["gaps_s"], GAPS),
        bursts=tuple(
            Burst(burst["window_s"].number(), burst["most"].whole(), read_bins(burst["bins"], ROWS))
            for burst in node["bursts"].items()
        ),
        seconds_start_s=int(node["seconds"]["start"].instant()),
        seconds=node["seconds"]["counts"].wholes(),
        hour_of_week=node["hour_of_week"].wholes(HOURS),
    )


def arrivals_json(known: ArrivalRecord) -> dict[str, Any]:
    """What ``read_arrivals`` reads."""
    if not known.count:
        return {"count": 0}
    return {
        "count": known.count,
        "first": instant_text(known.first_s),
        "last": instant_text(known.last_s),
        "rate_per_s": known.rate_per_s,
        "recent": {
            "start": instant_text(known.recent_start_s),
            "offsets_us": np.round(known.recent.instants_s * _US).astype(np.int64).tolist(),
            "rows": known.recent.rows.tolist(),
        },
        "gaps_s": known.gaps.to_json(),
        "bursts": [
            {"window_s": burst.window_s, "most": burst.most, "bins": bins_json(burst.counts, ROWS)}
            for burst in known.bursts
        ],
        "seconds": {"start": instant_text(known.seconds_start_s), "counts": known.seconds.tolist()},
        "hour_of_day": known.hour_of_day.tolist(),
        "hour_of_week": known.hour_of_week.tolist(),
    }


def merged_arrivals(records: Sequence[ArrivalRecord]) -> ArrivalRecord:
    """Of several servers together, whose clocks agree. Gaps and bursts stay each server's own view, added up."""
    known = [one for one in records if one.count]
    if len(known) < 2:
        return known[0] if known else no_arrivals()
    first, *others = known
    gaps = first.gaps
    for other in others:
        gaps = gaps.merged(other.gaps)
    start_s, recent = _union_of_recent(known)
    seconds_start_s, seconds = _sum_of_seconds(known)
    return replace(
        first,
        count=sum(one.count for one in known),
        first_s=min(one.first_s for one in known),
        last_s=max(one.last_s for one in known),
        recent_start_s=start_s,
        recent=recent,
        gaps=gaps,
        bursts=_sum_of_bursts(known),
        seconds_start_s=seconds_start_s,
        seconds=seconds,
        hour_of_week=np.sum([one.hour_of_week for one in known], axis=0),
    )


def _union_of_recent(known: Sequence[ArrivalRecord]) -> tuple[float, Arrivals]:
    """All exact arrivals from the instant on from which none is missing, at most the last ``MOST_EXACT``."""
    since_s = max((one.recent_start_s for one in known if one.has_forgotten), default=-np.inf)
    instants = np.concatenate([one.recent_start_s + one.recent.instants_s for one in known])
    rows = np.concatenate([one.recent.rows for one in known])
    order = np.argsort(instants, kind="stable")
    order = order[instants[order] >= since_s][-MOST_EXACT:]
    start_s = float(instants[order[0]])
    return start_s, Arrivals(instants[order] - start_s, rows[order])


def _sum_of_seconds(known: Sequence[ArrivalRecord]) -> tuple[int, Counts]:
    last = max(one.seconds_start_s + len(one.seconds) for one in known)
    first = max(min(one.seconds_start_s for one in known), last - SECONDS)
    total = np.zeros(last - first, np.int64)
    for one in known:
        skipped = max(0, first - one.seconds_start_s)
        shown = one.seconds[skipped:]
        place = max(0, one.seconds_start_s - first)
        total[place : place + len(shown)] += shown
    return first, total


def _sum_of_bursts(known: Sequence[ArrivalRecord]) -> tuple[Burst, ...]:
    by_window: dict[float, list[Burst]] = {}
    for one in known:
        for burst in one.bursts:
            by_window.setdefault(burst.window_s, []).append(burst)
    cells = len(bins.ROW_EDGES) + 1
    return tuple(
        Burst(
            width_s,
            max(burst.most for burst in same),
            np.sum([burst.counts for burst in same], axis=0).reshape(cells),
        )
        for width_s, same in sorted(by_window.items())
    )
