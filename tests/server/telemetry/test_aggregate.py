"""Workers merge into the server: the sum of what each recorded is what one worker with all requests records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rapide.server.telemetry.aggregate import Recent, VersionTotals, aggregate, union_of_recent
from rapide.server.telemetry.version_block import SECONDS
from tests.server.telemetry.records import answer, context, telemetry, totals, versions

PER_WORKER = ("gap", "gap_sum_s", "burst")
"""What only one worker can see: gaps and bursts of *its* arrivals."""


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),  # worker
            st.floats(1e-6, 400),  # gap before the arrival, s: equal instants have no order to compare
            st.integers(0, 300),  # rows
            st.sampled_from(["stable", "canary", ""]),
            st.sampled_from(["ok", "queue_full", "internal"]),
            st.sampled_from(["grpc", "http"]),
            st.sampled_from(["ready", "full", "delay"]),
        ),
        max_size=50,
    )
)
def test_the_sum_of_workers_is_the_worker_that_saw_all(
    requests: list[tuple[int, float, int, str, str, str, str]],
) -> None:
    workers, single = [telemetry() for _ in range(3)], telemetry()
    now_s = 5.0
    for worker, gap_s, rows, label, code, protocol, reason in requests:
        now_s += gap_s
        for source in (workers[worker], single):
            recorder = source.recorder("cars", "2", "sha256:ab")
            recorder.arrival(now_s, rows)
            recorder.batch(1, rows, [rows / 1000], rows / 500, reason)
            recorder.finished(context(protocol, label=label), code, rows / 100, rows)
    merged = aggregate(version for source in workers for version in versions(source))
    alone = aggregate(versions(single))
    assert len(merged) == len(alone) == (1 if requests else 0)
    for left, right in zip(merged, alone, strict=True):
        same(left, right)


def same(left: VersionTotals, right: VersionTotals) -> None:
    assert (left.requests, left.reasons, left.seconds) == (right.requests, right.reasons, right.seconds)
    assert (left.first_arrival_s, left.last_arrival_s) == (right.first_arrival_s, right.last_arrival_s)
    for name in left.sums.keys() - set(PER_WORKER):
        np.testing.assert_allclose(left.sums[name], right.sums[name], rtol=1e-9, err_msg=name)
    for mine, theirs in zip(union_of_recent(left.recent), union_of_recent(right.recent), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_files_of_several_workers_are_one_truth(tmp_path: Path) -> None:
    workers = [telemetry(tmp_path, slot) for slot in range(3)]
    for number, worker in enumerate(workers):
        recorder = worker.recorder("cars", "2")
        recorder.in_flight(number)
        recorder.state("ready" if number else "loading")
        for label in ("a", "b")[:number]:
            answer(recorder, label=label)
    for reader in workers:
        only = totals(reader)
        assert only.requests == {("a", "grpc", "ok"): 2, ("b", "grpc", "ok"): 1}
        assert only.in_flight == 3
        assert only.states == {"ready": 2, "loading": 1}


def test_a_dead_workers_counters_stay_and_its_gauges_go(tmp_path: Path) -> None:
    snapshots = []
    for slot in range(2):
        source = telemetry(slot=slot)
        recorder = source.recorder("cars", "2")
        recorder.in_flight(5)
        answer(recorder)
        snapshots += versions(source)
    living, other = snapshots
    dead = type(other)(
        **{name: getattr(other, name) for name in other.__slots__} | {"alive": False, "gauges": (0,) * 4}
    )
    (only,) = aggregate([living, dead])
    assert (only.count("ok"), only.in_flight, sum(only.states.values())) == (2, 5, 1)


def test_versions_are_sorted_by_number() -> None:
    source = telemetry()
    for version in ("10", "9", "x"):
        source.recorder("cars", version)
    source.recorder("boats", "1")
    names = [(entry.model, entry.version) for entry in aggregate(versions(source))]
    assert names == [("boats", "1"), ("cars", "x"), ("cars", "9"), ("cars", "10")]


def test_seconds_older_than_the_ring_are_left_out() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for now_s in (10.0, 10.5, 11.0, 10.0 + SECONDS, 10.9 + SECONDS):
        recorder.arrival(now_s, 1)
    offset = 1_700_000_000
    assert totals(source).seconds == {offset + 11: 1, offset + 10 + SECONDS: 2}


def test_recent_arrivals_begin_where_no_worker_has_forgotten_any() -> None:
    cut = Recent(np.array([5.0, 6.0]), np.array([1, 2]), forgot=True)
    whole = Recent(np.array([4.0, 5.5]), np.array([3, 4]), forgot=False)
    instants, rows = union_of_recent([cut, whole])
    assert instants.tolist() == [5.0, 5.5, 6.0]
    assert rows.tolist() == [1, 4, 2]


def test_bursts_count_the_window_that_is_still_open() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for now_s in (1.0, 1.001, 1.002, 2.5):
        recorder.arrival(now_s, 1)
    only = totals(source)
    assert [counts.nonzero()[0].tolist() for counts in only.sums["burst"]] == [[1, 3], [1, 3], [1, 3]]
    assert only.burst_max == [3, 3, 3]
