"""When requests come, and how large they are: what is replayed, simulated and imitated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rapide.profiles.errors import ProfileError
from rapide.server.telemetry.bins import Counts, Floats


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Requests in the order in which they come.

    ``instants_s``: seconds from the start, ascending, not negative, shape [n]; ``rows``: of each request, shape
    [n]. Raises ProfileError for anything else.
    """

    instants_s: Floats
    rows: Counts

    def __post_init__(self) -> None:
        instants, rows = np.asarray(self.instants_s, np.float64), np.asarray(self.rows, np.int64)
        object.__setattr__(self, "instants_s", instants)
        object.__setattr__(self, "rows", rows)
        if instants.ndim != 1 or instants.shape != rows.shape:
            raise ProfileError(f"arrivals: expected instants like rows, got {instants.shape} and {rows.shape}")
        if len(instants) and not (
            np.isfinite(instants).all() and instants[0] >= 0 and (np.diff(instants) >= 0).all()
        ):
            raise ProfileError("arrivals: expected instants that begin at 0 or later and never go back")

    @property
    def count(self) -> int:
        return len(self.instants_s)

    @property
    def duration_s(self) -> float:
        """From the start to the last arrival; 0 without arrivals."""
        return float(self.instants_s[-1]) if self.count else 0.0

    @property
    def rate_per_s(self) -> float:
        """Gaps by the time they span; 0 for fewer than two arrivals, infinite if all came at once."""
        if self.count < 2:
            return 0.0
        span_s = float(self.instants_s[-1] - self.instants_s[0])
        return (self.count - 1) / span_s if span_s > 0 else float("inf")

    def scaled(self, speed: float) -> Arrivals:
        """The same at ``speed`` times the rate. Raises ProfileError unless it is above 0."""
        if not (np.isfinite(speed) and speed > 0):
            raise ProfileError(f"speed: expected a number above 0, got {speed}")
        return Arrivals(self.instants_s / speed, self.rows)

    def until(self, duration_s: float) -> Arrivals:
        """Those that come before ``duration_s``."""
        count = int(np.searchsorted(self.instants_s, duration_s, side="left"))
        return Arrivals(self.instants_s[:count], self.rows[:count])

    def since(self, start_s: float) -> Arrivals:
        """Those from ``start_s`` on, which becomes the start."""
        first = int(np.searchsorted(self.instants_s, start_s, side="left"))
        return Arrivals(self.instants_s[first:] - start_s, self.rows[first:])

    def squeezed(self, longest_gap_s: float) -> Arrivals:
        """The same with no gap longer than ``longest_gap_s``: quiet days pass quickly, floods stay as they are."""
        gaps = np.diff(self.instants_s, prepend=0.0)
        return Arrivals(np.cumsum(np.minimum(gaps, longest_gap_s)), self.rows)
