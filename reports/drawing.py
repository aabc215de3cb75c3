"""From axes to SVG text: the only importer of matplotlib, and only when something is drawn."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import Any, Final

from rapide.reports.theme import GRID, INK, MUTED, themed

_SIZE_INCHES: Final = (8.0, 3.4)
_STYLE: Final = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and has the page's font
    "svg.hashsalt": "rapide",  # the same picture, the same bytes
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # names of features and models may have dollar signs
    "text.color": INK.stand_in,
    "axes.edgecolor": GRID.stand_in,
    "axes.labelcolor": MUTED.stand_in,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID.stand_in,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED.stand_in,
    "ytick.color": MUTED.stand_in,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


class NoMatplotlib(ImportError):
    """Plots need the extra ``reports``."""

    def __init__(self) -> None:
        super().__init__("plots need matplotlib, which is not installed: pip install 'rapide[reports]'")


def draw(title: str, paint: Callable[[Any], None]) -> str:
    """The SVG of what ``paint`` puts on a pair of axes. Raises NoMatplotlib."""
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - takes a second, and is an extra
        from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise NoMatplotlib from error
    with rc_context(_STYLE), warnings.catch_warnings():
        # Text stays text, and the reader's browser has the fonts for it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        if title:
            axes.set_title(title)
        paint(axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return _inline(text.getvalue(), title)


def _inline(document: str, title: str) -> str:
    """The ``<svg>`` element alone, without what a page does not need or would have twice."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title or "plot")}" ', 1)
    return themed(svg).strip()
