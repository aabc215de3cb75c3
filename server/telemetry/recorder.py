"""Records what happens to one model version, from the hot path, into the worker's slot file.

Every method is called on the event loop's thread and costs a few hundred nanoseconds: it appends to a ring and
moves a cursor; ``version_block`` explains the rest.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from rapide.server.context import AnsweredBy, CallContext
from rapide.server.telemetry.fold import fold
from rapide.server.telemetry.inputs import MANY, SIZE_BINS, Axis, Repeats, size_bin
from rapide.server.telemetry.version_block import (
    ARRIVALS,
    BATCH_ENTRY,
    BATCHES,
    BLOCK,
    FINISHED,
    FINISHED_ENTRY,
    FOLD_EVERY,
    HEAD,
    IN_FLIGHT,
    IN_FLIGHT_BITS,
    QUEUED,
    RECENT,
    RING,
    STATE,
    TALLIES,
    WAITING_REQUESTS,
    WAITING_ROWS,
    Block,
    offset_of,
    pack_kind,
)
from rapide.server.telemetry.vocabulary import CODES, ENCODINGS, OTHER, PROTOCOLS, STATES, index_of
from rapide.server.tensors import Array

_log = logging.getLogger(__name__)

_RECENT_MASK: Final = RECENT - 1
_RING_MASK: Final = RING - 1
_IN_FLIGHT_MASK: Final = 0xFFFF
_LOOK_EVERY: Final = 16
"""Folds of arrivals from one window in which inputs are looked at to the next (``inputs``)."""
_FINISHED_BYTES: Final = FINISHED_ENTRY.itemsize
_BATCH_BYTES: Final = BATCH_ENTRY.itemsize
_FOLD_EARLY: Final = (0, FOLD_EVERY // 2, FOLD_EVERY // 4, FOLD_EVERY // 4 * 3)
"""How much earlier each ring folds the first time: they fold in turn, four short stalls instead of a long one."""
_MOST_LATE: Final = FOLD_EVERY // 4
"""Entries by which a fold may be late: the ring has room for them."""
_AXIS_BINS: Final = TALLIES["axis_sizes"].shape[1]
_BULK_WAITS: Final = FOLD_EVERY
"""Queue times of one batch are written in pieces of this size, so that none is overwritten before it is folded."""


class Finished(NamedTuple):
    """One finished request, for the access log and the tracers. Durations in seconds; times are monotonic."""

    context: CallContext
    model: str
    version: str
    code: str
    duration_s: float
    rows: int


Observer = Callable[[Finished], None]
Defer = Callable[[Callable[[], None]], object]
"""Has something called later, on the same thread: an event loop's ``call_soon``."""


class Recorder:
    """One model version in one worker. Made by ``Telemetry.recorder``; one writer, no locks."""

    __slots__ = (
        "_arrival_n",
        "_arrival_rows",
        "_arrival_s",
        "_axes",
        "_axis_sizes",
        "_axis_sums",
        "_banks",
        "_batch_n",
        "_batches",
        "_block",
        "_cells",
        "_code",
        "_cursors",
        "_defer",
        "_due",
        "_encoding",
        "_finished",
        "_finished_n",
        "_fold_at",
        "_folded",
        "_gauges",
        "_in_flight",
        "_kind",
        "_kinds",
        "_looked",
        "_observers",
        "_output_s",
        "_pack_batch",
        "_pack_finished",
        "_protocol",
        "_queue_n",
        "_queue_s",
        "_reasons",
        "_repeats",
        "_sequence",
        "_wall_offset_s",
        "_who",
        "_windows",
        "looks",
        "model",
        "version",
    )

    def __init__(
        self,
        model: str,
        version: str,
        digest: str,
        memory: memoryview,
        observers: list[Observer],
        wall_offset_s: Callable[[], float],
        defer: Defer | None = None,
    ) -> None:
        """``memory`` is a version block, perhaps a forerunner's; ``observers`` may change while requests run.

        With ``defer`` a fold comes after the answers that are being made, not before them."""
        self.model = model
        self.version = version
        self._observers = observers
        self._wall_offset_s = wall_offset_s
        self._defer = defer
        self._due: list[int] = []
        """Rings that wait to be folded."""
        self._block: Block = np.frombuffer(memory, dtype=BLOCK, count=1).reshape(())
        self._banks = tuple(self._block["banks"][index : index + 1] for index in range(2))
        self._cells = tuple(bank.view("f8") for bank in self._banks)
        cursor_bytes = _head_offset("cursors")
        gauge_bytes = _head_offset("gauges")
        self._sequence = memory[:8].cast("Q")
        self._cursors = memory[cursor_bytes : cursor_bytes + 32].cast("Q")
        self._gauges = memory[gauge_bytes : gauge_bytes + 32].cast("q")
        self._arrival_s = _ring(memory, "arrival_s").cast("d")
        self._arrival_rows = _ring(memory, "arrival_rows").cast("Q")
        self._queue_s = _ring(memory, "queue_s").cast("d")
        self._finished = _ring(memory, "finished")
        self._batches = _ring(memory, "batches")
        self._pack_finished = struct.Struct("<dddQII").pack_into
        self._pack_batch = struct.Struct("<ddddIII").pack_into
        tallies = _ring(memory, "tallies")
        self._looked = _tally(tallies, "looked", 2)
        self._output_s = _tally(tallies, "output_s", TALLIES["output_s"].shape[0])
        self._axis_sizes = _tally(tallies, "axis_sizes", TALLIES["axis_sizes"].itemsize // 8)
        self._axis_sums = _tally(tallies, "axis_sums", TALLIES["axis_sums"].shape[0])
        self._axes: list[tuple[int, int, int]] = []
        self._repeats = Repeats()
        self._windows = 0
        self.looks = True
        """Whether ``look`` wants to be told of the requests that come now."""
        self._arrival_n, self._finished_n, self._batch_n, self._queue_n = self._cursors.tolist()
        self._who: AnsweredBy | None = None
        self._encoding = self._code = self._protocol = ""
        """What the last finished request was; no code is empty, so at first none matches."""
        self._kind = 0
        self._kinds: dict[tuple[str, str, str, str], int] = {}
        self._reasons: dict[str, int] = {}
        self._fold_at = [0, 0, 0, 0]
        self._in_flight = 0
        self._gauges[IN_FLIGHT] = self._gauges[WAITING_REQUESTS] = self._gauges[WAITING_ROWS] = 0
        self._gauges[STATE] = 0
        self._block["head"]["digest"] = digest.encode()
        current = self._block["banks"][self._sequence[0] & 1]["folded"]
        self._folded = [int(cursor) for cursor in current]
        self.fold()
        self._fold_at = [at - early for at, early in zip(self._fold_at, _FOLD_EARLY, strict=True)]

    def arrival(self, now_s: float, rows: int) -> None:
        """A request of ``rows`` was admitted at ``now_s`` (``time.monotonic``); instants must not go back."""
        number = self._arrival_n
        place = number & _RECENT_MASK
        self._arrival_s[place] = now_s
        self._arrival_rows[place] = rows | (self._in_flight & _IN_FLIGHT_MASK) << IN_FLIGHT_BITS
        self._arrival_n = number = number + 1
        self._cursors[ARRIVALS] = number
        if number >= self._fold_at[ARRIVALS] and self._fold_soon(ARRIVALS, number):
            self._windows += 1
            self.looks = self._windows % _LOOK_EVERY == 0
            self._repeats.forget()

    def watch(self, axes: Sequence[Axis]) -> None:
        """Which dimensions of inputs ``look`` counts (``inputs.dynamic_axes``)."""
        tallies = self._block["tallies"]
        for row, axis in enumerate(axes):
            name = axis.name.encode()[: tallies["axes"].dtype.itemsize]
            if tallies["axes"][row] != name:  # another model had this name and version before
                tallies["axes"][row] = name
                tallies["axis_sizes"][row] = tallies["axis_sums"][row] = 0
        self._axes = [(row, axis.tensor, axis.place) for row, axis in enumerate(axes)]

    def look(self, arrays: Sequence[Array]) -> None:
        """Of a request that came while ``looks`` is true: its inputs, in the signature's order. Never raises."""
        try:
            self._look(arrays)
        except Exception:  # noqa: BLE001 - telemetry must not cost an answer
            self.looks = False
            _log.exception("looking at inputs of %s version %s failed", self.model, self.version)

    def _look(self, arrays: Sequence[Array]) -> None:
        looked = self._looked
        looked[0] += 1
        if self._repeats.has(arrays):
            looked[1] += 1
        for row, tensor, place in self._axes:
            size = arrays[tensor].shape[place]
            self._axis_sizes[row * _AXIS_BINS + size_bin(size)] += 1
            self._axis_sums[row] += size

    def finished(
        self,
        context: CallContext,
        code: str,
        duration_s: float,
        rows: int,
    ) -> None:
        """A request ended, answered or refused: ``code`` is "ok" or the domain error in snake case.

        The context's ``queue_s`` and ``compute_s`` serve the access log and the traces; metrics have theirs from
        ``batch``.
        """
        who = context.answered_by
        encoding = context.encoding
        protocol = context.protocol
        # Requests come in runs of one kind, and these objects are the same ones again then.
        if who is self._who and encoding is self._encoding and code is self._code and protocol is self._protocol:
            kind = self._kind
        else:
            kind = self._turn_to(who, encoding, code, protocol)
        number = self._finished_n
        self._pack_finished(
            self._finished,
            (number & _RING_MASK) * _FINISHED_BYTES,
            duration_s,
            duration_s - context.queue_s - context.compute_s,
            context.deadline_s - context.received_s,
            context.payload_bytes,
            kind,
            rows,
        )
        self._finished_n = number = number + 1
        self._cursors[FINISHED] = number
        if number >= self._fold_at[FINISHED]:
            self._fold_soon(FINISHED, number)
        if self._observers:
            entry = Finished(context, self.model, self.version, code, duration_s, rows)
            for observer in self._observers:
                observer(entry)

    def batch(
        self,
        requests: int,
        rows: int,
        queue_s: Sequence[float],
        compute_s: float,
        reason: str,
        input_s: float = 0.0,
        output_s: float = 0.0,
    ) -> None:
        """The model ran once: ``queue_s`` has each request's wait, ``compute_s`` the time inside the runtime,
        ``input_s`` and ``output_s`` those of joining inputs and dividing outputs. Only runs that succeeded."""
        number = self._batch_n
        index = self._reasons.get(reason)
        if index is None:
            index = self._new_reason(reason)
        place = (number & _RING_MASK) * _BATCH_BYTES
        waited_s = queue_s[0] if requests == 1 else sum(queue_s)
        self._pack_batch(self._batches, place, compute_s, input_s, output_s, waited_s, requests, rows, index)
        self._batch_n = number = number + 1
        self._cursors[BATCHES] = number
        if number >= self._fold_at[BATCHES]:
            self._fold_soon(BATCHES, number)
        if requests == 1:
            queued = self._queue_n
            self._queue_s[queued & _RECENT_MASK] = waited_s
            self._queue_n = self._cursors[QUEUED] = queued = queued + 1
            if queued >= self._fold_at[QUEUED]:
                self._fold_soon(QUEUED, queued)
        elif requests > _BULK_WAITS:
            for start in range(0, len(queue_s), _BULK_WAITS):
                self._waits(queue_s[start : start + _BULK_WAITS])
        else:
            self._waits(queue_s)

    def answered(self, rows: int, took_s: float) -> None:
        """The answers to a run of ``rows`` were made, and handed to their doors, in ``took_s``."""
        self._output_s[SIZE_BINS[rows if rows < MANY else MANY]] += took_s

    def in_flight(self, delta: int) -> None:
        """Requests admitted and not yet finished: +1, −1."""
        self._in_flight = self._gauges[IN_FLIGHT] = self._in_flight + delta

    def waiting(self, requests: int, rows: int) -> None:
        """What stands in the queue now. Called when it changed, at most once per loop tick."""
        self._gauges[WAITING_REQUESTS] = requests
        self._gauges[WAITING_ROWS] = rows

    def state(self, state: str) -> None:
        """One of ``vocabulary.STATES``: what this worker does with the version."""
        self._gauges[STATE] = STATES.index(state)

    def fold(self) -> None:
        """Adds what is new in all rings to the totals. Called by itself; see ``version_block``."""
        for ring in (ARRIVALS, FINISHED, BATCHES, QUEUED):
            self._fold_ring(ring)

    def settle(self) -> None:
        """Folds what was put off. Nothing is put off any more: the memory may be given away."""
        self._defer = None
        if self._due:
            self._due.clear()
            self.fold()

    def _fold_soon(self, ring: int, number: int) -> bool:
        """Folds, or sees to it that it is done; whether it is the first to ask since the last fold."""
        is_first = ring not in self._due
        if self._defer is None or number - self._fold_at[ring] >= _MOST_LATE:
            self._fold_ring(ring)
        elif is_first:
            self._due.append(ring)
            if len(self._due) == 1:
                self._defer(self._fold_due)
        return is_first

    def _fold_due(self) -> None:
        """One ring at a time, so that sockets are looked at in between."""
        if not self._due:
            return
        ring = self._due.pop(0)
        if self._due and self._defer is not None:
            self._defer(self._fold_due)
        if (self._arrival_n, self._finished_n, self._batch_n, self._queue_n)[ring] >= self._fold_at[ring]:
            self._fold_ring(ring)

    def _fold_ring(self, ring: int) -> None:
        cursor = (self._arrival_n, self._finished_n, self._batch_n, self._queue_n)[ring]
        sequence = self._sequence[0]
        fresh = (sequence + 1) & 1
        self._cells[fresh][:] = self._cells[sequence & 1]
        self._folded[ring] = cursor
        fold(self._banks[fresh].reshape(()), self._block, self._folded, self._wall_offset_s())
        self._sequence[0] = sequence + 1
        self._fold_at[ring] = cursor + FOLD_EVERY

    def _waits(self, queue_s: Sequence[float]) -> None:
        number = self._queue_n
        ring = self._queue_s
        after = number + len(queue_s)
        if after >= self._fold_at[QUEUED] + FOLD_EVERY:
            self._fold_ring(QUEUED)
        for wait_s in queue_s:
            ring[number & _RECENT_MASK] = wait_s
            number += 1
        self._queue_n = number
        self._cursors[QUEUED] = number
        if number >= self._fold_at[QUEUED]:
            self._fold_soon(QUEUED, number)

    def _turn_to(self, who: AnsweredBy | None, encoding: str, code: str, protocol: str) -> int:
        """The number of this kind of request, which is kept at hand."""
        names = (code, protocol, encoding, who.label if who else "")
        kind = self._kinds.get(names)
        self._kind = self._new_kind(names) if kind is None else kind
        self._who, self._encoding, self._code, self._protocol = who, encoding, code, protocol
        return self._kind

    def _new_kind(self, names: tuple[str, str, str, str]) -> int:
        code, protocol, encoding, label = names
        kind = pack_kind(
            _name_index(self._block["head"]["labels"], label),
            index_of(PROTOCOLS, protocol),
            index_of(CODES, code),
            index_of(ENCODINGS, encoding),
        )
        self._kinds[names] = kind
        return kind

    def _new_reason(self, reason: str) -> int:
        index = _name_index(self._block["head"]["reasons"], reason)
        self._reasons[reason] = index
        return index


def _head_offset(field: str) -> int:
    fields = HEAD.fields
    assert fields is not None  # noqa: S101 - HEAD is structured
    return int(fields[field][1])


def _ring(memory: memoryview, field: str) -> memoryview:
    start = offset_of(field)
    return memory[start : start + BLOCK[field].itemsize]


def _tally(tallies: memoryview, field: str, cells: int) -> memoryview[float]:
    """``cells`` numbers from one of the tallies on."""
    fields = TALLIES.fields
    assert fields is not None  # noqa: S101 - TALLIES is structured
    start = int(fields[field][1])
    return tallies[start : start + 8 * cells].cast("d")


def _name_index(table: Block, name: str) -> int:
    """The row of ``name``, entered if there is room; else that of "other", the last. Row 0 is the empty name."""
    wanted = name.encode()[: table.dtype.itemsize]
    for index in range(1, len(table) - 1):
        if not wanted:
            return 0
        if table[index] == wanted:
            return index
        if not table[index]:
            table[index] = wanted
            return index
    table[len(table) - 1] = OTHER.encode()
    return len(table) - 1
