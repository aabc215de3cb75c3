"""Small plots as plain text: what fits a terminal, a log or a mail. Unicode blocks, no colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_RISING: Final = " ▁▂▃▄▅▆▇█"
_GROWING: Final = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█")
_STEPS: Final = 8


def columns(values: Sequence[float], *, height: int = 6, width: int = 72) -> list[str]:
    """``values`` as a curve of blocks, with its greatest value beside it. More values than ``width`` are put
    together, each column showing the greatest of its own, so that no peak is lost."""
    shown = _narrowed(values, width)
    most = max(shown, default=0.0)
    label = number(most)
    margin = " " * len(label)
    if most <= 0:
        return [f"{number(0)} │{' ' * len(shown)}"]
    levels = [max(0.0, value) / most * height * _STEPS for value in shown]
    lines = []
    for line in range(height - 1, -1, -1):
        cells = "".join(_RISING[_part(level, line)] for level in levels)
        lines.append(f"{label if line == height - 1 else margin} │{cells.rstrip()}")
    lines.append(f"{margin} └{'─' * len(shown)}")
    return lines


def bars(labels: Sequence[str], values: Sequence[float], *, width: int = 40) -> list[str]:
    """One line for each label: a bar and its value. ``labels`` and ``values`` are of one length."""
    most = max(values, default=0.0)
    space = max((len(label) for label in labels), default=0)
    lines = []
    for label, value in zip(labels, values, strict=True):
        eighths = round(max(0.0, value) / most * width * _STEPS) if most > 0 else 0
        bar = "█" * (eighths // _STEPS) + _GROWING[eighths % _STEPS]
        # Something that is there is seen to be there.
        lines.append(f"{label:>{space}} │{bar or ('▏' if value > 0 else '')} {number(value)}")
    return lines


def number(value: float) -> str:
    """Three digits and a suffix: ``999``, ``1.5k``, ``23M``."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def _part(level: float, line: int) -> int:
    """How much of a cell is filled, in eighths."""
    return min(_STEPS, max(0, math.ceil(level - line * _STEPS)))


def _narrowed(values: Sequence[float], width: int) -> list[float]:
    count = len(values)
    if count <= width:
        return list(values)
    return [max(values[place * count // width : (place + 1) * count // width]) for place in range(width)]
