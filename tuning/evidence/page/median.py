"""What is known of a median by a few draws, whatever their distribution is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SURE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Interval:
    """The true median is between ``low`` and ``high`` with a probability of ``sure``."""

    low: float
    high: float
    sure: float


def median_interval(draws: Sequence[float]) -> Interval:
    """From one of the draws to another, as far inside as leaves a probability of SURE; all of them, where they are
    too few for that. How many draws are below the median is binomial (Conover, Practical Nonparametric
    Statistics, 3.2)."""
    ordered, count = sorted(draws), len(draws)
    place, missed = 0, 2 / 2**count
    while place + 1 < count // 2:
        more = missed + 2 * math.comb(count, place + 1) / 2**count
        if more > 1 - SURE:
            break
        place, missed = place + 1, more
    return Interval(ordered[place], ordered[count - 1 - place], 1 - missed)
