"""Adds the new entries of a block's rings to a bank of totals, vectorised. Pure: the clock is an argument.

The writer calls it on the bank that it is about to make current, a reader on its own copy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rapide.server.telemetry import bins
from rapide.server.telemetry.version_block import (
    ARRIVALS,
    BATCHES,
    FINISHED,
    HOURS,
    IN_FLIGHT_BITS,
    QUEUE_S,
    QUEUED,
    ROWS_MASK,
    RUNS,
    SECONDS,
    WINDOWS_S,
    Block,
    ring_slice,
)
from rapide.server.telemetry.vocabulary import CODES, PROTOCOLS

_DURATION_EDGES = np.array(bins.DURATION_EDGES_S)
_GAP_EDGES = np.array(bins.GAP_EDGES_S)
_ROW_EDGES = np.array(bins.ROW_EDGES)
_PAYLOAD_EDGES = np.array(bins.PAYLOAD_EDGES_BYTES)
_DURATION_BINS = len(_DURATION_EDGES) + 1
_MANY_ROWS = int(bins.ROW_EDGES[-1]) + 1
_ROW_BIN = bins.bin_of(_ROW_EDGES, np.arange(_MANY_ROWS + 1.0)).astype(np.uint8)
"""The bin of every number of rows: looking it up takes a fifth of the time of a search. 64 kB."""
_STAGES = ("compute_s", "input_s", "output_s")
_MONDAY_HOURS = 72
"""The epoch began on a Thursday: three days after a Monday."""


def fold(totals: Block, block: Block, cursors: Sequence[int], wall_offset_s: float) -> None:
    """Brings ``totals`` up to ``cursors``, one per ring. ``wall_offset_s``: epoch minus monotonic seconds."""
    start = [int(number) for number in totals["folded"]]
    if cursors[ARRIVALS] > start[ARRIVALS]:
        instants = ring_slice(block["arrival_s"], start[ARRIVALS], cursors[ARRIVALS])
        sizes = ring_slice(block["arrival_rows"], start[ARRIVALS], cursors[ARRIVALS])
        _fold_arrivals(totals, instants, wall_offset_s, first=start[ARRIVALS] == 0)
        for name, values in (("rows", sizes & ROWS_MASK), ("concurrency", sizes >> IN_FLIGHT_BITS)):
            totals[name] += np.bincount(_row_bins(values), minlength=len(_ROW_EDGES) + 1)
            totals[f"{name}_sum"] += values.sum()
    if cursors[FINISHED] > start[FINISHED]:
        _fold_finished(totals, ring_slice(block["finished"], start[FINISHED], cursors[FINISHED]))
    if cursors[BATCHES] > start[BATCHES]:
        _fold_batches(totals, ring_slice(block["batches"], start[BATCHES], cursors[BATCHES]))
    if cursors[QUEUED] > start[QUEUED]:
        waits = ring_slice(block["queue_s"], start[QUEUED], cursors[QUEUED])
        totals["queue"] += _histogram(_DURATION_EDGES, waits)
        totals["queue_sum_s"] += waits.sum()
    totals["folded"] = cursors


def _histogram(edges: bins.Floats, values: Block) -> bins.Counts:
    return np.bincount(bins.bin_of(edges, values), minlength=len(edges) + 1)


def _row_bins(rows: Block) -> Block:
    return _ROW_BIN[np.minimum(rows, _MANY_ROWS)]


def _fold_arrivals(totals: Block, instants: Block, wall_offset_s: float, *, first: bool) -> None:
    gaps = instants - np.concatenate(([totals["last_arrival_s"]], instants[:-1]))
    if first:
        totals["first_arrival_s"] = instants[0]
        gaps = gaps[1:]
    if len(gaps) and gaps.min() < 0:  # a caller's clock went back
        np.maximum(gaps, 0.0, out=gaps)
        instants = np.maximum.accumulate(np.maximum(instants, totals["last_arrival_s"]))
    totals["gap"] += _histogram(_GAP_EDGES, gaps)
    totals["gap_sum_s"] += gaps.sum()
    totals["last_arrival_s"] = instants[-1]
    for index, width_s in enumerate(WINDOWS_S):
        _fold_windows(totals, index, *_runs(instants, width_s))
    _fold_calendar(totals, *_runs(instants + wall_offset_s, 1.0))


def _runs(instants: bins.Floats, width_s: float) -> tuple[bins.Floats, bins.Counts]:
    """The numbers of the windows in which there were arrivals, and how many, for instants that do not go back."""
    first = np.floor(instants[:1] / width_s)
    if first[0] == np.floor(instants[-1] / width_s):
        # A thousand arrivals in one window: just when folds come often and must be short.
        return first, np.array([len(instants)])
    windows = np.floor(instants / width_s)
    ends = np.append(np.flatnonzero(windows[1:] != windows[:-1]), len(windows) - 1)
    return windows[ends], np.diff(ends, prepend=-1)


def _fold_calendar(totals: Block, seconds: bins.Floats, counts: bins.Counts) -> None:
    """The curve over the week, and the ring of the last seconds."""
    hours = (seconds // 3600 + _MONDAY_HOURS).astype(np.int64) % HOURS
    totals["hour_of_week"] += np.bincount(hours, weights=counts, minlength=HOURS)
    places = seconds.astype(np.int64) % SECONDS
    known = totals["second"][places] == seconds
    totals["second_count"][places] = np.where(known, totals["second_count"][places], 0) + counts
    totals["second"][places] = seconds


def _fold_windows(totals: Block, index: int, windows: bins.Floats, counts: bins.Counts) -> None:
    """Counts arrivals per window. The last window may still grow, so it stays open until a later one begins."""
    if totals["open_window_count"][index]:
        carried = int(totals["open_window_count"][index])
        if windows[0] == totals["open_window"][index]:
            counts[0] += carried
        else:
            counts = np.concatenate(([carried], counts))
    totals["open_window"][index] = windows[-1]
    totals["open_window_count"][index] = counts[-1]
    if len(counts) > 1:
        totals["burst"][index] += _histogram(_ROW_EDGES, counts[:-1])
    totals["burst_max"][index] = max(totals["burst_max"][index], counts.max())


def _fold_finished(totals: Block, entries: Block) -> None:
    kinds = entries["kind"].astype(np.int64)
    codes = kinds >> 3
    totals["requests"] += np.bincount(codes, minlength=totals["requests"].size).reshape(totals["requests"].shape)
    protocols = codes // len(CODES) % len(PROTOCOLS)
    arms = (codes % len(CODES) != 0) * len(PROTOCOLS) + protocols
    durations = entries["duration_s"]
    places = arms * _DURATION_BINS + bins.bin_of(_DURATION_EDGES, durations)
    totals["duration"] += np.bincount(places, minlength=totals["duration"].size).reshape(totals["duration"].shape)
    sums = totals["duration_sum_s"]
    sums += np.bincount(arms, weights=durations, minlength=sums.size).reshape(sums.shape)
    _fold_overhead(totals, entries[codes % len(CODES) == 0])
    totals["payload"] += _histogram(_PAYLOAD_EDGES, entries["payload_bytes"])
    totals["payload_sum_bytes"] += entries["payload_bytes"].sum()
    mix = totals["encodings"]
    mix += np.bincount(protocols * mix.shape[1] + (kinds & 7), minlength=mix.size).reshape(mix.shape)


def _fold_overhead(totals: Block, answered: Block) -> None:
    overhead = answered["overhead_s"]
    totals["overhead"] += _histogram(_DURATION_EDGES, overhead)
    totals["overhead_sum_s"] += overhead.sum()
    limited = answered[np.isfinite(answered["budget_s"])]
    if len(limited):
        budget = limited["budget_s"]
        slack = np.maximum(budget - limited["duration_s"], 0.0)
        for name, values in (("budget", budget), ("slack", slack)):
            totals[name] += _histogram(_DURATION_EDGES, values)
            totals[f"{name}_sum_s"] += values.sum()


def _fold_batches(totals: Block, entries: Block) -> None:
    places = _row_bins(entries["rows"])
    table = totals["by_batch_rows"]
    table[:, RUNS] += np.bincount(places, minlength=len(table))
    for column, field in enumerate(("requests", "rows", *_STAGES), start=RUNS + 1):
        table[:, column] += np.bincount(places, weights=entries[field], minlength=len(table))
    requests = entries["requests"].astype(np.float64)
    table[:, QUEUE_S] += np.bincount(places, weights=entries["queue_s"], minlength=len(table))
    for index, field in enumerate(_STAGES):
        totals["request_stages_s"][index] += requests @ entries[field]
    totals["compute"] += _histogram(_DURATION_EDGES, entries["compute_s"])
    totals["reasons"] += np.bincount(entries["reason"].astype(np.int64), minlength=len(totals["reasons"]))
