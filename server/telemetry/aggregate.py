"""Adds up what all workers recorded: one truth for metrics, statistics and profile. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from rapide.server.telemetry import bins
from rapide.server.telemetry.slot_reader import VersionSnapshot
from rapide.server.telemetry.version_block import (
    ARRIVALS,
    IN_FLIGHT,
    OUTPUT_S,
    REQUESTS,
    RUNS,
    SECONDS,
    STATE,
    TOTALS,
    WAITING_REQUESTS,
    WAITING_ROWS,
    WINDOWS_S,
    Block,
)
from rapide.server.telemetry.vocabulary import CODES, PROTOCOLS, STATES

_ADDED = (
    "duration",
    "duration_sum_s",
    "payload",
    "payload_sum_bytes",
    "encodings",
    "rows",
    "rows_sum",
    "gap",
    "gap_sum_s",
    "burst",
    "hour_of_week",
    "queue",
    "queue_sum_s",
    "compute",
    "by_batch_rows",
    "request_stages_s",
    "concurrency",
    "concurrency_sum",
    "overhead",
    "overhead_sum_s",
    "budget",
    "budget_sum_s",
    "slack",
    "slack_sum_s",
)
"""Fields of ``TOTALS`` that merge by addition."""
_OUTPUT_STAGE = 2
"""In ``request_stages_s``."""


def _no_sums() -> dict[str, Block]:
    empty = np.zeros((), dtype=TOTALS)
    return {name: empty[name] for name in _ADDED}


@dataclass(slots=True)
class Looked:
    """What was seen of the requests that were looked at (``inputs``)."""

    requests: int = 0
    repeats: int = 0
    sizes: dict[str, Block] = field(default_factory=dict)
    """By dimension: counts by ``bins.ROW_EDGES``."""
    sums: dict[str, float] = field(default_factory=dict)


RequestKey = tuple[str, str, str]
"""Label, protocol, code."""


class Recent(NamedTuple):
    """The last arrivals at one worker: instants (monotonic), their rows, whether there were earlier ones."""

    instants_s: bins.Floats
    rows: Block
    forgot: bool


@dataclass(slots=True)
class VersionTotals:
    """One model version over all workers. Arrays have the shapes of ``TOTALS``."""

    model: str
    version: str
    digest: str = ""
    requests: dict[RequestKey, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    in_flight: int = 0
    waiting_requests: int = 0
    waiting_rows: int = 0
    states: dict[str, int] = field(default_factory=dict)
    """Living workers in each state."""
    sums: dict[str, Block] = field(default_factory=_no_sums)
    first_arrival_s: float = 0.0
    """Monotonic; 0 if there was none, as below."""
    last_arrival_s: float = 0.0
    burst_max: list[int] = field(default_factory=lambda: [0] * len(WINDOWS_S))
    """Most arrivals in one window at one worker."""
    seconds: dict[int, int] = field(default_factory=dict)
    """Arrivals by epoch second: exact for the last ``SECONDS`` seconds before the newest."""
    recent: list[Recent] = field(default_factory=list)
    """One per worker that had arrivals."""
    looked: Looked = field(default_factory=Looked)

    def count(self, *codes: str) -> int:
        """Requests that ended with one of these codes."""
        return sum(number for (_, _, code), number in self.requests.items() if code in codes)

    @property
    def failures(self) -> int:
        return sum(number for (_, _, code), number in self.requests.items() if code != "ok")


def aggregate(snapshots: Iterable[VersionSnapshot]) -> list[VersionTotals]:
    """One entry per model and version, sorted; requests that reached no version come first, under empty names."""
    merged: dict[tuple[str, str], VersionTotals] = {}
    for snapshot in snapshots:
        name = (snapshot.model, snapshot.version)
        into = merged.setdefault(name, VersionTotals(*name))
        _add(into, snapshot)
    return [merged[name] for name in sorted(merged, key=_sort_key)]


def _sort_key(name: tuple[str, str]) -> tuple[str, int, str]:
    model, version = name
    return model, int(version) if version.isdigit() else 0, version


def _add(into: VersionTotals, snapshot: VersionSnapshot) -> None:
    totals = snapshot.totals
    for name in _ADDED:
        into.sums[name] += totals[name]
    into.digest = snapshot.digest or into.digest
    _add_requests(into, snapshot)
    for name, number in zip(snapshot.reasons, totals["reasons"], strict=True):
        if number:
            into.reasons[name] = into.reasons.get(name, 0) + int(number)
    _add_gauges(into, snapshot)
    if len(snapshot.arrivals_s):
        forgot = int(totals["folded"][ARRIVALS]) > len(snapshot.arrivals_s)
        into.recent.append(Recent(snapshot.arrivals_s, snapshot.arrival_rows, forgot))
        firsts = [first for first in (into.first_arrival_s, float(totals["first_arrival_s"])) if first]
        into.first_arrival_s = min(firsts)
        into.last_arrival_s = max(into.last_arrival_s, float(totals["last_arrival_s"]))
    _add_tallies(into, snapshot.tallies, totals["by_batch_rows"])
    _add_bursts(into, totals)
    _add_seconds(into, totals["second"], totals["second_count"])


def _add_requests(into: VersionTotals, snapshot: VersionSnapshot) -> None:
    table = snapshot.totals["requests"]
    for label, protocol, code in np.argwhere(table).tolist():
        key = (snapshot.labels[label], PROTOCOLS[protocol], CODES[code])
        into.requests[key] = into.requests.get(key, 0) + int(table[label, protocol, code])


def _add_tallies(into: VersionTotals, tallies: Block, by_rows: Block) -> None:
    output_s = tallies["output_s"]
    into.sums["by_batch_rows"][:, OUTPUT_S] += output_s
    # Once per request: as if all runs of a size had as many requests as on average.
    requests_a_run = by_rows[:, REQUESTS] / np.maximum(1, by_rows[:, RUNS])
    into.sums["request_stages_s"][_OUTPUT_STAGE] += output_s @ requests_a_run
    looked = into.looked
    looked.requests += int(tallies["looked"])
    looked.repeats += int(tallies["repeats"])
    for name, counts, total in zip(
        tallies["axes"].tolist(), tallies["axis_sizes"], tallies["axis_sums"].tolist(), strict=True
    ):
        if name:
            axis = name.decode(errors="replace")
            looked.sizes[axis] = looked.sizes.get(axis, 0) + counts
            looked.sums[axis] = looked.sums.get(axis, 0.0) + total


def _add_gauges(into: VersionTotals, snapshot: VersionSnapshot) -> None:
    into.in_flight += snapshot.gauges[IN_FLIGHT]
    into.waiting_requests += snapshot.gauges[WAITING_REQUESTS]
    into.waiting_rows += snapshot.gauges[WAITING_ROWS]
    if snapshot.alive:
        state = STATES[snapshot.gauges[STATE]]
        into.states[state] = into.states.get(state, 0) + 1


def _add_bursts(into: VersionTotals, totals: Block) -> None:
    """The window that is still open counts as it stands."""
    for index, number in enumerate(totals["open_window_count"].tolist()):
        if number:
            into.sums["burst"][index, int(bins.bin_of(np.array(bins.ROW_EDGES), np.array([number]))[0])] += 1
        into.burst_max[index] = max(into.burst_max[index], int(totals["burst_max"][index]))


def _add_seconds(into: VersionTotals, seconds: Block, counts: Block) -> None:
    used = np.flatnonzero(counts)
    for second, number in zip(seconds[used].tolist(), counts[used].tolist(), strict=True):
        into.seconds[int(second)] = into.seconds.get(int(second), 0) + int(number)
    newest = max(into.seconds, default=0)
    into.seconds = {second: number for second, number in into.seconds.items() if second > newest - SECONDS}


def union_of_recent(recent: Sequence[Recent]) -> tuple[bins.Floats, Block]:
    """Instants and rows of all workers together, in order, from the instant on from which none is missing: the
    latest of those before which some worker has forgotten arrivals. ``recent`` is not empty."""
    since = max((float(worker.instants_s[0]) for worker in recent if worker.forgot), default=-np.inf)
    instants = np.concatenate([worker.instants_s for worker in recent])
    rows = np.concatenate([worker.rows for worker in recent])
    order = np.argsort(instants, kind="stable")
    order = order[instants[order] >= since]
    return instants[order], rows[order]
