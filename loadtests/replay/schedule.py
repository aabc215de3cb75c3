"""When which request leaves: the arrivals of all models on one clock. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rapide.loadtests.replay.plan import Integers, ModelArrivals

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Schedule:
    """N requests, ordered by ``due_s`` from 0. ``models``: which of the plan's; ``skipped_s``: pauses left out."""

    due_s: Floats
    models: Integers
    rows: Integers
    seeds: Integers
    skipped_s: float = 0.0

    @property
    def count(self) -> int:
        return len(self.due_s)

    @property
    def duration_s(self) -> float:
        """From the first request to the last."""
        return float(self.due_s[-1]) if self.count else 0.0

    def part(self, number: int, of: int) -> Schedule:
        """Every ``of``-th request, from ``number`` on: what one of ``of`` processes (or hosts) sends."""
        share = slice(number, None, of)
        return Schedule(self.due_s[share], self.models[share], self.rows[share], self.seeds[share], self.skipped_s)


def schedule(requests: Sequence[ModelArrivals], *, speed: float = 1.0, skip_idle_s: float = 0.0) -> Schedule:
    """``requests`` merged, from the first one on, ``speed`` times as fast; then longer pauses are cut to
    ``skip_idle_s``, if that is not 0."""
    instants_s = np.concatenate([each.arrivals.instants_s + each.start_s for each in requests])
    order = np.argsort(instants_s, kind="stable")
    due_s = instants_s[order]
    with np.errstate(over="ignore"):  # slower than any number can say is never
        due_s = (due_s - due_s[:1]) / speed
    due_s, skipped_s = _without_pauses(due_s, skip_idle_s) if skip_idle_s else (due_s, 0.0)
    models = np.concatenate([np.full(each.arrivals.count, index) for index, each in enumerate(requests)])
    rows = np.concatenate([each.arrivals.rows for each in requests])
    seeds = np.concatenate([each.seeds for each in requests])
    return Schedule(due_s, models[order], rows[order].astype(np.int64), seeds[order], skipped_s)


def _without_pauses(due_s: Floats, longest_s: float) -> tuple[Floats, float]:
    gaps_s = np.diff(due_s, prepend=due_s[:1])
    kept_s = np.minimum(gaps_s, longest_s)
    return np.cumsum(kept_s), float((gaps_s - kept_s).sum())
