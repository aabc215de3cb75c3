"""How a calibration asks."""

from __future__ import annotations

import pytest

from rapide.profiles.synthetic import synthetic_arrivals
from rapide.tuning import calibration
from rapide.tuning.calibration import Turn, configurations, turns
from rapide.tuning.configuration import ALWAYS_INLINE_US, default_configuration
from rapide.tuning.served import Site
from tests.tuning.curves_of import curve_of


@pytest.mark.parametrize(
    ("row_us", "ways"), [(2.0, [0.0, ALWAYS_INLINE_US]), (100.0, [0.0])], ids=["fast", "too slow for the loop"]
)
def test_a_calibration_runs_the_model_both_ways_where_that_can_be(row_us: float, ways: list[float]) -> None:
    """Not "as it runs by itself": near the limit that is now this and now that, and tells of neither."""
    asked = configurations(curve_of(lambda rows: 70 + row_us * rows), 1)
    assert [each.tuning.inline_below_us for each in asked] == ways
    assert {each.workers for each in asked} == {1}


def test_everything_is_asked_by_turns_forwards_and_backwards() -> None:
    """What drifts meanwhile hits all alike: the mean place in line is the same for everybody."""
    ways = configurations(curve_of(lambda rows: 70 + 2 * rows), 1)
    profile = Turn(default_configuration(2), [])
    all_turns = turns(profile, [Turn(way, []) for way in ways])
    places = {way: [place for place, turn in enumerate(all_turns) if turn.configuration == way] for way in ways}
    assert {sum(each) / len(each) for each in places.values()} == {3.0}
    assert [place for place, turn in enumerate(all_turns) if turn is profile] == [0, 3, 6]


def test_when_time_is_over_everything_was_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of slow traffic each turn takes long."""
    curve, asked = curve_of(lambda rows: 70 + 2 * rows), []
    monkeypatch.setattr(calibration, "asked", lambda _site, turn: asked.append(turn.configuration) or ())
    site = Site("models", "m", 1, "sha256:0", (0, 1), None)
    traffic = synthetic_arrivals("steady", rate_per_s=100, duration_s=1)
    calibration.observe(site, curve, 1, traffic, lambda *_: None, over=lambda: True)
    assert asked == [default_configuration(2), *configurations(curve, 1)]
    asked.clear()
    calibration.observe(site, curve, 1, traffic, lambda *_: None)
    assert len(asked) == 7
