"""What is recorded is what is read, by any process, at any moment, over any number of lives."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapide.server.telemetry.fold import fold
from rapide.server.telemetry.recorder import Finished
from rapide.server.telemetry.slot_reader import read_directory
from rapide.server.telemetry.version_block import (
    BLOCK,
    FOLD_EVERY,
    LABELS,
    OUTPUT_S,
    QUEUE_S,
    REASONS,
    RECENT,
    TOTALS,
    ring_slice,
)
from tests.server.telemetry.records import WALL_OFFSET_S, answer, context, telemetry, totals, versions


def test_one_request() -> None:
    source = telemetry()
    answer(source.recorder("cars", "2", "sha256:ab"), 10.0, rows=3)
    only = totals(source)
    assert (only.model, only.version, only.digest) == ("cars", "2", "sha256:ab")
    assert only.requests == {("stable", "grpc", "ok"): 1}
    assert only.reasons == {"ready": 1}
    assert only.sums["rows_sum"] == 3
    assert only.sums["duration_sum_s"].tolist() == [[0.005, 0, 0], [0, 0, 0]]
    assert only.sums["queue_sum_s"] == 0.001
    assert only.sums["request_stages_s"].tolist() == [0.002, 0, 0]
    assert only.first_arrival_s == only.last_arrival_s == 10.0


@pytest.mark.parametrize("number", [1, FOLD_EVERY - 1, FOLD_EVERY, FOLD_EVERY + 1, RECENT + 5, 3 * RECENT])
def test_every_request_is_counted_however_the_rings_wrap(number: int) -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for index in range(number):
        answer(recorder, 10.0 + index, rows=index % 7)
    only = totals(source)
    assert only.count("ok") == number
    assert only.reasons == {"ready": number}
    assert int(only.sums["queue"].sum()) == int(only.sums["compute"].sum()) == number
    assert only.sums["rows_sum"] == sum(index % 7 for index in range(number))
    ((instants, rows, forgot),) = only.recent
    kept = range(max(0, number + 1 - RECENT), number)
    assert forgot is (len(kept) < number)
    assert instants.tolist() == [10.0 + index for index in kept]
    assert rows.tolist() == [index % 7 for index in kept]


@pytest.mark.parametrize("late", [0, 1, 100, 3 * FOLD_EVERY])
def test_folds_that_come_late_change_nothing(late: int) -> None:
    """Called after ``late`` requests more, or not at all: then it folds by itself before a ring is full."""
    source, deferred = telemetry(), deque[Callable[[], None]]()
    source.start(deferred.append)
    recorder = source.recorder("cars", "2")
    number = waited = 0
    for _ in range(5 * FOLD_EVERY):
        answer(recorder, 10.0 + number, rows=number % 7)
        number += 1
        waited = waited + 1 if deferred else 0
        if deferred and waited > late:
            deferred.popleft()()
        assert len(deferred) <= 1
    for _ in range(2):  # before and after what was put off
        only = totals(source)
        assert only.count("ok") == number
        assert only.reasons == {"ready": number}
        assert int(only.sums["queue"].sum()) == int(only.sums["compute"].sum()) == number
        assert only.sums["rows_sum"] == sum(index % 7 for index in range(number))
        while deferred:
            deferred.popleft()()


def test_a_fold_comes_after_the_answers_that_are_being_made() -> None:
    source, deferred = telemetry(), deque[Callable[[], None]]()
    source.start(deferred.append)
    recorder = source.recorder("cars", "2")
    while not deferred:
        answer(recorder)
    before = recorder._sequence[0]
    answer(recorder)
    assert recorder._sequence[0] == before
    deferred.popleft()()
    assert recorder._sequence[0] == before + 1


def test_waits_of_a_huge_batch_are_all_counted() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    waits = [index * 1e-6 for index in range(3 * RECENT + 17)]
    recorder.batch(len(waits), len(waits), waits, 0.1, "full")
    only = totals(source)
    assert int(only.sums["queue"].sum()) == len(waits)
    assert float(only.sums["queue_sum_s"]) == pytest.approx(sum(waits))


def test_stages_count_once_per_request_of_a_batch() -> None:
    source = telemetry()
    source.recorder("cars", "2").batch(4, 10, [0.0] * 4, 0.25, "full", input_s=0.5, output_s=0.125)
    assert totals(source).sums["request_stages_s"].tolist() == [1.0, 2.0, 0.5]


def test_kinds_that_take_turns_are_told_apart() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    one, other = context("grpc"), context("http", label="canary", encoding="json")
    for asked, code in ((one, "ok"), (one, "ok"), (other, "ok"), (one, "internal"), (one, "ok"), (other, "ok")):
        recorder.finished(asked, code, 0.001, 1)
    unrouted = context(routed=False, encoding="")
    for _ in range(2):
        recorder.finished(unrouted, "not_found", 0.001, 0)
    assert totals(source).requests == {
        ("stable", "grpc", "ok"): 3,
        ("stable", "grpc", "internal"): 1,
        ("canary", "http", "ok"): 2,
        ("", "grpc", "not_found"): 2,
    }


def test_what_answers_took_counts_once_per_request_and_run() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for _ in range(3):
        recorder.batch(4, 10, [0.5] * 4, 0.25, "full")
        recorder.answered(10, 0.125)
    only = totals(source)
    assert only.sums["by_batch_rows"][10, [OUTPUT_S, QUEUE_S]].tolist() == [0.375, 6.0]
    assert only.sums["request_stages_s"].tolist() == [3.0, 0.0, 1.5]


def test_concurrency_is_what_was_in_flight_when_a_request_came() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for _ in range(3):
        recorder.arrival(10.0, 7)
        recorder.in_flight(+1)
    recorder.in_flight(-3)
    recorder.arrival(11.0, 7)
    only = totals(source)
    assert only.sums["concurrency"][:4].tolist() == [2, 1, 1, 0]
    assert only.sums["concurrency_sum"] == 3
    assert only.recent[0].rows.tolist() == [7] * 4
    assert only.sums["rows"][7] == 4


def test_a_count_that_went_below_nothing_spoils_no_rows() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    recorder.in_flight(-1)
    recorder.arrival(10.0, 7)
    assert totals(source).recent[0].rows.tolist() == [7]


def test_deadlines_and_overhead_of_answered_requests() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for budget_s, duration_s, code in (
        (0.5, 0.0625, "ok"), (0.5, 0.75, "ok"), (math.inf, 0.0625, "ok"), (0.5, 0.5, "deadline_exceeded"),
    ):  # fmt: skip
        asked = context(received_s=10.0)
        asked.deadline_s = 10.0 + budget_s
        asked.queue_s, asked.compute_s = 0.03125, 0.015625
        recorder.finished(asked, code, duration_s, 1)
    sums = totals(source).sums
    assert (sums["budget"].sum(), sums["budget_sum_s"]) == (2, 1.0)
    assert (sums["slack"].sum(), sums["slack_sum_s"], sums["slack"][0]) == (2, 0.4375, 1)
    assert (sums["overhead"].sum(), sums["overhead_sum_s"]) == (3, 0.875 - 3 * 0.046875)


def test_gauges_show_the_present() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    recorder.in_flight(+1)
    recorder.in_flight(+1)
    recorder.in_flight(-1)
    recorder.waiting(3, 12)
    recorder.state("ready")
    only = totals(source)
    assert (only.in_flight, only.waiting_requests, only.waiting_rows) == (1, 3, 12)
    assert only.states == {"ready": 1}


def test_labels_and_reasons_beyond_the_bound_are_other() -> None:
    """Both come from our side, but neither may make time series without end."""
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for index in range(20):
        recorder.finished(context(label=f"label-{index}"), "ok", 0.001, 1)
        recorder.batch(1, 1, [0.0], 0.001, f"reason-{index}")
    only = totals(source)
    assert {label for label, _, _ in only.requests} == {f"label-{index}" for index in range(LABELS - 2)} | {
        "other"
    }
    assert only.requests["other", "grpc", "ok"] == 20 - (LABELS - 2)
    assert only.reasons == {f"reason-{index}": 1 for index in range(REASONS - 2)} | {"other": 20 - (REASONS - 2)}


def test_what_a_caller_may_choose_makes_no_series() -> None:
    source = telemetry()
    recorder = source.unrouted
    for index in range(50):
        unknown = context(f"protocol-{index}", encoding=f"encoding-{index}", routed=False)
        unknown.label = f"label-{index}"
        recorder.finished(unknown, f"code-{index}", 0.001, 0)
    assert totals(source).requests == {("", "other", "other"): 50}


def test_observers_see_finished_requests_only_while_they_are_wanted() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    seen: list[Finished] = []
    recorder.finished(context(), "ok", 0.1, 1)
    source._observers.append(seen.append)
    asked = context()
    recorder.finished(asked, "queue_full", 0.2, 3)
    source._observers.clear()
    recorder.finished(context(), "ok", 0.3, 1)
    assert seen == [Finished(asked, "cars", "2", "queue_full", 0.2, 3)]


def test_a_replaced_worker_goes_on_counting(tmp_path: Path) -> None:
    for life in range(1, 4):
        source = telemetry(tmp_path)
        recorder = source.recorder("cars", "2", f"sha256:{life}")
        recorder.in_flight(+1)
        recorder.waiting(1, 1)
        for index in range(700):
            answer(recorder, 1000.0 * life + index, label=f"label-{life}")
        only = totals(source)
        assert only.count("ok") == 700 * life
        assert only.sums["by_batch_rows"][:, 0].sum() == 700 * life
        assert only.requests["label-1", "grpc", "ok"] == 700
        assert only.digest == f"sha256:{life}"
        assert (only.in_flight, only.waiting_rows) == (1, 1)
        source.close()


CHILD = """
import pathlib, sys
from tests.server.telemetry.records import answer, telemetry
recorder = telemetry(pathlib.Path(sys.argv[1])).recorder("cars", "2")
recorder.in_flight(+1)
print("ready", flush=True)
number = 0
while True:
    answer(recorder, 10.0 + number, rows=2)
    number += 1
"""


def test_a_reader_always_finds_whole_figures_also_of_a_killed_worker(tmp_path: Path) -> None:
    """One request writes in four places: a figure may be one request ahead of the next, but none may go back."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            before = 0
            for _ in range(100):
                before = check_whole(tmp_path, before, alive=True)
        finally:
            child.kill()
    at_death = check_whole(tmp_path, before, alive=False)
    successor = telemetry(tmp_path)
    answer(successor.recorder("cars", "2"), 1e9, rows=2)
    assert totals(successor).count("ok") in (at_death, at_death + 1)
    successor.close()


def check_whole(directory: Path, before: int, *, alive: bool) -> int:
    (slot,) = read_directory(directory, WALL_OFFSET_S)
    (version,) = slot.versions
    arrivals, finished, batches, waits = version.totals["folded"].tolist()
    assert arrivals >= batches >= waits >= finished >= arrivals - 1
    assert version.totals["rows"].sum() == arrivals >= before
    assert version.totals["rows_sum"] == 2 * arrivals
    assert version.totals["requests"].sum() == version.totals["duration"].sum() == finished
    assert version.totals["by_batch_rows"][2].tolist()[:3] == [batches, batches, 2 * batches]
    assert version.totals["queue"].sum() == waits
    assert min(arrivals, RECENT - FOLD_EVERY) <= len(version.arrivals_s) <= min(arrivals, RECENT - 1)
    assert np.all(np.diff(version.arrivals_s) == 1.0)
    assert slot.alive is alive
    assert version.gauges[0] == int(alive)
    return int(arrivals)


def test_a_thread_may_read_while_the_loop_records() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    stop = threading.Event()
    counts: list[int] = []

    def read() -> None:
        while not stop.is_set():
            counts.append(totals(source).count("ok"))

    reader = threading.Thread(target=read)
    reader.start()
    for index in range(20_000):
        answer(recorder, 10.0 + index)
    stop.set()
    reader.join()
    assert counts == sorted(counts)
    assert totals(source).count("ok") == 20_000


def test_a_ring_slice_is_what_a_list_would_give() -> None:
    ring = np.arange(8)
    for start in range(20):
        for stop in range(start, start + 9):
            written = {number % 8: number for number in range(stop)}
            ring[:] = [written.get(place, -1) for place in range(8)]
            assert ring_slice(ring, start, stop).tolist() == list(range(start, stop))


ENTRIES = st.lists(
    st.tuples(
        st.floats(0, 2000),  # gap before the arrival, s
        st.integers(0, 100_000),  # rows
        st.floats(0, 200),  # duration, s
        st.integers(0, 2**31),  # payload
        st.sampled_from(["ok", "internal", "queue_full"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(ENTRIES, st.lists(st.integers(0, 60), max_size=5))
def test_totals_do_not_depend_on_when_they_are_folded(
    entries: list[tuple[float, int, float, int, str]], folds: list[int]
) -> None:
    """The writer folds in pieces, a reader folds the rest: the same totals as folding all at once."""
    pieces, whole = telemetry(), telemetry()
    for source, fold_at in ((pieces, set(folds)), (whole, set())):
        recorder = source.recorder("cars", "2")
        now_s = 5.0
        for index, (gap_s, rows, duration_s, payload_bytes, code) in enumerate(entries):
            now_s += gap_s
            if index in fold_at:
                recorder.fold()
            recorder.arrival(now_s, rows)
            recorder.batch(1, rows, [duration_s / 2], duration_s / 4, "ready")
            recorder.finished(context(payload_bytes=payload_bytes), code, duration_s, rows)
    (left,), (right,) = versions(pieces), versions(whole)
    for name in TOTALS.names or ():
        np.testing.assert_allclose(left.totals[name], right.totals[name], rtol=1e-9, err_msg=name)


def test_a_clock_that_goes_back_makes_gaps_of_nothing() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for now_s in (10.0, 12.0, 11.0, 11.5, 13.0):
        recorder.arrival(now_s, 1)
        if now_s == 12.0:
            recorder.fold()
    only = totals(source)
    assert only.sums["gap_sum_s"] == pytest.approx(2.0 + 0.0 + 0.5 + 1.5)
    assert (only.first_arrival_s, only.last_arrival_s) == (10.0, 13.0)
    assert sum(only.seconds.values()) == 5


def test_folding_nothing_changes_nothing() -> None:
    block = np.zeros((), dtype=BLOCK)
    into = np.zeros((), dtype=TOTALS)
    fold(into, block, (0, 0, 0, 0), WALL_OFFSET_S)
    assert into.tobytes() == bytes(TOTALS.itemsize)
