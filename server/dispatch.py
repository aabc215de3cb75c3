"""How long a run will take, hence where it should run: on the event loop or on a thread. Pure.

Theory. A hop to a thread and back costs about 75 µs of CPU, more than most tabular models take. The loader
measures a run of one row and what each further row adds. Some models take longer for other inputs (sequences,
say), so the estimate follows what is observed: ``pace`` is multiplied or divided by a small step after each run,
whichever side of the estimate it fell on. That tracks the *median* of observed / measured: one run that the
machine interrupted moves it as little as any other.
"""

from __future__ import annotations

INLINE_AT_MOST_US = 1000.0
"""How long one batch may hold the event loop: other connections of the worker wait that long at most."""
_STEP = 1.1
_SLOWEST, _FASTEST = 1e4, 1e-3


class RunTimes:
    """The run time of one model version."""

    __slots__ = ("_inline_below_us", "_pace", "_row_us", "_run_us")

    def __init__(self, run_us: float, row_us: float, inline_below_us: float) -> None:
        """``run_us``: one row; ``row_us``: each further row; both measured at load."""
        self._run_us = run_us
        self._row_us = row_us
        self._inline_below_us = inline_below_us
        self._pace = 1.0

    def estimate_us(self, rows: int) -> float:
        """The expected time of a run of ``rows`` rows."""
        return (self._run_us + self._row_us * (rows - 1 if rows > 1 else 0)) * self._pace

    def is_inline(self, rows: int) -> bool:
        """Whether a run of ``rows`` rows belongs on the event loop."""
        return self._run_us * self._pace < self._inline_below_us and self.estimate_us(rows) < INLINE_AT_MOST_US

    def observe(self, rows: int, took_us: float) -> None:
        """Learns from a run that took ``took_us`` of a processor's time."""
        if took_us > self.estimate_us(rows):
            self._pace = min(self._pace * _STEP, _SLOWEST)
        else:
            self.doubt()

    def doubt(self) -> None:
        """Lowers the estimate a little. After a refusal that rested on it: no run will show that it was wrong."""
        self._pace = max(self._pace / _STEP, _FASTEST)
