from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rapide.loadtests import slo
from rapide.loadtests.replay.result import ReplayResult
from rapide.loadtests.wire.connection import LOST, NOT_SENT, TIMED_OUT
from tests.loadtests.replay.results import result

HUNDRED = np.arange(1, 101) / 1000
"""1 to 100 ms."""


def test_percentiles_are_those_of_requests_and_not_interpolated() -> None:
    found = result(HUNDRED)
    assert [found.percentile_s(q) for q in (0, 1, 50, 99, 99.5, 100)] == [0.001, 0.001, 0.05, 0.099, 0.1, 0.1]


def test_what_was_not_answered_well_was_never_answered() -> None:
    codes = np.zeros(100, np.int16)
    codes[:2] = 8, TIMED_OUT
    found = result(HUNDRED, codes)
    assert (found.requests, found.answered, found.failures) == (100, 98, 2)
    assert found.percentile_s(98) == 0.1
    assert found.percentile_s(98.5) == float("inf")
    assert found.counts() == {"timed out": 1, "OK": 98, "RESOURCE_EXHAUSTED": 1}
    (verdict,) = slo.judge(slo.parse("p99<1s"), found)
    assert not verdict.holds


def test_what_was_not_sent_does_not_count() -> None:
    codes = np.zeros(100, np.int16)
    codes[50:] = NOT_SENT
    found = result(HUNDRED, codes)
    assert (found.requests, found.answered) == (50, 50)
    assert found.percentile_s(100) == 0.05
    assert found.duration_s == pytest.approx(0.49)
    assert found.to_json()["not_sent"] == 50


def test_rates_are_of_what_was_due_and_of_what_was_answered() -> None:
    found = result(np.full(101, 0.25), rate_per_s=100)
    assert found.offered_rate_per_s == pytest.approx(100)
    assert found.achieved_rate_per_s == pytest.approx(101 / 1.25)


@pytest.mark.parametrize(
    ("lateness_s", "busy", "words"),
    [
        (1e-5, [0.3], ""),
        (2e-3, [0.3], ""),
        (np.where(np.arange(100) > 90, 0.05, 0.0), [0.3], "at p99 it sent 50 ms late, of a latency of 99 ms"),
        (0.02, [0.3], "at p50 it sent 20 ms late"),
        (1e-5, [0.3, 0.95], "a process of the generator was busy 95% of the time"),
    ],
)
def test_a_generator_that_measured_itself_says_so(lateness_s: object, busy: list[float], words: str) -> None:
    found = result(HUNDRED, lateness_s=lateness_s, busy=busy)  # type: ignore[arg-type]
    assert words in found.generator_limited
    assert bool(found.generator_limited) is bool(words)


def test_lateness_below_the_timers_is_no_reason_for_a_warning() -> None:
    assert not result(np.full(100, 60e-6), lateness_s=40e-6).generator_limited


def test_nothing_measured_is_said_as_such() -> None:
    found = result([], [])
    assert np.isnan(found.percentile_s(99))
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["latency_ms"]["p99"] is None
    assert found.generator_limited == ""


def test_one_models_part() -> None:
    found = result([0.1, 0.2, 0.3, 0.4], models=[0, 1, 2, 0], names=("a", "b", "a"))
    assert found.of_model("a").latency_s.tolist() == [0.1, 0.3, 0.4]
    assert found.of_model("b").latency_s.tolist() == [0.2]


def test_parts_of_several_hosts_are_one_replay() -> None:
    first = result([0.1, 0.3], models=[0, 1], names=("a", "b"), busy=[0.2], errors={8: "full"})
    second = result([0.2, 0.4, 0.6], [0, 8, 0], names=("b",), busy=[0.5], stopped="interrupted", rate_per_s=75)
    whole = ReplayResult.merged([first, second])
    assert whole.latency_s.tolist() == [0.1, 0.2, 0.3, 0.4, 0.6]
    assert [whole.names[model] for model in whole.models] == ["a", "b", "b", "b", "b"]
    assert (whole.answered, whole.busy, whole.stopped) == (4, [0.2, 0.5], "interrupted")
    assert whole.errors == {8: "full"}


def test_a_saved_result_reads_back_as_it_was(tmp_path: Path) -> None:
    found = result(HUNDRED, errors={LOST: "gone"}, stopped="interrupted", skipped_s=3.0)
    found.save(tmp_path / "a.npz")
    read = ReplayResult.load(tmp_path / "a.npz")
    assert read.to_json() == found.to_json()
    assert (read.latency_s == found.latency_s).all()


def test_another_file_is_no_saved_result(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    (tmp_path / "b.npz").write_text("text")
    (tmp_path / "c.npz").write_bytes(b"")
    (tmp_path / "d.npz").write_bytes(b"PK\x03\x04 cut")
    found = result(HUNDRED)
    replace(found, latency_s=found.latency_s[:5]).save(tmp_path / "e.npz")
    replace(found, codes=found.codes.astype(np.float64)).save(tmp_path / "f.npz")
    replace(found, models=found.models + 1).save(tmp_path / "g.npz")
    for name in "abcdefg":
        with pytest.raises(ValueError, match=rf"{name}\.npz was not saved by a replay"):
            ReplayResult.load(tmp_path / f"{name}.npz")
    with pytest.raises(ValueError, match=r"no\.npz cannot be read: No such file"):
        ReplayResult.load(tmp_path / "no.npz")
