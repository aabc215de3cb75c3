from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from rapide.tuning.configuration import default_configuration
from rapide.tuning.evidence import accuracy, replays
from rapide.tuning.evidence.page.accuracy import accuracy as accuracy_section
from rapide.tuning.evidence.page.whole import page
from rapide.tuning.evidence.subjects import EDITION
from tests.tuning.curves_of import curve_of

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_its_figures_say() -> None:
    """After a change by hand, or of the code that renders: scripts/tuning render."""
    assert (DOCS / "tuning.md").read_text() == page(json.loads((DOCS / "tuning.json").read_text()))


def test_the_figures_are_of_the_models_that_the_code_trains() -> None:
    """After a change of tuning/evidence/subjects.py all of scripts/tuning has to be measured anew."""
    assert json.loads((DOCS / "tuning.json").read_text())["edition"] == EDITION


def test_a_flood_comes_out_of_nothing() -> None:
    curve = curve_of(lambda rows: 20 + 1.0 * rows)
    arrivals = replays.loads(curve)["idle-flood"]
    assert arrivals.instants_s[1] - arrivals.instants_s[0] > 0.9
    assert arrivals.duration_s < replays.SECONDS
    rate_per_s = (arrivals.count - 1) / (arrivals.duration_s - replays.IDLE_S)
    assert rate_per_s == pytest.approx(replays.loads(curve)["steady"].rate_per_s, rel=0.1)


def test_what_is_compared_are_the_medians_of_rounds_and_simulations() -> None:
    """One round of three met a pause of the machine."""
    rounds, simulations = ((0.1, 0.2), (0.12, 5.0), (0.11, 0.3)), ((0.1, 0.4), (0.2, 0.25), (0.3, 0.3))
    apart = ((0.2, 0.4), (0.11, 4.0))
    default = default_configuration(1)
    row = accuracy.Comparison("linear", 1, default, "steady", 100.0, simulations, rounds, apart, None, 0.1, 0)
    assert row.measured == (0.11, 0.3)
    assert row.predicted == (0.2, 0.3)
    assert row.to_json()["apart_ms"] == [[200.0, 400.0], [110.0, 4000.0]]
    assert row.to_json()["calibrated_ms"] is None


def test_reasons_are_shown_for_the_figures_that_they_were_written_for() -> None:
    document = json.loads((DOCS / "tuning.json").read_text())
    document["remarks"] = {"plans": {"of": document["measured"]["plans"], "texts": ["It rained."]}}
    assert "* It rained." in page(document)
    document["measured"]["plans"] = "later"
    assert "It rained" not in page(document)


def row_of(predicted_ms: float, *rounds_ms: float) -> dict[str, Any]:
    """One configuration, whose p50 and p99 are the same."""
    measured_ms = statistics.median(rounds_ms)
    return {
        "model": "m",
        "cores": 1,
        "configuration": "1 worker",
        "profile": "steady",
        "rate_per_s": 100,
        "predicted_ms": [predicted_ms] * 2,
        "measured_ms": [measured_ms] * 2,
        "rounds_ms": [[each] * 2 for each in rounds_ms],
        "apart_ms": [[1.0, 1.0], [1.0, 1.0]],
        "calibrated_ms": None,
        "busy": 0.1,
        "limited": 5,
    }


@pytest.mark.parametrize(
    ("predicted_ms", "told"),
    [
        (1.0, "1 of 1 are near for certain, 0 off for certain; for 0 the"),
        (1.21, "0 of 1 are near for certain, 0 off for certain; for 1 the"),
        (1.5, "0 of 1 are near for certain, 1 off for certain; for 0 the"),
        (0.7, "0 of 1 are near for certain, 1 off for certain; for 0 the"),
    ],
)
def test_off_for_certain_is_what_the_replays_leave_no_doubt_about(predicted_ms: float, told: str) -> None:
    """The median of eight replays is between the second and the seventh: 0.95 and 1.05."""
    row = row_of(predicted_ms, 0.5, 0.95, 0.98, 1.0, 1.0, 1.02, 1.05, 2.0)
    said = "\n".join(accuracy_section([row]))
    assert f"* p50: {told}" in said
    assert "1 worker ‡ | steady" in said, "the generator was the bottleneck in five of eight"


def test_two_levels_of_a_machine_tell_nothing() -> None:
    said = "\n".join(accuracy_section([row_of(1.0, 0.5, 0.5, 0.5, 0.5, 2.0, 2.0, 2.0, 2.0)]))
    assert "for 1 the replays do not tell" in said


def test_what_a_faultless_simulator_would_reach_follows_from_how_replays_scatter() -> None:
    quiet, wild = (
        "\n".join(accuracy_section([row_of(1.0, *(1.0 + share * number for number in range(8)))]))
        for share in (0.001, 2.0)
    )
    assert "would be near in some 1 of 1" in quiet
    assert "would be near in some 0 of 1" in wild


def test_a_page_without_figures_claims_nothing() -> None:
    assert "##" not in page({})
