"""What of a usage profile is shown, in words and numbers: for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np

from rapide.profiles.arrival_record import ArrivalRecord
from rapide.profiles.document import Profile
from rapide.profiles.drift import usage_of
from rapide.profiles.histogram import Histogram
from rapide.profiles.model_profile import ModelProfile

STAGES: Final = {
    "queue": "queue_s",
    "model (per run)": "compute_s",
    "overhead": "overhead_s",
    "in all": "duration_s",
}
"""Where a request's time goes → the histogram of it."""
SHARES: Final = (0.5, 0.9, 0.99, 0.999)
_MOST_BARS: Final = 16
_BAR_SHARES: Final = (0.5, 0.99)


def head(profile: Profile) -> dict[str, str]:
    """Of the whole server."""
    facts = {"workers": str(profile.workers), "models": str(len(profile.models))}
    for one in profile.connections:
        facts[f"{one.protocol} connections"] = f"{one.open} open, {one.total:,} ever"
    return facts


def facts(profile: Profile, known: ModelProfile) -> dict[str, str]:
    """Of one model version that has arrivals."""
    arrivals = known.arrivals
    found = {
        "requests": f"{arrivals.count:,}",
        "share of all": f"{profile.mix[known.name]:.1%}",
        "first": _time(arrivals.first_s),
        "last": _time(arrivals.last_s),
        "mean rate": f"{arrivals.rate_per_s:.4g} /s",
        "busiest second": f"{_busiest_second(arrivals):,}",
        "burstiness": f"{usage_of(known, profile.workers).burstiness:.2f}",
        "rows per request": _spread(known.rows),
    }
    if known.payload_bytes.count:
        found["payload"] = f"{_spread(known.payload_bytes)} bytes"
    if known.concurrency.count:
        found["in flight on arrival"] = _spread(known.concurrency)
    if known.inputs.looked:
        found["repeated inputs"] = f"{known.inputs.repeat_share:.1%} of {known.inputs.looked:,}"
    if known.deadline_slack_s.count:
        found["with a deadline"] = f"{known.deadline_slack_s.count / max(1, known.duration_s.count):.1%}"
        found["time left with the answer"] = f"{duration(known.deadline_slack_s.quantile(0.01))} (1 % less)"
    for axis, sizes in known.inputs.sizes.items():
        found[f"size of {axis}"] = _spread(sizes)
    failed = {code: number for code, number in known.requests.items() if code != "ok" and number}
    if failed:
        found["not answered"] = ", ".join(f"{number:,} {code}" for code, number in failed.items())
    return found


def stages(known: ModelProfile) -> list[tuple[str, ...]]:
    """A row for each stage: its name, mean, then the times at ``SHARES``; stages without a value are left out."""
    rows = []
    for name, key in STAGES.items():
        histogram: Histogram = getattr(known, key)
        if histogram.count:
            at = [duration(histogram.quantile(share)) for share in SHARES]
            rows.append((name, duration(histogram.mean), *at))
    return rows


def stage_bars(known: ModelProfile) -> tuple[list[str], list[float]]:
    """Labels and µs of each stage at the median and near the end; stages without a value are left out."""
    labels, values = [], []
    for name, key in STAGES.items():
        histogram: Histogram = getattr(known, key)
        for share in _BAR_SHARES if histogram.count else ():
            labels.append(f"{name} p{share * 100:g}")
            values.append(histogram.quantile(share) * 1e6)
    return labels, values


STAGE_COLUMNS: Final = ("stage", "mean", *(f"p{share * 100:g}" for share in SHARES))


def batches(known: ModelProfile) -> list[tuple[str, ...]]:
    """A row for each size of batch: what it cost."""
    return [
        (
            f"{batch.rows:.4g}",
            f"{batch.runs:,}",
            f"{batch.requests / batch.runs:.3g}",
            duration(batch.queue_s / max(1, batch.requests)),
            duration(batch.compute_s / batch.runs),
            duration(batch.compute_s / batch.runs / max(1.0, batch.rows)),
            duration(batch.input_s / batch.runs),
            duration(batch.output_s / batch.runs),
        )
        for batch in known.batches
        if batch.runs
    ]


BATCH_COLUMNS: Final = ("rows", "runs", "requests", "waited", "model", "per row", "joining", "answering")


def mix(known: ModelProfile) -> dict[str, int]:
    """Requests by how they came."""
    return {f"{one.protocol} {one.encoding or 'unreadable'}": one.requests for one in known.encodings}


def row_bars(histogram: Histogram) -> tuple[list[str], list[int]]:
    """Labels and counts of a histogram of whole numbers; where it has many bins, neighbours are put together."""
    used = np.flatnonzero(histogram.counts)
    if not len(used):
        return [], []
    edges = [*histogram.scale.edges, float("inf")]
    groups = np.array_split(np.arange(used[0], used[-1] + 1), min(_MOST_BARS, used[-1] - used[0] + 1))
    labels, counts = [], []
    for group in groups:
        low = edges[group[0] - 1] + 1 if group[0] else 0.0
        high = edges[group[-1]]
        labels.append(f"{high:g}" if low == high else f"{low:g}–{high:g}" if np.isfinite(high) else f"≥ {low:g}")
        counts.append(int(histogram.counts[group].sum()))
    return labels, counts


def duration(seconds: float) -> str:
    """``12 µs``, ``3.4 ms``, ``1.2 s``: three digits at most."""
    for limit, scale, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if seconds < limit * 0.9995:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def hours_with_traffic(counts: Sequence[int]) -> int:
    return sum(count > 0 for count in counts)


def _busiest_second(arrivals: ArrivalRecord) -> int:
    """Of the whole server in the last minutes with traffic, or earlier at one worker, whichever is more."""
    earlier = [burst.most for burst in arrivals.bursts if burst.window_s == 1.0]
    return int(max([arrivals.seconds.max(initial=0), *earlier]))


def _spread(histogram: Histogram) -> str:
    """The median, and the 99 % quantile where it differs."""
    low, high = histogram.quantile(0.5), histogram.quantile(0.99)
    return f"{low:,.0f}" if low == high else f"{low:,.0f} (p99 {high:,.0f})"


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
