"""Plots are well-formed SVG in the page's colours, and show what they are given."""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from rapide.reports import plots
from rapide.reports.drawing import NoMatplotlib
from rapide.reports.series import MOST_POINTS
from rapide.reports.theme import COLOURS

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> tuple[ET.Element, str]:
    """The picture and all of its text. Stand-in colours must have been replaced."""
    assert not [colour for colour in COLOURS if colour.stand_in in svg]
    assert svg.startswith("<svg role=")
    root = ET.fromstring(svg)
    return root, " ".join("".join(text.itertext()) for text in root.iter(f"{SVG}text"))


def test_lines() -> None:
    series = [
        plots.Series("measured", [1, 2, 3], [10, 20, 15]),
        plots.Series("limit <1>", [1, 3], [18, 18], "dashed"),
        plots.Series("points", [1, 2], [5, 6], "points"),
        plots.Series("steps", [1, 2], [7, 8], "step"),
    ]
    svg = plots.lines(series, x="time [s]", y="requests/s", title="Rate & more")
    root, text = parsed(svg)
    for name in ("measured", "limit <1>", "points", "steps", "time [s]", "requests/s", "Rate & more"):
        assert name in text
    assert root.get("aria-label") == "Rate & more"
    for index in range(1, 5):
        assert f"var(--series-{index}, " in svg


def test_dollar_signs_in_names_are_no_formulas() -> None:
    series = [plots.Series("a $x^$ b", [1, 2], [1, 2]), plots.Series("c", [1, 2], [1, 2])]
    _, text = parsed(plots.lines(series, x="$_$", y="y", title="in $ or $^"))
    for name in ("a $x^$ b", "$_$", "in $ or $^"):
        assert name in text
    assert "$\\frac{$" in parsed(plots.bars(["$\\frac{$", "b"], [1, 2], y=""))[1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("count", "letters"), [(10, 22), (8, 55), (2, 5)])
def test_many_long_names_leave_room_for_the_curves(count: int, letters: int) -> None:
    """matplotlib warns where it has none, and draws nothing."""
    series = [plots.Series(f"{number:x<{letters}}", [0.1, 0.5, 0.99], [1, 2, 3]) for number in range(count)]
    plots.quantiles(series, y="ms", title="Latency by percentile")


@pytest.mark.filterwarnings("error")
def test_names_in_any_script_are_kept_without_a_warning() -> None:
    assert "車 ماركة" in parsed(plots.bars(["車 ماركة", "b"], [1, 2], y="", title="日本語"))[1]


def test_an_axis_may_begin_at_zero() -> None:
    series = [plots.Series("a", [1, 2, 3], [1005, 1010, 1015])]
    for from_zero in (False, True):
        _, text = parsed(plots.lines(series, x="", y="", from_zero=from_zero))
        assert ("200" in text.split()) is from_zero


def test_a_plot_has_no_ids_that_another_could_have() -> None:
    one = plots.lines([plots.Series("a", [1, 2], [3, 4])], x="", y="")
    groups = [element.get("id") for element in ET.fromstring(one).iter(f"{SVG}g")]
    assert set(groups) == {None}


def test_the_same_plot_is_the_same_text() -> None:
    draw = [plots.bars(["a"], [1.0], y="") for _ in range(2)]
    assert draw[0] == draw[1]


def test_on_a_logarithmic_axis_what_is_not_positive_is_left_out() -> None:
    series = [plots.Series("a", [0, 1, 10, 100], [0, 1, -5, float("nan")])]
    _, text = parsed(plots.lines(series, x="", y="", log_x=True, log_y=True))
    assert "1" in text


def test_nothing_to_show_is_an_empty_plot() -> None:
    empty = plots.Series("none", [], [])
    parsed(plots.lines([empty], x="", y="", log_y=True))
    parsed(plots.quantiles([plots.ranked("none", [])], y=""))
    parsed(plots.bars([], [], y=""))
    parsed(plots.histogram([0.0], [], x=""))


def test_bars_name_every_label() -> None:
    labels = [f"model-{index}" for index in range(20)]
    _, text = parsed(plots.bars(labels, list(range(20)), y="rows"))
    assert all(label in text for label in labels)


def test_histogram() -> None:
    _, text = parsed(plots.histogram([0, 1e-3, 1e-2], [5, 2000], x="gap [s]", y="requests", log_x=True))
    assert "gap [s]" in text
    assert "2k" in text
    with pytest.raises(ValueError, match="2 counts need 3 edges, got 2"):
        plots.histogram([0, 1], [5, 6], x="")


def test_quantiles_reach_as_far_as_the_samples() -> None:
    _, few = parsed(plots.quantiles([plots.ranked("few", np.arange(1, 101))], y="ms"))
    _, many = parsed(plots.quantiles([plots.ranked("many", np.arange(1, 100_001))], y="ms"))
    assert "90 %" in few
    assert "99.9 %" not in few
    assert "99.99 %" in many


def test_ranked_keeps_the_tail() -> None:
    series = plots.ranked("a", np.random.default_rng(0).permutation(100_000) + 1.0)
    shares, values = series.points()
    assert len(shares) <= MOST_POINTS
    assert values.tolist()[-3:] == [99_998, 99_999, 100_000]
    assert np.allclose(values, shares * 100_000 + 1)


def test_many_points_are_thinned() -> None:
    xs, ys = plots.Series("a", np.arange(1e5), np.arange(1e5)).points()
    assert len(xs) == MOST_POINTS
    assert (xs[0], xs[-1]) == (0, 99_999)
    assert np.array_equal(xs, ys)


def test_xs_and_ys_must_match() -> None:
    with pytest.raises(ValueError, match=r"series 'a' has xs of shape \(2,\) and ys of shape \(1,\)"):
        plots.Series("a", [1, 2], [1]).points()


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.001, "0.001"), (25, "25"), (1500, "1.5k"), (3e6, "3M"), (-2e9, "-2G")],
)
def test_numbers_beside_an_axis_are_short(value: float, text: str) -> None:
    assert plots.short(value) == text


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if re.match(r"matplotlib(\.|$)", name)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(NoMatplotlib, match=r"pip install 'rapide\[reports\]'"):
        plots.bars(["a"], [1.0], y="")
