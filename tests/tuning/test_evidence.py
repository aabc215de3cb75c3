from __future__ import annotations

import json
from pathlib import Path

import pytest

from rapide.tuning.configuration import default_configuration
from rapide.tuning.evidence import accuracy, replays
from rapide.tuning.evidence.page import page
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
    row = accuracy.Comparison("linear", 1, default, "steady", 100.0, simulations, rounds, apart, None, 0.1, "")
    assert row.measured == (0.11, 0.3)
    assert row.predicted == (0.2, 0.3)
    assert row.to_json()["apart_ms"] == [[200.0, 400.0], [110.0, 4000.0]]
    assert row.to_json()["calibrated_ms"] is None


def test_a_page_without_figures_claims_nothing() -> None:
    assert "##" not in page({})
