"""The batching policy with a hand-driven clock, then against a model of itself under generated schedules."""

from __future__ import annotations

import math
from collections.abc import Hashable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from rapide.server.batching import FINISHED, TAKEN, WAITING, Batch, BatchPolicy, BatchQueue, Entry, Reason
from rapide.server.errors import QueueFull, TooLarge

ANY: Hashable = ()


def request(
    rows: int = 1,
    *,
    key: Hashable = ANY,
    deadline_s: float = math.inf,
    arrived_s: float = 0.0,
    size_bytes: int = 0,
) -> Entry:
    return Entry(rows, key, deadline_s, arrived_s, size_bytes)


def queue_of(*entries: Entry, **policy: float) -> BatchQueue[Entry]:
    queue: BatchQueue[Entry] = BatchQueue(BatchPolicy(**policy))  # type: ignore[arg-type]
    for entry in entries:
        queue.put(entry)
    return queue


def take_all(queue: BatchQueue[Entry], now_s: float = 0.0) -> list[list[int]]:
    """The rows of every entry of every batch that can be had now."""
    batches = []
    while (batch := queue.take(now_s)) is not None:
        batches.append([entry.rows for entry in batch.entries])
    return batches


def test_nothing_waits_nothing_is_taken() -> None:
    queue = queue_of()
    assert queue.take(0.0) is None
    assert queue.due_s(0.0) is None
    assert queue.next_deadline_s() == math.inf
    assert queue.expired(1e9) == []


def test_a_lone_request_is_taken_at_once() -> None:
    entry = request()
    queue = queue_of(entry)
    assert queue.due_s(5.0) == 5.0
    batch = queue.take(5.0)
    assert batch is not None
    assert (batch.entries, batch.rows, batch.reason) == ([entry], 1, Reason.READY)
    assert entry.state is TAKEN
    assert (len(queue), queue.queued_rows) == (0, 0)


@pytest.mark.parametrize(
    ("rows", "batches"),
    [
        ([1] * 5, [[1, 1, 1, 1], [1]]),
        ([2, 2, 1], [[2, 2], [1]]),
        ([3, 2, 1], [[3], [2, 1]]),
        ([1, 9, 1], [[1], [9], [1]]),
        ([9], [[9]]),
        ([4, 4], [[4], [4]]),
        ([0, 0, 2, 1], [[0, 0, 2], [1]]),
        ([0] * 5, [[0, 0, 0, 0], [0]]),
    ],
    ids=str,
)
def test_batches_fill_to_the_cap_in_order_and_no_request_is_split(
    rows: list[int], batches: list[list[int]]
) -> None:
    assert take_all(queue_of(*map(request, rows), max_batch_rows=4)) == batches


def test_the_key_of_the_oldest_request_comes_first_and_keys_are_never_mixed() -> None:
    a1, b1, a2, b2 = (request(key=key) for key in "abab")
    queue = queue_of(a1, b1, a2, b2)
    first, second = queue.take(0.0), queue.take(0.0)
    assert first is not None
    assert second is not None
    assert first.entries == [a1, a2]
    assert second.entries == [b1, b2]


def test_a_busy_key_does_not_starve_another() -> None:
    rare = request(key="rare")
    queue = queue_of(request(key="busy"), request(key="busy"), rare, max_batch_rows=1)
    taken = []
    for _ in range(3):
        queue.put(request(key="busy"))
        batch = queue.take(0.0)
        assert batch is not None
        taken += batch.entries
    assert taken.index(rare) == 2


def test_requests_without_a_key_run_alone() -> None:
    entries = [request(key=None) for _ in range(3)]
    queue = queue_of(*entries)
    batches = [queue.take(0.0) for _ in range(3)]
    assert [(batch.entries, batch.reason) for batch in batches if batch] == [([e], Reason.ALONE) for e in entries]


@pytest.mark.parametrize(
    ("waiting", "asked", "policy", "refusal", "text"),
    [
        ([3], request(2), {"max_queue_rows": 4}, QueueFull, "3 rows are waiting and 2 more were sent; at most 4"),
        ([], request(5), {"max_queue_rows": 4}, TooLarge, "the request has 5 rows; at most 4 may wait"),
        ([0, 0], request(0), {"max_queue_rows": 2}, QueueFull, "2 rows are waiting"),
        ([], request(size_bytes=9), {"max_queue_bytes": 8}, TooLarge, "9 bytes; at most 8 may wait"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    waiting: list[int], asked: Entry, policy: dict[str, float], refusal: type[Exception], text: str
) -> None:
    queue = queue_of(*map(request, waiting), **policy)
    before = (len(queue), queue.queued_rows, queue.queued_bytes)
    with pytest.raises(refusal, match=text):
        queue.put(asked)
    assert (len(queue), queue.queued_rows, queue.queued_bytes) == before
    assert asked.state is WAITING


def test_bytes_bound_the_queue_and_are_given_back() -> None:
    queue = queue_of(request(size_bytes=6), max_queue_bytes=8)
    with pytest.raises(QueueFull, match="6 bytes are waiting and 3 more"):
        queue.put(request(size_bytes=3))
    queue.take(0.0)
    queue.put(request(size_bytes=3))
    assert queue.queued_bytes == 3


def test_a_request_above_the_cap_but_within_the_queue_is_admitted() -> None:
    queue = queue_of(request(100), max_batch_rows=4, max_queue_rows=100)
    assert take_all(queue) == [[100]]


class TestCancel:
    def test_waiting_it_leaves_and_frees_its_place(self) -> None:
        gone, other = request(3), request(1)
        queue = queue_of(gone, other, max_queue_rows=4)
        assert queue.cancel(gone)
        assert (gone.state, queue.queued_rows) == (FINISHED, 1)
        queue.put(request(3))
        assert take_all(queue) == [[1, 3]]

    def test_twice_is_once(self) -> None:
        entry = request()
        queue = queue_of(entry)
        assert queue.cancel(entry)
        assert not queue.cancel(entry)

    def test_taken_it_is_finished_and_the_batch_is_left_alone(self) -> None:
        gone, other = request(), request()
        queue = queue_of(gone, other)
        batch = queue.take(0.0)
        assert queue.cancel(gone)
        assert batch is not None
        assert batch.entries == [gone, other]
        assert (gone.state, other.state) == (FINISHED, TAKEN)

    def test_clear_finishes_everything(self) -> None:
        entries = [request(key=key) for key in "aab"]
        queue = queue_of(*entries)
        assert queue.clear() == entries
        assert {entry.state for entry in entries} == {FINISHED}
        assert (len(queue), queue.queued_rows, queue.take(0.0)) == (0, 0, None)


class TestDeadlines:
    def test_what_reached_its_deadline_is_given_once_by_deadline(self) -> None:
        late, later, fine = request(deadline_s=2.0), request(deadline_s=1.0), request(deadline_s=3.0)
        queue = queue_of(late, later, fine)
        assert queue.next_deadline_s() == 1.0
        assert queue.expired(0.5) == []
        assert queue.expired(2.0) == [later, late]
        assert queue.expired(2.0) == []
        assert take_all(queue, 2.0) == [[1]]

    def test_what_cannot_be_answered_in_time_is_not_taken(self) -> None:
        hopeless, fine = request(deadline_s=1.0), request(deadline_s=2.0)
        queue = queue_of(hopeless, fine)
        assert queue.expired(0.5, ahead_s=0.6) == [hopeless]
        assert take_all(queue) == [[1]]

    def test_what_runs_already_may_use_all_of_its_time(self) -> None:
        entry = request(deadline_s=1.0)
        queue = queue_of(entry)
        queue.take(0.0)
        assert queue.expired(0.5, ahead_s=10.0) == []
        assert queue.next_deadline_s() == 1.0
        assert queue.expired(1.0, ahead_s=10.0) == [entry]

    def test_cancelled_and_answered_requests_do_not_expire(self) -> None:
        cancelled, answered = request(deadline_s=1.0), request(deadline_s=1.0)
        queue = queue_of(cancelled, answered)
        queue.cancel(cancelled)
        queue.take(0.0)
        answered.state = FINISHED
        assert queue.next_deadline_s() == math.inf
        assert queue.expired(2.0) == []

    def test_a_flood_of_cancelled_requests_is_forgotten(self) -> None:
        queue = queue_of()
        for number in range(10_000):
            entry = request(deadline_s=1e6 + number)
            queue.put(entry)
            queue.cancel(entry)
        assert len(queue._deadlines) <= 128
        assert not queue._groups


class TestDelay:
    def test_company_is_waited_for_until_the_delay_is_over(self) -> None:
        queue = queue_of(request(arrived_s=1.0), request(arrived_s=1.1), max_delay_s=0.5)
        assert queue.due_s(1.1) == 1.5
        assert queue.take(1.49) is None
        batch = queue.take(1.5)
        assert batch is not None
        assert (batch.rows, batch.reason) == (2, Reason.DELAY)

    def test_a_full_batch_does_not_wait(self) -> None:
        queue = queue_of(*[request() for _ in range(4)], max_delay_s=0.5, max_batch_rows=4)
        assert queue.due_s(0.0) == 0.0
        batch = queue.take(0.0)
        assert batch is not None
        assert batch.reason is Reason.FULL

    def test_a_full_group_may_overtake_one_that_waits_by_choice(self) -> None:
        queue = queue_of(request(3, key="thin"), request(4, key="full"), max_delay_s=0.5, max_batch_rows=4)
        assert take_all(queue) == [[4]]

    def test_but_not_one_whose_delay_is_over(self) -> None:
        queue = queue_of(request(3, key="thin"), request(4, key="full"), max_delay_s=0.5, max_batch_rows=4)
        assert take_all(queue, 0.5) == [[3], [4]]

    def test_requests_that_cannot_be_merged_do_not_wait(self) -> None:
        assert take_all(queue_of(request(key=None), max_delay_s=0.5)) == [[1]]

    def test_at_most_half_of_the_time_to_the_deadline_is_spent_waiting(self) -> None:
        queue = queue_of(request(), request(deadline_s=0.2), max_delay_s=0.5)
        assert queue.due_s(0.0) == 0.1
        assert take_all(queue, 0.1) == [[1, 1]]

    def test_the_rest_of_a_full_batch_waits_for_its_own_delay(self) -> None:
        queue = queue_of(request(4), request(arrived_s=0.3), max_delay_s=0.5, max_batch_rows=4)
        assert take_all(queue, 0.3) == [[4]]
        assert queue.due_s(0.3) == 0.8

    def test_flushed_nothing_waits(self) -> None:
        queue = queue_of(request(), max_delay_s=0.5)
        queue.flush()
        assert queue.due_s(0.0) == 0.0
        assert take_all(queue) == [[1]]


class QueueMachine(RuleBasedStateMachine):
    """Anything may arrive, be cancelled, expire, be taken and be answered, in any order.

    ``waiting`` is what the queue should hold, oldest first.
    """

    running: Bundle[Batch[Entry]] = Bundle("running")

    @initialize(
        max_batch_rows=st.integers(1, 8),
        max_queue_rows=st.integers(8, 24),
        delay_s=st.sampled_from([0.0, 0.0, 2.0]),
    )
    def begin(self, max_batch_rows: int, max_queue_rows: int, delay_s: float) -> None:
        self.policy = BatchPolicy(max_batch_rows, max_queue_rows, max_queue_bytes=1000, max_delay_s=delay_s)
        self.queue: BatchQueue[Entry] = BatchQueue(self.policy)
        self.now_s = 0.0
        self.waiting: list[Entry] = []
        self.taken: list[Entry] = []
        self.ended: dict[Entry, str] = {}

    @rule(
        rows=st.integers(0, 30),
        key=st.sampled_from(["a", "b", "c", None]),
        patience_s=st.sampled_from([0.0, 1.0, 5.0, math.inf]),
        size_bytes=st.integers(0, 400),
    )
    def arrive(self, rows: int, key: str | None, patience_s: float, size_bytes: int) -> None:
        entry = Entry(rows, key, self.now_s + patience_s, self.now_s, size_bytes)
        fits = (
            sum(max(1, e.rows) for e in [*self.waiting, entry]) <= self.policy.max_queue_rows
            and sum(e.size_bytes for e in [*self.waiting, entry]) <= self.policy.max_queue_bytes
        )
        try:
            self.queue.put(entry)
        except (QueueFull, TooLarge):
            assert not fits
        else:
            assert fits
            self.waiting.append(entry)

    @rule(target=running, ahead_s=st.sampled_from([0.0, 0.5]))
    def take(self, ahead_s: float):  # type: ignore[no-untyped-def]
        self._expire(ahead_s)
        due_s = self.queue.due_s(self.now_s)
        batch = self.queue.take(self.now_s)
        assert (batch is not None) == (due_s is not None and due_s <= self.now_s)
        if batch is None:
            assert not self.waiting or self.policy.max_delay_s, "something waits, and nothing was taken"
            return multiple()
        self._check(batch, ahead_s)
        self.waiting = [entry for entry in self.waiting if entry not in batch.entries]
        self.taken += batch.entries
        return batch

    def _check(self, batch: Batch[Entry], ahead_s: float) -> None:
        entries, key = batch.entries, batch.entries[0].key
        same_key = [entry for entry in self.waiting if entry.key == key]
        assert entries == same_key[: len(entries)], "not first come, first served within the key"
        assert all(entry.deadline_s > self.now_s + ahead_s for entry in entries), "too late, and yet taken"
        assert batch.rows == sum(entry.rows for entry in entries)
        weight = sum(max(1, entry.rows) for entry in entries)
        assert len(entries) == 1 or (weight <= self.policy.max_batch_rows and key is not None)
        if key is not None and len(same_key) > len(entries):
            following = max(1, same_key[len(entries)].rows)
            assert weight + following > self.policy.max_batch_rows, "there was room for the next one"
        oldest = self.waiting[0]
        if not self.policy.max_delay_s or self.now_s >= oldest.arrived_s + self.policy.max_delay_s:
            assert oldest in entries, "the oldest request was passed over"

    @rule(batch=consumes(running))
    def answer(self, batch: Batch[Entry]) -> None:
        for entry in batch.entries:
            if entry.state is not FINISHED:
                entry.state = FINISHED
                self._end(entry, "answered")

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        known = [*self.waiting, *self.taken]
        if known:
            entry = data.draw(st.sampled_from(known))
            was_open = entry.state is not FINISHED
            assert self.queue.cancel(entry) == was_open
            if was_open:
                self._end(entry, "cancelled")

    @rule(step_s=st.sampled_from([0.0, 0.4, 1.0, 3.0]))
    def wait(self, step_s: float) -> None:
        self.now_s += step_s

    @rule()
    def expire(self) -> None:
        self._expire(0.0)

    def _expire(self, ahead_s: float) -> None:
        late = self.queue.expired(self.now_s, ahead_s)
        due = [e for e in self.waiting if e.deadline_s <= self.now_s + ahead_s]
        due += [e for e in self.taken if e.state is not FINISHED and e.deadline_s <= self.now_s]
        assert set(late) | set(due) == set(late), "late, and not given"
        assert late == sorted(late, key=lambda entry: entry.deadline_s)
        for entry in late:
            assert entry.deadline_s <= self.now_s + ahead_s
            self._end(entry, "expired")

    def _end(self, entry: Entry, how: str) -> None:
        assert entry not in self.ended, f"{how}, but it was {self.ended.get(entry)} already"
        assert entry.state is FINISHED
        self.ended[entry] = how
        self.waiting = [other for other in self.waiting if other is not entry]

    @invariant()
    def the_books_agree(self) -> None:
        if hasattr(self, "queue"):
            assert len(self.queue) == len(self.waiting)
            assert self.queue.queued_rows == sum(max(1, entry.rows) for entry in self.waiting)
            assert self.queue.queued_bytes == sum(entry.size_bytes for entry in self.waiting)
            open_ = [e for e in [*self.waiting, *self.taken] if e.state is not FINISHED]
            assert self.queue.next_deadline_s() == min((e.deadline_s for e in open_), default=math.inf)

    def teardown(self) -> None:
        """Whatever happened, what still waits can be had, and then everybody has had exactly one end."""
        if not hasattr(self, "queue"):
            return
        self._expire(0.0)
        self.queue.flush()
        while (batch := self.queue.take(self.now_s)) is not None:
            self.waiting = [entry for entry in self.waiting if entry not in batch.entries]
        assert not self.waiting
        assert self.queue.queued_rows == 0


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
