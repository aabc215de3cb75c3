"""Service-level objectives held against the latency of every request: ``p99<5ms,p50<800us,errors<0.1%``. Pure.

They are written as those of load tests (``loadtests.slo``), but only what can be tuned for is taken: upper limits
of percentiles, and of the share of errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rapide.loadtests import slo
from rapide.tuning.errors import TuningError

Floats = np.ndarray[Any, np.dtype[np.float64]]

DEFAULT_ERRORS: Final = 0.001
"""Share of requests that may be refused where the objective does not say: a percentile alone is met by
refusing."""
BEYOND: Final = 1e6
"""What is within an SLO is seconds, and fewer than these."""
MOST_STRAIN: Final = 1e6
"""Strains above are alike: infinite ones cannot be divided."""
_HINT: Final = (
    "Write a percentile of the latency and its limit, such as p99<5ms or p99.9<800us; errors<0.1% may be added."
)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``limit_s`` at ``percent`` of the requests."""

    percent: float
    limit_s: float

    @property
    def name(self) -> str:
        return f"p{self.percent:g}"

    def __str__(self) -> str:
        return f"{self.name}<{seconds(self.limit_s).replace(' ', '')}"


@dataclass(frozen=True, slots=True)
class Slo:
    """All limits must hold. At least one."""

    limits: tuple[Limit, ...]
    errors: float = DEFAULT_ERRORS

    @classmethod
    def parse(cls, text: str) -> Slo:
        """Raises TuningError, naming the part that is no objective."""
        try:
            objectives = slo.parse(text)
        except ValueError as error:
            raise TuningError(f"{error}.", hint=_HINT) from None
        limits, errors = [], DEFAULT_ERRORS
        for each in objectives:
            if each.comparison.startswith(">") or not (each.is_percentile or each.quantity == "errors"):
                raise TuningError(f"{each.text!r} is no objective that can be tuned for.", hint=_HINT)
            if each.is_percentile:
                limits.append(Limit(float(each.quantity[1:]), each.limit * 1e-3))
            else:
                errors = each.limit
        if not limits or any(limit.limit_s <= 0 for limit in limits):
            raise TuningError(f"{text!r} names no limit of a latency above 0.", hint=_HINT)
        return cls(tuple(limits), errors)

    @property
    def main(self) -> Limit:
        """What is made smallest: the highest percentile."""
        return max(self.limits, key=lambda limit: limit.percent)

    def __str__(self) -> str:
        return ",".join([*map(str, self.limits), f"errors<{self.errors * 100:.4g}%"])

    def holds(self, latency_s: Floats) -> bool:
        """Whether ``latency_s`` (infinite where there was no good answer) meets all limits."""
        return self.strain(latency_s) < 1

    def figure(self, latency_s: Floats, cost: float | None = None) -> float:
        """By which servers are compared, smaller is better: ``cost`` or, without one, the latency at the highest
        percentile, in seconds. Beyond any of the limits it is above all that are within."""
        strain = self.strain(latency_s)
        if strain >= 1:
            return BEYOND * min(strain, MOST_STRAIN)
        return percentile(latency_s, self.main.percent) if cost is None else cost

    def strain(self, latency_s: Floats) -> float:
        """The worst of all limits' measured / allowed: below 1 they hold. Infinite where nothing was asked."""
        if not len(latency_s):
            return float("inf")
        errors = float(np.mean(~np.isfinite(latency_s)))
        parts = [percentile(latency_s, limit.percent) / limit.limit_s for limit in self.limits]
        return max(parts) if errors <= self.errors else max(*parts, 1.0 + errors)


def percentile(latency_s: Floats, percent: float) -> float:
    """The latency within which ``percent`` of all requests were answered well; infinite if fewer ever were."""
    rank = max(0, int(np.ceil(percent / 100 * len(latency_s))) - 1)
    return float(np.partition(latency_s, rank)[rank])


def percentiles(latency_s: Floats, percents: Sequence[float]) -> list[float]:
    """``percentile`` for each of ``percents``."""
    ordered = np.sort(latency_s)
    return [float(ordered[max(0, int(np.ceil(each / 100 * len(ordered))) - 1)]) for each in percents]


def seconds(value_s: float) -> str:
    """A time as people write it."""
    if not np.isfinite(value_s):
        return "never"
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if value_s >= scale:
            return f"{value_s / scale:.3g} {unit}"
    return f"{value_s * 1e6:.3g} µs"
