"""How much may be made up: what is beyond these bounds is a slip of the finger, and would take gigabytes."""

from __future__ import annotations

import math
from typing import Final

from rapide.profiles.errors import ProfileError

MOST_REQUESTS: Final = 20_000_000
LONGEST_S: Final = 366 * 86_400.0
"""A longer time has that many bursts and cells, however few requests."""
MOST_ROWS: Final = 10_000_000
"""Of one request: no server takes more."""


def check_figures(*, rate_per_s: float, duration_s: float, rows: int = 1, seed: int = 0) -> None:
    """Raises ProfileError for figures of which no arrivals can be made."""
    for name, value in (("rate_per_s", rate_per_s), ("duration_s", duration_s), ("rows", rows)):
        if not 0 < value < math.inf:
            raise ProfileError(f"{name}: expected a number above 0, got {value}")
    for name, value, most in (("duration_s", duration_s, LONGEST_S), ("rows", rows, MOST_ROWS)):
        if value > most:
            raise ProfileError(f"{name}: expected at most {most:,.0f}, got {value:,.0f}")
    if seed < 0:
        raise ProfileError(f"seed: expected a whole number that is not negative, got {seed}")
    if rate_per_s * duration_s > MOST_REQUESTS:
        raise ProfileError(
            f"{rate_per_s:g} requests/s for {duration_s:g} s: expected at most {MOST_REQUESTS:,} requests, "
            f"got {rate_per_s * duration_s:,.0f}"
        )
