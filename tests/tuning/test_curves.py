"""The exploration with a measurer made of formulas, and one real child process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rapide.tuning.curve import Curve
from rapide.tuning.curves import Curves, Subject, explore, in_child, read_findings, sizes_for
from rapide.tuning.errors import TuningError
from rapide.tuning.knobs import Knobs
from tests import models
from tests.tuning.curves_of import curve_of

SUBJECT = Subject("models", "m", 1, ("", "int8"), 64)
CORES = 3
"""Threads that spin leave one to others."""


class Formulas:
    """Two threads are half as slow beyond 32 rows; int8 is never better; spinning helps two threads a lot."""

    def __init__(self) -> None:
        self.asked: list[Knobs] = []

    def __call__(self, knobs: Knobs, rows: Sequence[int], against: dict[str, float]) -> Curve | str:
        self.asked.append(knobs)
        if knobs.variant == "int8" and knobs.threads == 2:
            return "int8 with 2 threads: broken"
        base = {1: 10.0, 2: 10.0 if knobs.spinning else 30.0}.get(knobs.threads, 500.0)
        slope = 1.0 / knobs.threads
        return curve_of(lambda n: (base + slope * n) * (1.5 if knobs.variant else 1.0), knobs, rows)


def steps(_text: str, share: float) -> None:
    assert 0 <= share <= 1


def test_only_what_may_be_best_is_kept_and_turned() -> None:
    measure, known = Formulas(), Curves()
    kept = [curve.knobs for curve in explore(SUBJECT, CORES, measure, known, steps)]
    assert kept[0] == Knobs(), "what the server takes by itself stays, whatever it costs"
    assert Knobs(threads=2, spinning=True) in kept
    assert not any(knobs.variant for knobs in kept)
    assert known.failed == {Knobs("int8", 2): "int8 with 2 threads: broken"}
    assert not any(knobs.variant and not knobs.arena for knobs in measure.asked), (
        "dominated: not turned any further"
    )


def test_what_is_known_is_not_measured_again() -> None:
    known = Curves()
    explore(SUBJECT, CORES, Formulas(), known, steps)
    again = Formulas()
    explore(SUBJECT, CORES, again, known, steps)
    assert again.asked == []


def test_when_time_is_over_what_is_known_has_to_do() -> None:
    measure, known = Formulas(), Curves()
    kept = explore(SUBJECT, CORES, measure, known, steps, over=lambda: len(measure.asked) >= 2)
    assert measure.asked == [Knobs(), Knobs(threads=2)]
    assert {curve.knobs for curve in kept} <= {Knobs(), Knobs(threads=2)}
    assert [curve.knobs for curve in explore(SUBJECT, CORES, Formulas(), Curves(), steps, over=lambda: True)] == [
        Knobs()
    ]


def test_a_model_that_cannot_be_measured_is_told() -> None:
    with pytest.raises(TuningError, match="m/1 cannot be measured: no such operator"):
        explore(SUBJECT, 1, lambda knobs, rows, against: "no such operator", Curves(), steps)


def test_sizes_follow_the_requests() -> None:
    assert sizes_for(Subject("", "m", 1, ("",), 1))[-1] == 256
    assert sizes_for(Subject("", "m", 1, ("",), 200))[-1] == 256
    assert sizes_for(Subject("", "m", 1, ("",), 100_000))[-1] == 1024


def test_a_real_child_measures_a_real_model(tmp_path: Path) -> None:
    models.repository(tmp_path, {"m": {1: models.slow(100)}})
    subject = Subject(str(tmp_path), "m", 1, ("",), 8)
    curve = in_child(subject, [0], effort=0.1)(Knobs(), (1, 8), {})
    assert isinstance(curve, Curve), curve
    one, eight = curve.points
    assert 10 < one.low_us <= one.us <= one.high_us
    assert one.us < eight.us < 8 * one.us
    assert curve.load_ms > 0


def test_a_child_that_is_hopeless_gives_up(tmp_path: Path) -> None:
    models.repository(tmp_path, {"m": {1: models.slow(100)}})
    measure = in_child(Subject(str(tmp_path), "m", 1, ("",), 8), [0], effort=0.1)
    curve = measure(Knobs(), (1, 2, 4, 8, 16, 32), {str(rows): 0.1 for rows in (1, 2, 4, 8, 16, 32)})
    assert isinstance(curve, Curve), curve
    assert len(curve.points) < 6


def test_why_a_child_failed_is_said(tmp_path: Path) -> None:
    models.repository(tmp_path, {"m": {1: models.unknown_operator()}})
    found = in_child(Subject(str(tmp_path), "m", 1, ("",), 8), [0])(Knobs(), (1,), {})
    assert isinstance(found, str)
    assert "Telepathy" in found
    died = read_findings(Knobs(), "", "Segmentation fault\n", -11)
    assert died == "model.onnx, 1 thread: its process ended with code -11. Segmentation fault"
