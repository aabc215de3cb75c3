"""Plots as SVG text, for ``Page.plot``. Units belong into the names of the axes (``latency [ms]``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from rapide.reports.drawing import draw
from rapide.reports.series import Series, ranked
from rapide.reports.theme import SERIES

__all__ = ["Series", "bars", "histogram", "lines", "quantiles", "ranked"]

_STYLES: Final[dict[str, dict[str, Any]]] = {
    "line": {},
    "points": {"linestyle": "none", "marker": "o", "markersize": 4.5},
    "step": {"drawstyle": "steps-post"},
    "dashed": {"linestyle": (0, (4, 2.5))},
}
_SHARES: Final = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999)
_FEW_DECADES: Final = 100.0
_MOST_LETTERS: Final = 80
"""With more letters than this, the labels of bars are turned to stay readable."""


def lines(
    series: Sequence[Series],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    title: str = "",
    from_zero: bool = False,
) -> str:
    """Curves or points over a common axis. On a logarithmic axis what is not above 0 is left out; ``from_zero``
    begins a linear y axis at 0, where half as high should look half as high."""

    def paint(axes: Any) -> None:
        for index, one in enumerate(series):
            xs, ys = one.points()
            shown = np.isfinite(xs) & np.isfinite(ys) & ~((xs <= 0) & log_x) & ~((ys <= 0) & log_y)
            axes.plot(xs[shown], ys[shown], label=one.label, color=_colour(index), **_STYLES[one.style])
        _scale(axes, log_x, log_y)
        if from_zero and not log_y:
            axes.set_ylim(bottom=0)
        _label(axes, x, y, len(series) > 1)

    return draw(title, paint)


_LETTERS_WIDE: Final = 110
"""Of a legend's line, lines' samples included as six each."""


def bars(labels: Sequence[str], values: Sequence[float], *, y: str, title: str = "") -> str:
    """One bar for each label."""

    def paint(axes: Any) -> None:
        places = np.arange(len(labels))
        axes.bar(places, values, width=0.72, color=_colour(0))
        is_crowded = sum(len(label) + 1 for label in labels) > _MOST_LETTERS
        turned = {"rotation": 40, "ha": "right"} if is_crowded else {}
        _scale(axes, log_x=False, log_y=False)
        axes.set_xticks(places, labels, **turned)
        axes.grid(visible=False, axis="x")
        _label(axes, "", y, has_legend=False)

    return draw(title, paint)


def histogram(
    edges: ArrayLike, counts: ArrayLike, *, x: str, y: str = "", log_x: bool = False, title: str = ""
) -> str:
    """Counts between edges: ``edges`` has shape [n + 1], ascending, ``counts`` [n]. On a logarithmic axis a first
    edge of 0 is drawn at half the next one."""
    edges, counts = np.array(edges, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} counts need {len(counts) + 1} edges, got {len(edges)}")
    if log_x and len(edges) > 1 and edges[0] <= 0:
        edges[0] = edges[1] / 2

    def paint(axes: Any) -> None:
        axes.stairs(counts, edges, fill=True, color=_colour(0), alpha=0.85)
        axes.set_ylim(bottom=0)
        _scale(axes, log_x, log_y=False)
        _label(axes, x, y, has_legend=False)

    return draw(title, paint)


def quantiles(series: Sequence[Series], *, y: str, log_y: bool = True, title: str = "") -> str:
    """Values by percentile, spaced so that each further nine has the same room (as HdrHistogram plots them).

    A series' ``xs`` are shares from 0 to 1 (``ranked`` makes them from samples), its ``ys`` the values there.
    """

    def paint(axes: Any) -> None:
        most = _SHARES[1]
        for index, one in enumerate(series):
            shares, values = one.points()
            shown = (shares < 1) & ~((values <= 0) & log_y)
            shares, values = shares[shown], values[shown]
            most = max(most, float(shares.max(initial=0.0)))
            axes.plot(1 / (1 - shares), values, label=one.label, color=_colour(index), **_STYLES[one.style])
        ticks = [share for share in _SHARES if share <= most]
        _scale(axes, log_x=True, log_y=log_y)
        axes.set_xticks([1 / (1 - share) for share in ticks], [f"{share * 100:.6g} %" for share in ticks])
        axes.set_xticks([], minor=True)
        _label(axes, "share of requests", y, len(series) > 1)

    return draw(title, paint)


def _colour(index: int) -> str:
    return SERIES[index % len(SERIES)].stand_in


def _label(axes: Any, x: str, y: str, has_legend: bool) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(length=0, which="both")
    if has_legend:  # above the axes, where it hides nothing
        longest = max(len(text) for text in axes.get_legend_handles_labels()[1])
        columns = max(1, min(4, _LETTERS_WIDE // (longest + 6)))
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 0.99), ncols=columns, columnspacing=1.4, handlelength=1.6
        )


def _scale(axes: Any, log_x: bool, log_y: bool) -> None:
    for axis, is_log, set_scale in ((axes.xaxis, log_x, axes.set_xscale), (axes.yaxis, log_y, axes.set_yscale)):
        if is_log and np.isfinite(axis.get_minpos()):  # a logarithmic axis must have something to show
            set_scale("log")
            _mark_decades(axis)
        axis.set_major_formatter(lambda value, _place: short(value))
        axis.set_minor_formatter(lambda _value, _place: "")


def _mark_decades(axis: Any) -> None:
    """Ticks at 1, 2 and 5 where fewer than two decades are shown, which have one tick or none otherwise."""
    low, high = axis.get_view_interval()
    if low > 0 and high / low < _FEW_DECADES:
        marks = [step * 10.0**power for power in range(-12, 13) for step in (1, 2, 5)]
        axis.set_ticks([mark for mark in marks if low <= mark <= high])


def short(value: float) -> str:
    """``0.001``, ``25``, ``1.5k``, ``3M``: what fits beside an axis."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.6g}{suffix}"
    return f"{value:.6g}"
