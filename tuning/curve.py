"""What a run costs by its number of rows, as measured here: the one fact about a model that the simulator needs.

Between measured sizes the cost is interpolated linearly, beyond the largest it grows as between the last two. A
batch above a cap on rows goes in parts: the cost is the parts', plus what joining their answers takes."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from rapide.server.repository.fields import Fields
from rapide.tuning.knobs import Knobs

JOIN_US: Final = 3.0
"""What joining costs for each part: numpy's concatenate of two outputs, and another call of the runtime's
wrapper."""
WORTH: Final = 0.05
"""A difference below this is not worth a knob: two loads of one model differ by almost as much."""


@dataclass(frozen=True, slots=True)
class Point:
    """The time of a run of ``rows`` rows: the best round's median, with the ends of its 95 % confidence interval.

    The best, since whatever disturbs a round makes it slower.
    """

    rows: int
    us: float
    low_us: float
    high_us: float
    runs: int

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "us": round(self.us, 3),
            "low_us": round(self.low_us, 3),
            "high_us": round(self.high_us, 3),
            "runs": self.runs,
        }

    @classmethod
    def read(cls, fields: Fields) -> Point:
        """Raises FieldError."""
        us, low_us, high_us = (fields.optional_number(name) or 0.0 for name in ("us", "low_us", "high_us"))
        if not us > 0:
            raise fields.wrong("us", "a time above 0", us)
        return cls(fields.integer("rows", least=1), us, low_us, high_us, fields.integer("runs"))


@dataclass(frozen=True)
class Curve:
    """Points by ascending rows, at least one; ``memory_bytes`` is what a process grew by when it loaded and ran
    it."""

    knobs: Knobs
    points: tuple[Point, ...]
    load_ms: float
    memory_bytes: int

    @cached_property
    def _rows(self) -> list[int]:
        return [point.rows for point in self.points]

    @cached_property
    def _costs(self) -> dict[tuple[int, int], float]:
        """What was asked before: simulations ask for the same sizes again and again."""
        return {}

    def run_us(self, rows: int, cap: int = 0) -> float:
        """The time of a batch of ``rows`` rows, in parts of at most ``cap`` (0: whole)."""
        known = self._costs.get((rows, cap))
        if known is None:
            known = self._costs[rows, cap] = self._cost_us(rows, cap)
        return known

    def merged(self, other: Curve) -> Curve:
        """With the better point of both for each size: another measurement of the same."""
        best = {point.rows: point for point in other.points}
        for point in self.points:
            if point.rows not in best or point.us < best[point.rows].us:
                best[point.rows] = point
        return Curve(self.knobs, tuple(best[rows] for rows in sorted(best)), self.load_ms, self.memory_bytes)

    def _cost_us(self, rows: int, cap: int) -> float:
        if not cap or rows <= cap:
            return self._whole_us(max(1, rows))
        full, rest = divmod(rows, cap)
        parts = full + bool(rest)
        cost_us = full * self._whole_us(cap) + (self._whole_us(rest) if rest else 0.0)
        return cost_us + parts * JOIN_US

    def _whole_us(self, rows: int) -> float:
        points, at = self.points, bisect.bisect_left(self._rows, rows)
        if at < len(points) and points[at].rows == rows:
            return points[at].us
        if len(points) == 1 or at == 0:
            return points[0].us * max(1.0, rows / points[0].rows)
        low, high = points[min(at, len(points) - 1) - 1], points[min(at, len(points) - 1)]
        slope = max(0.0, (high.us - low.us) / (high.rows - low.rows))
        return low.us + slope * (rows - low.rows)

    def beats(self, other: Curve, rows: Sequence[int]) -> bool:
        """Whether it is clearly faster at one of ``rows`` at least, and nowhere clearly slower."""
        ratios = [self.run_us(each) / other.run_us(each) for each in rows]
        return min(ratios) < 1 - WORTH and max(ratios) < 1 + WORTH

    def is_dominated(self, others: Sequence[Curve], rows: Sequence[int]) -> bool:
        """Whether one of ``others``, with no more threads, is nowhere slower and somewhere clearly faster."""
        return any(
            other.knobs.threads <= self.knobs.threads
            and all(other.run_us(each) <= self.run_us(each) * (1 + WORTH / 2) for each in rows)
            and any(other.run_us(each) < self.run_us(each) * (1 - WORTH) for each in rows)
            for other in others
            if other is not self
        )

    def caps(self, largest: int) -> list[int]:
        """Caps on rows that pay for some batch up to ``largest`` rows, by the measured sizes; the best first."""
        sizes = [point.rows for point in self.points if point.rows <= largest]
        gains = {}
        for cap in sizes[:-1]:
            ratios = [self.run_us(rows) / self.run_us(rows, cap) for rows in sizes if rows > cap]
            if max(ratios) > 1 + WORTH:
                gains[cap] = sum(ratios) / len(ratios)
        return sorted(gains, key=lambda cap: -gains[cap])

    def to_json(self) -> dict[str, Any]:
        return {
            "knobs": self.knobs.to_json(),
            "points": [point.to_json() for point in self.points],
            "load_ms": round(self.load_ms, 2),
            "memory_bytes": self.memory_bytes,
        }

    @classmethod
    def read(cls, fields: Fields) -> Curve:
        """Raises FieldError."""
        raw, points = fields.mapping("knobs"), fields.each("points", Point.read)
        rows = [point.rows for point in points]
        if not rows or sorted(set(rows)) != rows:
            raise fields.wrong("points", "points by ascending rows, at least one", rows)
        return cls(
            Knobs(**{name: raw[name] for name in Knobs().to_json() if name in raw}),
            points,
            fields.optional_number("load_ms") or 0.0,
            fields.integer("memory_bytes"),
        )
