"""The memory of one model version in one worker: what is written where.

Theory. A request must cost a few hundred nanoseconds to record, from Python, and yet end in a dozen histograms
that any process can read at any time, also after the writer was killed. So a request only appends a few numbers to
*rings* and moves a cursor (the cursor last: what it covers is complete). Every ``FOLD_EVERY`` entries the writer
*folds* what is new into totals, vectorised (``fold.py``). Totals are kept in two banks: the fold copies the
current bank onto the other, adds to it, and makes it current by one 8-byte write of ``sequence``. A reader
therefore finds a whole bank and, between the bank's ``folded`` cursors and the live ones, the entries that are not
yet in it; it folds those into its own copy by the same function and has the exact figures of this instant.

Invariants: only the owner writes; ``sequence`` only grows, and its lowest bit names the current bank; entries
between ``folded`` and ``cursors`` are never overwritten while ``sequence`` stands, since a ring holds at least
twice ``FOLD_EVERY`` entries and the owner folds before it goes further. It folds behind the answers that it is
making, if it can, so that no request waits for the fold that it caused.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from rapide.server.telemetry import bins
from rapide.server.telemetry.vocabulary import CODES, ENCODINGS, PROTOCOLS

Block = np.ndarray[Any, np.dtype[Any]]

FOLD_EVERY: Final = 1024
"""Entries between folds: more would make the stall of a fold longer, fewer its share of a request larger."""
RING: Final = 2 * FOLD_EVERY
RECENT: Final = 4096
"""Arrival instants kept per worker, the one being written included; also the ring of queue times."""
LABELS: Final = 8
"""Labels that may reach one version over a worker slot's life; later ones are counted as "other"."""
REASONS: Final = 8
"""Reasons for which an engine ran a batch; later ones are counted as "other"."""
SECONDS: Final = 600
"""Seconds of exact per-second arrival counts: mergeable across workers, unlike gaps between arrivals."""
HOURS: Final = 168
"""Hours of the week, UTC, from Monday 00:00."""
WINDOWS_S: Final = (0.01, 0.1, 1.0)
"""Windows in which bursts are counted."""
BURST_BINS: Final = len(bins.ROW_EDGES) + 1
AXES: Final = 4
"""Dimensions of inputs, besides the rows, whose sizes are counted."""

ARRIVALS, FINISHED, BATCHES, QUEUED = range(4)
"""Positions in ``cursors`` and ``folded``."""

TOTALS: Final = np.dtype(
    [
        ("folded", "f8", 4),
        ("requests", "f8", (LABELS, len(PROTOCOLS), len(CODES))),
        ("duration", "f8", (2, len(PROTOCOLS), len(bins.DURATION_EDGES_S) + 1)),
        ("duration_sum_s", "f8", (2, len(PROTOCOLS))),
        ("payload", "f8", len(bins.PAYLOAD_EDGES_BYTES) + 1),
        ("payload_sum_bytes", "f8"),
        ("encodings", "f8", (len(PROTOCOLS), len(ENCODINGS))),
        ("rows", "f8", len(bins.ROW_EDGES) + 1),
        ("rows_sum", "f8"),
        ("concurrency", "f8", len(bins.ROW_EDGES) + 1),
        ("concurrency_sum", "f8"),
        ("gap", "f8", len(bins.GAP_EDGES_S) + 1),
        ("gap_sum_s", "f8"),
        ("first_arrival_s", "f8"),
        ("last_arrival_s", "f8"),
        ("burst", "f8", (len(WINDOWS_S), BURST_BINS)),
        ("burst_max", "f8", len(WINDOWS_S)),
        ("open_window", "f8", len(WINDOWS_S)),
        ("open_window_count", "f8", len(WINDOWS_S)),
        ("second", "f8", SECONDS),
        ("second_count", "f8", SECONDS),
        ("hour_of_week", "f8", HOURS),
        ("queue", "f8", len(bins.DURATION_EDGES_S) + 1),
        ("queue_sum_s", "f8"),
        ("compute", "f8", len(bins.DURATION_EDGES_S) + 1),
        ("reasons", "f8", REASONS),
        ("by_batch_rows", "f8", (len(bins.ROW_EDGES) + 1, 7)),
        ("request_stages_s", "f8", 3),
        ("overhead", "f8", len(bins.DURATION_EDGES_S) + 1),
        ("overhead_sum_s", "f8"),
        ("budget", "f8", len(bins.DURATION_EDGES_S) + 1),
        ("budget_sum_s", "f8"),
        ("slack", "f8", len(bins.DURATION_EDGES_S) + 1),
        ("slack_sum_s", "f8"),
    ]
)
"""All cells are float64: counts are exact up to 2**53, and a whole bank adds and copies as one vector."""

RUNS, REQUESTS, ROWS, COMPUTE_S, INPUT_S, OUTPUT_S, QUEUE_S = range(7)
"""Columns of ``by_batch_rows``. ``request_stages_s`` has compute, input and output once per *request* of each
batch, as Triton counts them."""

FINISHED_ENTRY: Final = np.dtype(
    [
        ("duration_s", "<f8"),
        ("overhead_s", "<f8"),
        ("budget_s", "<f8"),
        ("payload_bytes", "<u8"),
        ("kind", "<u4"),
        ("rows", "<u4"),
    ]
)
"""``kind`` packs label, protocol, code and encoding (``pack_kind``). ``overhead_s`` is what neither queue nor
model took, ``budget_s`` the time from arrival to deadline, infinite without one."""
BATCH_ENTRY: Final = np.dtype(
    [
        ("compute_s", "<f8"),
        ("input_s", "<f8"),
        ("output_s", "<f8"),
        ("queue_s", "<f8"),
        ("requests", "<u4"),
        ("rows", "<u4"),
        ("reason", "<u4"),
    ]
)

TALLIES: Final = np.dtype(
    [
        ("looked", "<f8"),
        ("repeats", "<f8"),
        ("output_s", "<f8", len(bins.ROW_EDGES) + 1),
        ("axes", "S72", AXES),
        ("axis_sizes", "<f8", (AXES, len(bins.ROW_EDGES) + 1)),
        ("axis_sums", "<f8", AXES),
    ]
)
"""Counted in place, without a ring: what happens once per batch, or to few requests. Cells are written whole."""

HEAD: Final = np.dtype(
    [
        ("sequence", "<u8"),
        ("cursors", "<u8", 4),
        ("gauges", "<i8", 4),
        ("digest", "S96"),
        ("labels", "S136", LABELS),
        ("reasons", "S40", REASONS),
    ]
)
IN_FLIGHT, WAITING_REQUESTS, WAITING_ROWS, STATE = range(4)
"""Positions in ``gauges``."""

BLOCK: Final = np.dtype(
    [
        ("head", HEAD),
        ("banks", TOTALS, 2),
        ("arrival_s", "<f8", RECENT),
        ("arrival_rows", "<u8", RECENT),
        ("finished", FINISHED_ENTRY, RING),
        ("batches", BATCH_ENTRY, RING),
        ("queue_s", "<f8", RECENT),
        ("tallies", TALLIES),
    ]
)
IN_FLIGHT_BITS: Final = 32
"""``arrival_rows`` has the rows of a request and, above these bits, how many were in flight when it came."""
ROWS_MASK: Final = (1 << IN_FLIGHT_BITS) - 1


def pack_kind(label: int, protocol: int, code: int, encoding: int) -> int:
    """The index into ``requests`` seen as a flat array, shifted left by three bits for the encoding."""
    return ((label * len(PROTOCOLS) + protocol) * len(CODES) + code) << 3 | encoding


def offset_of(field: str) -> int:
    """Bytes from the start of a block to one of its parts."""
    fields = BLOCK.fields
    assert fields is not None  # noqa: S101 - BLOCK is structured
    return int(fields[field][1])


def ring_slice(ring: Block, start: int, stop: int) -> Block:
    """Entries ``start`` (inclusive) to ``stop`` (exclusive) by their running number; a copy where they wrap."""
    size = len(ring)
    low, high = start % size, stop % size
    if stop - start >= size:
        return np.concatenate((ring[high:], ring[:high]))
    if low <= high:
        return ring[low:high]
    return np.concatenate((ring[low:], ring[:high]))
