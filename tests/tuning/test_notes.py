"""What a tuning says about itself when it could not give what was asked."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rapide.tuning.configuration import Configuration
from rapide.tuning.knobs import Knobs
from rapide.tuning.notes import note
from rapide.tuning.proof import Measured, Proof
from rapide.tuning.search import Candidate
from rapide.tuning.simulator import Outcome
from tests.tuning.curves_of import curve_of
from tests.tuning.found_of import DEFAULT, found_of


def test_an_objective_that_holds_needs_no_note(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99<5ms")
    note(one)
    assert one.notes == []


def test_an_impossible_objective_is_told_with_what_would_be_possible(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99<60us")
    note(one)
    (told,) = one.notes
    assert "cannot be met here with any number of cores: one run alone takes 50 µs" in told
    assert "a limit above 100 µs" in told


def test_one_that_more_cores_would_hold_says_how_many(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99<3ms")
    note(one)
    (told,) = one.notes
    assert "No configuration holds" in told
    assert "p99 4 ms" in told
    assert "it takes one server like this one and 1 spare (4 cores in all): 2 workers" in told
    assert "rapide plan" in told


def test_a_variant_that_needs_fewer_cores_is_told_first(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99<3ms", rate_per_s=20_000)
    fast = curve_of(lambda rows: 5.0 * rows, Knobs("int8"))
    one.curves.append(fast)
    small = Configuration(2, fast.knobs.tuning)
    one.candidates = [Candidate(small, 0.003, Outcome(np.full(100, 0.003), 0.1, 0.5, 100, 0.05))]
    note(one)
    first, second = one.notes[0].split(", or ")
    assert "with the variant int8" in first
    assert "variant" not in second

    def cores(words: str) -> int:
        counted = re.search(r"\((\d+) cores in all", words)
        assert counted
        return int(counted[1])

    assert cores(first) < cores(second)


def test_a_choice_that_missed_where_another_held_says_which(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99<3ms")
    other = Configuration(1, DEFAULT.tuning)
    one.proofs.append(Proof(other, (Measured(np.full(100, 0.002), 0.1, 1, ""),)))
    note(one)
    (told,) = one.notes
    assert "The choice missed p99<3ms" in told
    assert other.words in told


def test_what_no_curve_is_known_of_is_left_out(tmp_path: Path) -> None:
    """The defaults are replayed, though none of their runs could be measured."""
    one = found_of(tmp_path, "p99<3ms")
    one.curves = [curve_of(lambda rows: 5.0 * rows, Knobs("int8"))]
    note(one)
    assert "`rapide plan` says how many cores" in one.notes[0]


def test_a_faster_load_lasts_as_long_as_the_recorded_one(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99<3ms")
    recorded = one.load
    one.speed = 2.5
    assert one.load.rate_per_s == pytest.approx(2.5 * recorded.rate_per_s, rel=0.02)
    assert recorded.duration_s <= one.load.duration_s < 1.5 * recorded.duration_s


def test_one_that_holds_at_no_load_is_told_to_ask_for_less(tmp_path: Path) -> None:
    """A run alone would do, but batches and the machine's stalls would not."""
    one = found_of(tmp_path, "p99<110us")
    assert one.costs
    one.costs = replace(one.costs, read_us=100.0)
    note(one)
    assert "more cores would not help" in one.notes[0]


def test_what_was_only_simulated_is_told_as_well(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99<1ms")
    one.proofs = []
    one.candidates = [Candidate(DEFAULT, 0.003, Outcome(np.full(100, 0.003), 0.1, 0.5, 100, 0.05))]
    note(one)
    assert "p99 3 ms" in one.notes[0]


def test_other_work_on_the_machine_is_told_whenever_it_was(tmp_path: Path) -> None:
    for before, meanwhile in ((0.6, 0.0), (0.0, 0.4)):
        one = found_of(tmp_path, "p99<5ms")
        one.others_before, one.others_meanwhile = before, meanwhile
        note(one)
        assert f"{before:.0%} of its cores before it began, {meanwhile:.0%} while it ran" in one.notes[0]


def test_a_generator_that_was_the_bottleneck_is_told(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99<5ms", limited="its process was busy 97% of the time")
    note(one)
    assert "The load generator limited what was measured: its process" in one.notes[0]


def test_what_of_the_profile_was_not_followed_is_told(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99<5ms")
    one.request = replace(one.request, left_out=("The sizes of ids[1] vary.",))
    note(one)
    assert one.notes == ["The sizes of ids[1] vary."]


def test_a_percentile_of_too_few_requests_is_told_to_be_the_slowest(tmp_path: Path) -> None:
    one = found_of(tmp_path, "p99.9<5ms")
    note(one)
    (told,) = one.notes
    assert "requests: of so few, p99.9 is the slowest one" in told
