"""The usage profile: how each model version is really used, for replay, simulation and tuning. Pure.

The document is described in docs/reference/profile.md; ``SCHEMA`` changes when a reader of the old form would be
misled. Sizes and times only: nothing that a caller sent is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rapide.server.telemetry import bins
from rapide.server.telemetry.aggregate import Looked, VersionTotals, union_of_recent
from rapide.server.telemetry.slot_reader import ScalarSnapshot
from rapide.server.telemetry.version_block import (
    COMPUTE_S,
    INPUT_S,
    OUTPUT_S,
    QUEUE_S,
    REQUESTS,
    ROWS,
    RUNS,
    WINDOWS_S,
    Block,
)
from rapide.server.telemetry.vocabulary import ENCODINGS, PROTOCOLS

SCHEMA: Final = 1
_CONNECTIONS: Final = {"rapide_open_connections": "open", "rapide_connections_total": "total"}
"""Metrics that the document shows too, and its keys for them."""
_ADAPTED: Final = "rapide_adapted_limit"


def profile(
    versions: Iterable[VersionTotals],
    wall_offset_s: float,
    *,
    workers: int,
    scalars: Iterable[ScalarSnapshot] = (),
) -> dict[str, Any]:
    """The document, ready for JSON. ``wall_offset_s``: epoch seconds minus monotonic seconds, now."""
    scalars = list(scalars)
    adapted = _adapted(scalars)
    return {
        "kind": "rapide-profile",
        "schema": SCHEMA,
        "workers": workers,
        "connections": _connections(scalars),
        "models": [
            {**_version(totals, wall_offset_s), **adapted.get((totals.model, totals.version), {})}
            for totals in versions
            if totals.model
        ],
    }


def _connections(scalars: Iterable[ScalarSnapshot]) -> list[dict[str, Any]]:
    """Open now, and ever, by protocol; all workers together."""
    found: dict[str, dict[str, Any]] = {}
    for scalar in scalars:
        key = _CONNECTIONS.get(scalar.name)
        if key is not None:
            protocol = dict(scalar.labels)["protocol"]
            entry = found.setdefault(protocol, {"protocol": protocol, "open": 0, "total": 0})
            entry[key] += int(scalar.value)
    return [found[protocol] for protocol in sorted(found)]


def _adapted(scalars: Iterable[ScalarSnapshot]) -> dict[tuple[str, str], dict[str, Any]]:
    """By model and version: the limits in force of those that are adapted (``pilot``), the greatest of all."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for scalar in scalars:
        if scalar.name == _ADAPTED and scalar.value:
            labels = dict(scalar.labels)
            limits = found.setdefault((labels["model"], labels["version"]), {"adapted": {}})["adapted"]
            limits[labels["limit"]] = max(limits.get(labels["limit"], 0), int(scalar.value))
    return found


def _version(totals: VersionTotals, wall_offset_s: float) -> dict[str, Any]:
    sums = totals.sums
    return {
        "model": totals.model,
        "version": totals.version,
        "digest": totals.digest,
        "requests": _by_code(totals),
        "encodings": _encodings(sums["encodings"]),
        "arrivals": _arrivals(totals, wall_offset_s),
        "rows": _histogram(bins.ROW_EDGES, sums["rows"], sums["rows_sum"], whole=True),
        "payload_bytes": _histogram(
            bins.PAYLOAD_EDGES_BYTES, sums["payload"], sums["payload_sum_bytes"], whole=True
        ),
        "concurrency": _histogram(bins.ROW_EDGES, sums["concurrency"], sums["concurrency_sum"], whole=True),
        "inputs": _inputs(totals.looked),
        "deadline_budget_s": _histogram(bins.DURATION_EDGES_S, sums["budget"], sums["budget_sum_s"]),
        "deadline_slack_s": _histogram(bins.DURATION_EDGES_S, sums["slack"], sums["slack_sum_s"]),
        "duration_s": _histogram(
            bins.DURATION_EDGES_S, sums["duration"][0].sum(axis=0), sums["duration_sum_s"][0].sum()
        ),
        "overhead_s": _histogram(bins.DURATION_EDGES_S, sums["overhead"], sums["overhead_sum_s"]),
        "queue_s": _histogram(bins.DURATION_EDGES_S, sums["queue"], sums["queue_sum_s"]),
        "compute_s": _histogram(bins.DURATION_EDGES_S, sums["compute"], sums["by_batch_rows"][:, COMPUTE_S].sum()),
        "batches": [_batch(row) for row in sums["by_batch_rows"].tolist() if row[RUNS]],
    }


def _by_code(totals: VersionTotals) -> dict[str, int]:
    counts: dict[str, int] = {}
    for (_, _, code), number in sorted(totals.requests.items()):
        counts[code] = counts.get(code, 0) + number
    return counts


def _encodings(table: Block) -> list[dict[str, Any]]:
    return [
        {"protocol": protocol, "encoding": encoding, "requests": int(table[row, column])}
        for row, protocol in enumerate(PROTOCOLS)
        for column, encoding in enumerate(ENCODINGS)
        if table[row, column]
    ]


def _inputs(looked: Looked) -> dict[str, Any]:
    return {
        "looked": looked.requests,
        "repeats": looked.repeats,
        "sizes": [
            {"axis": axis, **_histogram(bins.ROW_EDGES, counts, looked.sums[axis], whole=True)}
            for axis, counts in looked.sizes.items()
        ],
    }


def _arrivals(totals: VersionTotals, wall_offset_s: float) -> dict[str, Any]:
    count = int(totals.sums["rows"].sum())
    if not count:
        return {"count": 0}
    instants, rows = union_of_recent(totals.recent)
    week = [int(number) for number in totals.sums["hour_of_week"]]
    span_s = totals.last_arrival_s - totals.first_arrival_s
    return {
        "count": count,
        "first": _time(totals.first_arrival_s + wall_offset_s),
        "last": _time(totals.last_arrival_s + wall_offset_s),
        "rate_per_s": (count - 1) / span_s if span_s > 0 else 0.0,
        "recent": {
            "start": _time(float(instants[0]) + wall_offset_s),
            "offsets_us": [round(offset * 1e6) for offset in (instants - instants[0]).tolist()],
            "rows": rows.tolist(),
        },
        "gaps_s": _histogram(bins.GAP_EDGES_S, totals.sums["gap"], totals.sums["gap_sum_s"]),
        "bursts": [
            {"window_s": width_s, "most": most, "bins": _bins(bins.ROW_EDGES, counts)}
            for width_s, most, counts in zip(WINDOWS_S, totals.burst_max, totals.sums["burst"], strict=True)
        ],
        "seconds": _seconds(totals.seconds),
        "hour_of_day": [sum(week[hour::24]) for hour in range(24)],
        "hour_of_week": week,
    }


def _seconds(seconds: dict[int, int]) -> dict[str, Any]:
    first, last = min(seconds), max(seconds)
    return {"start": _time(first), "counts": [seconds.get(second, 0) for second in range(first, last + 1)]}


def _histogram(
    edges: Sequence[float], counts: Block, total: float | Block, *, whole: bool = False
) -> dict[str, Any]:
    numbers = counts.tolist()
    return {
        "bins": _bins(edges, counts),
        "sum": float(total),
        "p50": bins.quantile(edges, numbers, 0.5, interpolate=not whole),
        "p99": bins.quantile(edges, numbers, 0.99, interpolate=not whole),
    }


def _bins(edges: Sequence[float], counts: Block) -> list[list[float | int | None]]:
    """``[upper edge, count]`` of the bins that are not empty; the edge of the last bin is None."""
    return [[edge, int(number)] for edge, number in zip([*edges, None], counts.tolist(), strict=True) if number]


def _batch(row: list[float]) -> dict[str, Any]:
    return {
        "rows": row[ROWS] / row[RUNS],
        "runs": int(row[RUNS]),
        "requests": int(row[REQUESTS]),
        "compute_s": row[COMPUTE_S],
        "input_s": row[INPUT_S],
        "output_s": row[OUTPUT_S],
        "queue_s": row[QUEUE_S],
    }


def _time(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
