"""Colours and type of a page, for light and dark, and the names by which plots use them.

A plot is drawn in *stand-in* colours, one for each role, which are replaced by CSS variables in its text: so one
picture serves both themes, and follows the reader's choice without being drawn again.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Colour(NamedTuple):
    """One role: what the plot is drawn with, and what the reader sees."""

    name: str
    stand_in: str
    light: str
    dark: str


INK: Final = Colour("ink", "#010101", "#1b1f24", "#e6e8eb")
MUTED: Final = Colour("muted", "#020202", "#5b6470", "#9aa4b0")
GRID: Final = Colour("grid", "#030303", "#e3e6ea", "#2c333b")
PAPER: Final = Colour("paper", "#040404", "#ffffff", "#14181d")
PANEL: Final = Colour("panel", "#050505", "#f6f7f9", "#1b2027")
SERIES: Final = (
    Colour("series-1", "#0a0a01", "#1f66b0", "#6cb0ff"),
    Colour("series-2", "#0a0a02", "#d2571c", "#ff9b63"),
    Colour("series-3", "#0a0a03", "#12806a", "#4fd3ab"),
    Colour("series-4", "#0a0a04", "#9c3372", "#ea8fc6"),
    Colour("series-5", "#0a0a05", "#8f6b00", "#e3c24f"),
    Colour("series-6", "#0a0a06", "#5a55a3", "#aaa6f2"),
)
"""Told apart by people who see few colours (blue, orange and green differ in lightness too); reused in turn."""
COLOURS: Final = (INK, MUTED, GRID, PAPER, PANEL, *SERIES)


def themed(svg: str) -> str:
    """``svg`` with stand-ins replaced by CSS variables. Where it is shown alone, it has the light colours."""
    for colour in COLOURS:
        svg = svg.replace(colour.stand_in, f"var(--{colour.name}, {colour.light})")
    return svg


def _variables(is_dark: bool) -> str:
    return " ".join(f"--{colour.name}: {colour.dark if is_dark else colour.light};" for colour in COLOURS)


STYLE: Final = f"""
:root {{ color-scheme: light dark; {_variables(is_dark=False)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(is_dark=True)} }} }}
@media print {{ :root {{ {_variables(is_dark=False)} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }}
main {{ max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }}
h2 {{ font-size: 1.25rem; margin: 2.75rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--grid); }}
.subtitle {{ color: var(--muted); margin: 0 0 2rem; }}
p {{ max-width: 46rem; }}
dl {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .75rem; margin: 1rem 0; }}
dl > div {{ background: var(--panel); border-radius: .5rem; padding: .6rem .85rem; }}
dt {{ color: var(--muted); font-size: .85rem; }}
dd {{ margin: 0; font-size: 1.1rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; margin: .75rem 0; }}
caption, figcaption {{ color: var(--muted); font-size: .88rem; text-align: left; padding: .35rem 0; }}
th, td {{ text-align: left; padding: .32rem 1.1rem .32rem 0; border-bottom: 1px solid var(--grid);
  vertical-align: top; }}
th {{ color: var(--muted); font-weight: 600; }}
td.number, th.number {{ text-align: right; }}
figure {{ margin: 1.25rem 0; }}
figure svg {{ display: block; width: 100%; height: auto; max-width: 56rem; }}
svg text {{ font-family: inherit; }}
"""
