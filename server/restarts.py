"""How fast a worker that died is replaced. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_SETTLED_S = 10.0
"""A worker that served this long was healthy: its death says nothing about the next one's."""
_MAX_DELAY_S = 30.0
"""A crash loop costs little at this pace, and ends within it once its cause is gone."""


@dataclass(slots=True)
class Restarts:
    """How long to wait before a slot's next start: not at all after a first death, then longer and longer."""

    failed_starts: int = 0
    strikes: int = 0

    def delay_s(self, served_s: float | None) -> float:
        """``served_s``: how long the worker that died had served, None if it never did."""
        self.failed_starts = self.failed_starts + 1 if served_s is None else 0
        self.strikes = 0 if served_s is not None and served_s >= _SETTLED_S else self.strikes + 1
        return 0.0 if self.strikes <= 1 else min(_MAX_DELAY_S, 0.1 * 2 ** (self.strikes - 2))
