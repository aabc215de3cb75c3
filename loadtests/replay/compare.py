"""Two replays of the same arrivals, request by request. Pure.

Both met the same instants, so the difference is the servers', but latencies that follow one another are alike:
what is resampled for the confidence are stretches of time, the same ones of both, and not single requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rapide.loadtests.replay.plan import ReplayError
from rapide.loadtests.replay.result import ReplayResult
from rapide.loadtests.replay.schedule import Floats
from rapide.loadtests.wire.connection import ANSWERED, NOT_SENT

STRETCHES = 50
RESAMPLES = 400
LEAST_PAIRS = 200
"""With fewer, a percentile's confidence is not worth its name."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """The new latency over the old one at a percentile, with its 95 % interval (Efron's percentile bootstrap)."""

    percent: float
    before_s: float
    after_s: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        return self.after_s / self.before_s if self.before_s > 0 else float("nan")

    @property
    def verdict(self) -> str:
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            return "unknown"
        if self.high < 1:
            return "faster"
        return "slower" if self.low > 1 else "no difference seen"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``pairs``: requests that both replays sent. Failures are among these."""

    pairs: int
    failures_before: int
    failures_after: int
    ratios: tuple[Ratio, ...]


def compare(
    before: ReplayResult, after: ReplayResult, percents: Sequence[float] = (50.0, 90.0, 99.0), *, seed: int = 0
) -> Comparison:
    """``after`` held against ``before``. Raises ReplayError where they did not replay the same arrivals."""
    if len(before.codes) != len(after.codes) or not np.allclose(before.intended_s, after.intended_s, atol=1e-6):
        raise ReplayError(
            f"the replays are of different arrivals ({len(before.codes):,} and {len(after.codes):,} requests).",
            "Replay the same profile with the same --speed, --duration, --seed and --model, then compare.",
        )
    both = (before.codes != NOT_SENT) & (after.codes != NOT_SENT)
    old_s, new_s = _judged(before)[both], _judged(after)[both]
    resampled = _resampled(old_s, new_s, percents, np.random.default_rng(seed))
    ratios = []
    for place, percent in enumerate(percents):
        low, high = np.nan, np.nan
        values = resampled[:, place]
        if len(values) and np.isfinite(values).all():
            low, high = (float(value) for value in np.percentile(values, [2.5, 97.5]))
        ratios.append(Ratio(percent, _at(old_s, percent), _at(new_s, percent), low, high))
    failed_before, failed_after = (int((one.codes[both] != ANSWERED).sum()) for one in (before, after))
    return Comparison(int(both.sum()), failed_before, failed_after, tuple(ratios))


def _judged(found: ReplayResult) -> Floats:
    return np.where(found.codes == ANSWERED, found.latency_s, np.inf)


def _at(values_s: Floats, percent: float) -> float:
    return float(np.percentile(values_s, percent, method="inverted_cdf")) if len(values_s) else float("nan")


def _resampled(old_s: Floats, new_s: Floats, percents: Sequence[float], random: np.random.Generator) -> Floats:
    """Ratios at ``percents`` in each of RESAMPLES worlds, shape [RESAMPLES, len(percents)]; none for too few."""
    if len(old_s) < LEAST_PAIRS:
        return np.empty((0, len(percents)))
    stretches = np.array_split(np.arange(len(old_s)), STRETCHES)
    worlds = []
    for chosen in random.integers(0, STRETCHES, size=(RESAMPLES, STRETCHES)):
        places = np.concatenate([stretches[index] for index in chosen])
        old, new = (np.percentile(values[places], percents, method="inverted_cdf") for values in (old_s, new_s))
        with np.errstate(invalid="ignore"):
            worlds.append(new / old)
    return np.array(worlds)
