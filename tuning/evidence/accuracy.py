"""Fifteen configurations × four profiles: what the simulator says, and what a real server then does.

Costs are fitted to the calibration alone, and what the simulator makes of them is compared with the replays: of
all rounds, and, as a tuning meets it, the calibration of the first with the replays of the last."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rapide.tuning import calibration, fitting
from rapide.tuning.calibration import Observation
from rapide.tuning.configuration import Configuration, default_configuration
from rapide.tuning.curve import Curve
from rapide.tuning.evidence.replays import CONFIGURATIONS, TOGETHER, Collected, Cpus, loads
from rapide.tuning.proof import answered_s
from rapide.tuning.simulator import simulate
from rapide.tuning.slo import percentile
from rapide.tuning.stall_meter import Stalls

Ends = tuple[float, float]
"""p50 and p99, in seconds."""

SEEDS: Final = 12
"""Simulations of each; their median is compared."""
APART: Final = 2
"""Rounds at either end: a tuning calibrates first, and replays minutes later."""
SATURATED: Final = 0.7
"""Share of its busiest place from which on a machine is called saturated: there a small error in cost is a large
one in waiting."""
NEAR: Final = 0.2


@dataclass(frozen=True, slots=True)
class Comparison:
    """One configuration under one profile. Times in seconds."""

    model: str
    cores: int
    configuration: Configuration
    profile: str
    rate_per_s: float
    simulations: tuple[Ends, ...]
    rounds: tuple[Ends, ...]
    apart: tuple[Ends, Ends]
    """Predicted by the calibration of the first rounds, and measured in the last."""
    calibrated: Ends | None
    """What the calibration itself met, where it asked for the same: the defaults."""
    busy: float
    limited: int
    """Replays in which the load generator was the bottleneck by its own account."""

    @property
    def predicted(self) -> Ends:
        return _median(self.simulations)

    @property
    def measured(self) -> Ends:
        return _median(self.rounds)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "cores": self.cores,
            "configuration": self.configuration.words,
            "profile": self.profile,
            "rate_per_s": round(self.rate_per_s),
            "predicted_ms": [round(value * 1e3, 4) for value in self.predicted],
            "measured_ms": [round(value * 1e3, 4) for value in self.measured],
            "rounds_ms": [[round(value * 1e3, 4) for value in each] for each in self.rounds],
            "apart_ms": [[round(value * 1e3, 4) for value in each] for each in self.apart],
            "calibrated_ms": self.calibrated and [round(value * 1e3, 4) for value in self.calibrated],
            "busy": round(self.busy, 3),
            "limited": self.limited,
        }


def judge(
    collected: Collected, model: str, cpus: Cpus, stalls: Stalls, on_step: Callable[[str], None]
) -> list[Comparison]:
    """Simulates what was replayed on ``cpus``, with costs that are fitted to the calibration as in a tuning.

    ``stalls``: of the machine, whichever model was asked meanwhile; the seconds beside one model alone are too few
    to know them.
    """
    found = []
    curve, cores = collected.curve, len(cpus)
    for profile, arrivals in loads(curve).items():
        on_step(f"{model}: fitting to {profile} on {cores} cores")
        seen = [
            each for each in collected.observations[cpus] if _belongs(each, profile, int(arrivals.rows[0]), curve)
        ]
        met = _median([_ends(answered_s(each.result)) for each in seen if each.is_profile])
        first = seen[: APART * len(seen) // sum(each.is_profile for each in seen)]
        costs, first_costs = (
            fitting.fit(each, curve, cores, stalls=stalls, client_apart=cores < len(TOGETHER))
            for each in (seen, first)
        )
        for _, configuration in (one for one in CONFIGURATIONS[model] if one[0] == cpus):
            outcomes, first_outcomes = (
                [simulate(arrivals, configuration, curve, each, cores=cores, seed=seed) for seed in range(SEEDS)]
                for each in (costs, first_costs)
            )
            replays = [
                each.result
                for each in collected.replays[cpus]
                if each.configuration == configuration and each.scenario.name.endswith(f" {profile}")
            ]
            rounds = [_ends(answered_s(each)) for each in replays]
            found.append(
                Comparison(
                    model,
                    cores,
                    configuration,
                    profile,
                    arrivals.rate_per_s,
                    tuple(_ends(each.latency_s) for each in outcomes),
                    tuple(rounds),
                    (_median([_ends(each.latency_s) for each in first_outcomes]), _median(rounds[-APART:])),
                    met if configuration == default_configuration(cores) else None,
                    outcomes[0].busy,
                    sum(bool(each.generator_limited) for each in replays),
                )
            )
    return found


def _belongs(seen: Observation, profile: str, rows: int, curve: Curve) -> bool:
    """Whether a tuning for ``profile``, whose requests have ``rows``, would have asked so."""
    if seen.is_profile:
        return seen.scenario.name.endswith(f" {profile}")
    return int(seen.scenario.arrivals.rows[0]) == rows and seen.configuration in calibration.configurations(
        curve, rows
    )


def _ends(latency_s: Any) -> Ends:
    return percentile(latency_s, 50), percentile(latency_s, 99)


def _median(several: Sequence[Ends]) -> Ends:
    """Of each percentile by itself."""
    p50s_s, p99s_s = zip(*several, strict=True)
    return statistics.median(p50s_s), statistics.median(p99s_s)
