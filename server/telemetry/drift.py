"""How far the way a model is used has moved from the way it was tuned for. Pure.

Theory. Four figures decide what a server must do: the rate of requests, how it fluctuates, their rows, and the
mix of models. Each has a distance, and a noise floor: what the distance would exceed once in a hundred times if
nothing had changed. A figure has *drifted* if its distance is above its floor and large enough to matter, and
if both sides saw enough requests.

* rate: the logarithm of the ratio. Counts of N requests scatter by D·N, where D is the index of dispersion
  (variance by mean of the requests in a window of a second: 1 for a Poisson process), so it scatters by √(D/N).
* burstiness: the coefficient of variation of the rate itself between windows of 0.1 s: √((s² − m)/m²) for
  counts of mean m and variance s². A Poisson process has 0, at any rate and split among any number of workers.
  Its scatter follows from the fourth moment of the counts.
* rows, mix: the population stability index Σ (p − q) ln(p/q). Under no change it is about χ²(bins − 1)·(1/n +
  1/m) (Yurdakul, 2018). Requests that come in runs of the same size scatter more than that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rapide.server.telemetry import bins
from rapide.server.telemetry.bins import Counts, Floats

FEWEST: Final = 200
"""Requests on each side below which nothing is said."""
RATE_MATTERS: Final = math.log(1.25)
BURSTINESS_MATTERS: Final = 0.25
PSI_MATTERS: Final = 0.1
"""The customary bound: below it a population is called stable."""
BURST_WINDOW_S: Final = 0.1
RATE_WINDOW_S: Final = 1.0
_Z99: Final = 2.326
"""The normal distribution's 99 % quantile; two-sided distances use three standard deviations."""
_SIGMAS: Final = 3.0
_HALF: Final = 0.5
"""Added to every bin, so that an empty one has a logarithm."""
_SIZES: Final = np.array([*bins.ROW_EDGES, bins.ROW_EDGES[-1] * 2])
"""What a bin of the rows' histogram stands for: exact up to 64."""


@dataclass(frozen=True, slots=True, eq=False)
class Usage:
    """One model version over some time, as all workers together saw it."""

    requests: int
    span_s: float
    workers: int
    rows: Counts
    """Requests by their rows, shape of ``bins.ROW_EDGES`` and one."""
    rows_sum: float
    windows: Mapping[float, Counts]
    """By the width of a window in seconds: windows, each at one worker, by their requests; empty ones left out."""

    @property
    def rate_per_s(self) -> float:
        return self.requests / self.span_s if self.span_s > 0 else 0.0

    @property
    def rows_per_s(self) -> float:
        return self.rows_sum / self.span_s if self.span_s > 0 else 0.0

    @property
    def burstiness(self) -> float:
        """The coefficient of variation of the rate between windows of ``BURST_WINDOW_S``."""
        return _moments(self, BURST_WINDOW_S).variation


@dataclass(frozen=True, slots=True)
class Distance:
    """One figure on both sides."""

    name: str
    tuned: float
    live: float
    distance: float
    floor: float
    """What the distance exceeds once in a hundred times without any change."""
    matters: float
    """What it must exceed to be worth a change."""
    is_known: bool = True
    """Whether both sides saw enough requests."""

    @property
    def has_drifted(self) -> bool:
        return self.is_known and self.distance > max(self.floor, self.matters)


def drift(tuned: Usage, live: Usage) -> tuple[Distance, ...]:
    """Rate, burstiness and rows of one model."""
    is_known = min(tuned.requests, live.requests) >= FEWEST
    return tuple(measure(tuned, live, is_known) for measure in (_rate, _burstiness, _rows))


def mix_drift(tuned: Mapping[str, int], live: Mapping[str, int]) -> Distance:
    """Of the requests to each model. ``tuned`` and ``live`` of the distance are the numbers of models."""
    names = sorted({*tuned, *live})
    before = np.array([tuned.get(name, 0) for name in names])
    now = np.array([live.get(name, 0) for name in names])
    is_known = bool(min(before.sum(), now.sum()) >= FEWEST)
    return Distance(
        "mix",
        float((before > 0).sum()),
        float((now > 0).sum()),
        stability_index(before, now),
        _psi_floor(before, now),
        PSI_MATTERS,
        is_known,
    )


def stability_index(before: Counts, now: Counts) -> float:
    """Σ (p − q) ln(p/q) over the bins that either side uses; 0 without requests on either."""
    used = (before > 0) | (now > 0)
    if not before.sum() or not now.sum():
        return 0.0
    p, q = before[used] + _HALF, now[used] + _HALF
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def _rate(tuned: Usage, live: Usage, is_known: bool) -> Distance:
    before, now = tuned.rate_per_s, live.rate_per_s
    distance = abs(math.log(now / before)) if before > 0 and now > 0 else 0.0
    scatter = sum(_dispersion(side) / side.requests for side in (tuned, live) if side.requests)
    return Distance("rate", before, now, distance, _SIGMAS * math.sqrt(scatter), RATE_MATTERS, is_known)


def _burstiness(tuned: Usage, live: Usage, is_known: bool) -> Distance:
    before, now = (_moments(side, BURST_WINDOW_S) for side in (tuned, live))
    floor = _SIGMAS * math.hypot(before.variation_scatter, now.variation_scatter)
    distance = abs(now.variation - before.variation)
    return Distance("burstiness", before.variation, now.variation, distance, floor, BURSTINESS_MATTERS, is_known)


def _rows(tuned: Usage, live: Usage, is_known: bool) -> Distance:
    before, now = (side.rows_sum / side.requests if side.requests else 0.0 for side in (tuned, live))
    distance = stability_index(tuned.rows, live.rows)
    return Distance("rows", before, now, distance, _psi_floor(tuned.rows, live.rows), PSI_MATTERS, is_known)


def _psi_floor(before: Counts, now: Counts) -> float:
    """The 99 % quantile of χ²(bins − 1), by Wilson and Hilferty (1931), times (1/n + 1/m)."""
    free = int(((before > 0) | (now > 0)).sum()) - 1
    n, m = float(before.sum()), float(now.sum())
    if free < 1 or not n or not m:
        return 0.0
    share = 2 / (9 * free)
    return free * (1 - share + _Z99 * math.sqrt(share)) ** 3 * (1 / n + 1 / m)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Of the requests in windows of one width."""

    mean: float
    variance: float
    variance_scatter: float

    @property
    def variation(self) -> float:
        return math.sqrt(max(0.0, self.variance - self.mean)) / self.mean if self.mean else 0.0

    @property
    def variation_scatter(self) -> float:
        """Of ``variation``'s square where that is near 0, else of itself (by its derivative)."""
        if not self.mean:
            return 0.0
        squared = self.variance_scatter / self.mean**2
        return min(math.sqrt(squared), squared / (2 * self.variation)) if self.variation else math.sqrt(squared)


def _moments(usage: Usage, width_s: float) -> _Moments:
    counts = usage.windows.get(width_s)
    total = max(1.0, usage.span_s / width_s * usage.workers)
    if counts is None or not counts.sum():
        return _Moments(0.0, 0.0, 0.0)
    total = max(total, float(counts.sum()))
    shares: Floats = counts / total
    empty = 1 - float(shares.sum())
    mean = float(shares @ _SIZES)
    off = _SIZES - mean
    variance = float(shares @ off**2) + empty * mean**2
    fourth = float(shares @ off**4) + empty * mean**4
    return _Moments(mean, variance, math.sqrt(max(0.0, fourth - variance**2) / total))


def _dispersion(usage: Usage) -> float:
    moments = _moments(usage, RATE_WINDOW_S)
    return moments.variance / moments.mean if moments.mean else 1.0


def verdict(distances: Sequence[Distance]) -> str:
    """``stable``, ``drifted`` or ``too few requests``."""
    if not any(one.is_known for one in distances):
        return "too few requests"
    return "drifted" if any(one.has_drifted for one in distances) else "stable"
