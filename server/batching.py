"""Which waiting requests run together, and when. Pure: time is an argument, nothing runs here.

Theory. Requests wait in order of arrival, in groups of equal key: only requests of one group may be merged. When a
session is free, ``take`` gives the group of the *oldest* request, from its front, as many rows as the cap allows.
So the queue is

- work-conserving: with ``max_delay_s`` 0, ``take`` gives a batch whenever anything waits;
- fair: the oldest request is always in the next batch, whatever its key (with a delay: once its own is over);
- first come, first served within a key;
- bounded in rows and bytes: what does not fit is refused at once.

Requests are weighed by their rows (an empty one weighs 1: it costs a run, too). The cap is for merging: one
request above it runs alone. A request is WAITING from ``put``, TAKEN from ``take``, FINISHED when it was answered,
expired or cancelled; nothing leaves FINISHED, so whoever finishes a request first is its only answer.

Cost: every operation takes constant time, but for ``heapq`` on deadlines and a walk over the groups when a delay
is set. A cancelled request leaves at once; only its deadline is remembered for a while, in bounded number.
"""

from __future__ import annotations

import enum
import heapq
import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from rapide.server.errors import QueueFull, TooLarge


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Limits of one model version's queue."""

    max_batch_rows: int = 64
    """Rows merged into one run. Small models gain little beyond, and tree ensembles get slower per row."""
    max_queue_rows: int = 4096
    """Rows waiting: 64 full batches; beyond that, waiting costs more than asking again."""
    max_queue_bytes: int = 512 * 1024 * 1024
    """Bytes waiting: 8 of the largest messages. Rows may be images, so their number alone bounds no memory."""
    max_delay_s: float = 0.0
    """How long a batch that is not full may wait for more rows: 0 never makes a lone request wait."""


class State(enum.Enum):
    WAITING = enum.auto()
    TAKEN = enum.auto()
    FINISHED = enum.auto()


class Reason(enum.StrEnum):
    """Why a batch was formed when it was: a metrics label."""

    READY = "ready"
    """A session was free: everything that waited in the group."""
    FULL = "full"
    DELAY = "delay"
    """Its delay was over."""
    ALONE = "alone"
    """It may not be merged with any other."""
    RETRY = "retry"
    """The batch that it was part of failed, so its requests run one by one (``engine.py``)."""


WAITING, TAKEN, FINISHED = State


class Entry:
    """One request as the queue sees it.

    ``key``: requests with equal keys may be merged; None may be merged with none. ``deadline_s`` and ``arrived_s``
    are instants of one monotonic clock. Compared by identity.
    """

    __slots__ = ("arrived_s", "deadline_s", "key", "rows", "size_bytes", "state")

    def __init__(self, rows: int, key: Hashable, deadline_s: float, arrived_s: float, size_bytes: int = 0) -> None:
        self.rows = rows
        self.key = key
        self.deadline_s = deadline_s
        self.arrived_s = arrived_s
        self.size_bytes = size_bytes
        self.state = WAITING


E = TypeVar("E", bound=Entry)


class Batch(Generic[E]):
    """Requests to run together: equal keys, in order of arrival; at least one. ``rows`` is their sum."""

    __slots__ = ("entries", "reason", "rows")

    def __init__(self, entries: list[E], reason: Reason) -> None:
        self.entries = entries
        self.reason = reason
        self.rows = sum([entry.rows for entry in entries])


class _Group(Generic[E]):
    """The waiting requests of one key, oldest first; a dict for its order and constant-time removal."""

    __slots__ = ("due_s", "entries", "rows")

    def __init__(self) -> None:
        self.entries: dict[E, None] = {}
        self.rows = 0
        self.due_s = math.inf
        """When the first of them must wait no longer for company. May be early after a cancellation."""


class BatchQueue(Generic[E]):
    """The queue of one model version."""

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._delay_s = policy.max_delay_s
        self._waiting: dict[E, None] = {}
        self._groups: dict[Hashable, _Group[E]] = {}
        self._deadlines: list[tuple[float, int, E]] = []
        self._deadlines_limit = 128
        self._sequence = 0
        self.queued_rows = 0
        self.queued_bytes = 0

    def __len__(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    def limit(self, policy: BatchPolicy) -> None:
        """From now on these limits hold; what waits already stays. The delay is not changed."""
        self._policy = policy

    def put(self, entry: E) -> None:
        """Admits ``entry``. Raises QueueFull, or TooLarge if it could not be admitted even by an empty queue."""
        weight = entry.rows or 1
        if self.queued_rows + weight > self._policy.max_queue_rows:
            raise self._refusal("rows", weight, self.queued_rows, self._policy.max_queue_rows)
        if self.queued_bytes + entry.size_bytes > self._policy.max_queue_bytes:
            raise self._refusal("bytes", entry.size_bytes, self.queued_bytes, self._policy.max_queue_bytes)
        group = self._groups.get(entry.key)
        if group is None:
            group = self._groups[entry.key] = _Group()
        group.entries[entry] = None
        group.rows += weight
        self._waiting[entry] = None
        self.queued_rows += weight
        self.queued_bytes += entry.size_bytes
        if self._delay_s:
            group.due_s = min(group.due_s, self._due_s(entry))
        if entry.deadline_s != math.inf:
            self._remember_deadline(entry)

    def cancel(self, entry: E) -> bool:
        """Finishes ``entry``: waiting, it leaves; taken, it will be skipped. False if it was finished already."""
        if entry.state is FINISHED:
            return False
        if entry.state is WAITING:
            self._remove(entry)
        entry.state = FINISHED
        return True

    def expired(self, now_s: float, ahead_s: float = 0.0) -> list[E]:
        """Finishes and gives, by deadline, what cannot be answered in time.

        That is what has reached its deadline, waiting or taken, and what waits and will have reached it in
        ``ahead_s``, the time that a run takes at least. Call it before ``take``, with the same time.
        """
        late: list[E] = []
        running: list[tuple[float, int, E]] = []
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now_s + ahead_s:
            item = heapq.heappop(deadlines)
            deadline_s, _, entry = item
            if entry.state is TAKEN and deadline_s > now_s:
                running.append(item)
            elif self.cancel(entry):
                late.append(entry)
        for item in running:
            heapq.heappush(deadlines, item)
        return late

    def next_deadline_s(self) -> float:
        """The first deadline of all that is not finished; infinite where there is none."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][2].state is FINISHED:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else math.inf

    def due_s(self, now_s: float) -> float | None:
        """The first instant, not before ``now_s``, at which ``take`` gives a batch; None if nothing waits."""
        if not self._waiting:
            return None
        if not self._delay_s or any(self._is_full(key, group) for key, group in self._groups.items()):
            return now_s
        return max(now_s, min(group.due_s for group in self._groups.values()))

    def take(self, now_s: float) -> Batch[E] | None:
        """The next batch, or None if nothing waits, or nothing that is due."""
        if not self._waiting:
            return None
        key: Hashable = next(iter(self._waiting)).key
        if self._delay_s and not self._is_ready(key, now_s):
            for key in self._groups:
                if self._is_ready(key, now_s):
                    break
            else:
                return None
        return self._form(key)

    def flush(self) -> None:
        """From now on nothing waits for company."""
        self._delay_s = 0.0

    def clear(self) -> list[E]:
        """Finishes and gives everything that waits."""
        entries = list(self._waiting)
        for entry in entries:
            self.cancel(entry)
        return entries

    def _form(self, key: Hashable) -> Batch[E]:
        group = self._groups[key]
        most = 1 if key is None else self._policy.max_batch_rows
        entries: list[E] = []
        rows = 0
        if group.rows <= most:
            entries, rows = list(group.entries), group.rows
            self._remove_group(key, group)
        else:
            for entry in group.entries:
                rows += entry.rows or 1
                if rows > most and entries:
                    break
                entries.append(entry)
            for entry in entries:
                self._remove(entry)
            if self._delay_s:
                group.due_s = min(map(self._due_s, group.entries), default=math.inf)
        reason = Reason.READY
        if key is None:
            reason = Reason.ALONE
        elif rows >= most:
            reason = Reason.FULL
        elif self._delay_s:
            reason = Reason.DELAY
        for entry in entries:
            entry.state = TAKEN
        return Batch(entries, reason)

    def _remove(self, entry: E) -> None:
        weight = entry.rows or 1
        group = self._groups[entry.key]
        del group.entries[entry]
        del self._waiting[entry]
        group.rows -= weight
        self.queued_rows -= weight
        self.queued_bytes -= entry.size_bytes
        if not group.entries:
            del self._groups[entry.key]

    def _remove_group(self, key: Hashable, group: _Group[E]) -> None:
        """As ``_remove`` of all that ``group`` has; where it is the only one, without looking at each."""
        del self._groups[key]
        if not self._groups:
            self._waiting.clear()
            self.queued_rows = self.queued_bytes = 0
            return
        for entry in group.entries:
            del self._waiting[entry]
            self.queued_bytes -= entry.size_bytes
        self.queued_rows -= group.rows

    def _is_ready(self, key: Hashable, now_s: float) -> bool:
        group = self._groups[key]
        return group.due_s <= now_s or self._is_full(key, group)

    def _is_full(self, key: Hashable, group: _Group[E]) -> bool:
        return key is None or group.rows >= self._policy.max_batch_rows

    def _due_s(self, entry: E) -> float:
        """When ``entry`` has waited long enough for company: the delay, but at most half of the time it has."""
        return entry.arrived_s + min(self._delay_s, (entry.deadline_s - entry.arrived_s) / 2)

    def _remember_deadline(self, entry: E) -> None:
        """Finished entries leave the heap late; doubling the limit keeps that at a constant cost for each."""
        if len(self._deadlines) >= self._deadlines_limit:
            self._deadlines = [item for item in self._deadlines if item[2].state is not FINISHED]
            heapq.heapify(self._deadlines)
            self._deadlines_limit = max(128, 2 * len(self._deadlines))
        self._sequence += 1
        heapq.heappush(self._deadlines, (entry.deadline_s, self._sequence, entry))

    @staticmethod
    def _refusal(unit: str, asked: int, queued: int, bound: int) -> QueueFull | TooLarge:
        if asked > bound:
            return TooLarge(f"the request has {asked} {unit}; at most {bound} may wait", hint="Send it in parts.")
        return QueueFull(f"{queued} {unit} are waiting and {asked} more were sent; at most {bound} may wait")
