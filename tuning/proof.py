"""Held to reality: the best candidates and the default, each replayed against a real server, in turn.

In turn and more than once, because a machine is not the same from one minute to the next: what counts is the ratio
within a round. A candidate is better only if it is so in every round, and clearly so.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rapide.loadtests.replay.result import ReplayResult
from rapide.profiles.arrivals import Arrivals
from rapide.tuning.budget import Budget
from rapide.tuning.configuration import Configuration
from rapide.tuning.errors import TuningError
from rapide.tuning.served import Served, Site
from rapide.tuning.slo import Slo, percentile

Floats = np.ndarray[Any, np.dtype[np.float64]]
BETTER: Final = 0.95
"""A candidate whose figure is above this share of the default's is no better."""
BETTER_ONCE: Final = 0.8
"""The same where time allowed one round: the same server, replayed twice, often differs by a tenth."""
MUCH: Final = 1.1
"""The steps in which the simulator looks for the highest load are about as wide."""
WARM_REQUESTS: Final = 64
UNBOUNDED: Final = Budget()


@dataclass(frozen=True, slots=True)
class Measured:
    """One replay. ``latency_s``: of each request, infinite without a good answer; ``limited``: why the generator
    itself was the bottleneck, empty if not."""

    latency_s: Floats
    cpu_s: float
    memory_bytes: int
    limited: str

    def figure(self, slo: Slo, objective: str) -> float:
        """What is compared; smaller is better."""
        cost = self.cpu_s / max(1, len(self.latency_s)) if objective == "cost" else None
        return slo.figure(self.latency_s, cost)


@dataclass(frozen=True, slots=True)
class Proof:
    """All rounds of one configuration."""

    configuration: Configuration
    rounds: tuple[Measured, ...]

    def median(self, figure: Callable[[Measured], float]) -> float:
        return statistics.median(figure(each) for each in self.rounds)

    def percentile_s(self, percent: float) -> float:
        return self.median(lambda each: percentile(each.latency_s, percent))

    @property
    def latency_s(self) -> Floats:
        """Of all rounds together."""
        return np.concatenate([each.latency_s for each in self.rounds])

    def holds(self, slo: Slo) -> bool:
        """Whether the SLO held in the median round."""
        return self.median(lambda each: slo.strain(each.latency_s)) < 1

    @property
    def limited(self) -> str:
        return next((each.limited for each in self.rounds if each.limited), "")


def prove(
    site: Site,
    configurations: Sequence[Configuration],
    arrivals: Arrivals,
    rounds: int,
    on_step: Callable[[str, float], None],
    *,
    budget: Budget = UNBOUNDED,
    figure: Callable[[Measured], float] | None = None,
    on_failure: Callable[[str], None] | None = None,
) -> list[Proof]:
    """Replays ``arrivals`` against each configuration, ``rounds`` times in turn, as far as the time goes: once in
    any case. By ``figure`` (smaller is better) who is no better than the first in a round is out, since it was to
    be so in every round. One beside the first that cannot be served is left out, and ``on_failure`` hears why.

    Raises TuningError where the first cannot be served, or any where nobody hears of it.
    """
    found: dict[Configuration, list[Measured]] = {configuration: [] for configuration in configurations}
    first, left = configurations[0], list(configurations)
    before_s = budget.left_s
    for number in range(rounds):
        is_decided = number > 0 and len(left) < min(2, len(configurations))
        if is_decided or (number and budget.left_s < (before_s - budget.left_s) / number):
            break
        # Each round the other way round, so that what drifts hits all alike.
        for place, configuration in enumerate(left if number % 2 == 0 else left[::-1]):
            on_step(f"replaying: {configuration.words}", (number + place / len(left)) / rounds)
            try:
                found[configuration].append(measure(site, configuration, arrivals))
            except TuningError as error:
                if configuration == first or on_failure is None:
                    raise
                on_failure(f"{configuration.words}: {_one_line(error.message)}")
                del found[configuration]
        left = [one for one in left if one in found]
        if figure is not None:
            limit = figure(found[first][-1])
            left = [one for one in left if one == first or figure(found[one][-1]) < limit]
    return [Proof(configuration, tuple(measured)) for configuration, measured in found.items()]


def _one_line(text: str) -> str:
    """Its first and its last: a server that did not start says much, and at the end why."""
    first, *others = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    return f"{first} {others[-1]}" if others else first


def telling_speed(default: float, best: float) -> float:
    """At which multiple of the recorded load a replay tells two servers apart that, by simulation, survive
    ``default`` and ``best`` of it: between the two. At the recorded load where they are much the same: on the very
    edge of what both survive, chance would decide."""
    return max(1.0, math.sqrt(default * best)) if best > MUCH * default else 1.0


def measure(site: Site, configuration: Configuration, arrivals: Arrivals) -> Measured:
    """One replay against a server of its own. Raises TuningError."""
    with Served(site, configuration) as served:
        served.replay(
            Arrivals(np.arange(WARM_REQUESTS, dtype=np.float64) * 1e-3, arrivals.rows[:1].repeat(WARM_REQUESTS))
        )
        result, used = served.replay_measured(arrivals)
        return Measured(answered_s(result), used.cpu_s, served.memory_bytes(), result.generator_limited)


def answered_s(result: ReplayResult) -> Floats:
    """Latencies in the order of the requests; infinite where there was no good answer."""
    return np.where(result.codes == 0, result.latency_s, np.inf)


def is_better(candidate: Proof, default: Proof, slo: Slo, objective: str) -> bool:
    """Whether the candidate's figure is clearly below the default's: in the median, and in every round."""
    if len(candidate.rounds) < len(default.rounds):
        return False
    ratios = [
        one.figure(slo, objective) / other.figure(slo, objective)
        for one, other in zip(candidate.rounds, default.rounds, strict=True)
    ]
    return statistics.median(ratios) < (BETTER if len(ratios) > 1 else BETTER_ONCE) and max(ratios) < 1
