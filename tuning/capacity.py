"""How many cores and replicas a load needs, by the simulator that a tuning uses. Pure.

Theory. A replica is a server like the ones measured here: so many cores, the same processor. What one bears
within the SLO is found by simulating the profile's traffic faster and faster (the burstiness stays, which is
careful: the traffic of many users together is smoother than that of few). Replicas know nothing of each other, so
a load of any size is so many replicas of this one; nothing is extrapolated but their number.

The head-room policy, in this order: a replica gets at most ``1 - headroom`` of what it bears; one replica in
twenty, and at least one, is spare, for those that fail or are being replaced."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rapide.tuning.configuration import Configuration
from rapide.tuning.curve import Curve
from rapide.tuning.search import SPEEDS, Setting, highest_speed, run, search
from rapide.tuning.slo import percentile

HEADROOM: Final = 0.3
SPARE: Final = 0.05
_SEEDS: Final = 3
"""Simulations of the last step: connections fall to workers by chance, and the unluckiest draw counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one variant of the model needs. ``bears_per_s``: of one replica within the SLO; 0 if it holds at no
    load."""

    variant: str
    configuration: Configuration
    bears_per_s: float
    planned_per_s: float
    """What each replica is to get."""
    percentile_s: float
    """The SLO's highest percentile at that."""
    replicas: int
    spare: int
    cores_per_replica: int

    @property
    def cores(self) -> int:
        """Of all replicas, the spare ones included."""
        return (self.replicas + self.spare) * self.cores_per_replica

    def to_json(self) -> dict[str, Any]:
        return {
            "variant": self.variant or "model.onnx",
            "configuration": self.configuration.to_json(),
            "bears_per_s": round(self.bears_per_s, 1),
            "planned_per_s": round(self.planned_per_s, 1),
            "percentile_ms": round(self.percentile_s * 1e3, 4) if math.isfinite(self.percentile_s) else None,
            "replicas": self.replicas,
            "spare": self.spare,
            "cores_per_replica": self.cores_per_replica,
            "cores": self.cores,
        }


def plans(
    setting: Setting, rate_per_s: float, on_step: Callable[[str, float], None], headroom: float = HEADROOM
) -> list[Plan]:
    """For each variant, the fewest cores first; variants that hold the SLO at no load come last."""
    variants = list(dict.fromkeys(curve.knobs.variant for curve in setting.curves))
    found = []
    for number, variant in enumerate(variants):
        curves = [curve for curve in setting.curves if curve.knobs.variant == variant]
        alone = _alone(setting, curves)

        def within(text: str, share: float, at: int = number) -> None:
            on_step(text, (at + share) / len(variants))

        best = search(alone, within)[0][0].configuration
        found.append(_plan(best, alone, rate_per_s, headroom))
    return sorted(found, key=lambda one: (not one.replicas, one.cores))


def plan_with(
    configuration: Configuration, setting: Setting, rate_per_s: float, headroom: float = HEADROOM
) -> Plan:
    """What it takes where every replica is configured so."""
    curves = [curve for curve in setting.curves if curve.knobs == configuration.knobs]
    return _plan(configuration, _alone(setting, curves), rate_per_s, headroom)


def _alone(setting: Setting, curves: Sequence[Curve]) -> Setting:
    """A replica with these curves, its load generator elsewhere, and the traffic at about a quarter of what its
    cores could bear: where the search for the most begins."""
    costs, rows = setting.costs, int(setting.arrivals.rows.mean())
    each_us = costs.read_us + costs.answer_us + min(curve.run_us(16 * rows) for curve in curves) / 16
    rate = 0.25 * setting.cores / (each_us * 1e-6)
    arrivals = setting.arrivals.scaled(rate / setting.arrivals.rate_per_s)
    return replace(setting, arrivals=arrivals, curves=curves, objective="throughput", client=False)


def _plan(best: Configuration, setting: Setting, rate_per_s: float, headroom: float) -> Plan:
    variant = best.knobs.variant
    speed = min(highest_speed(best, setting, seed, steps=8) for seed in range(_SEEDS))
    planned = speed * (1 - headroom)
    outcome = run(best, setting, speed=planned)
    if speed < SPEEDS[0] or not setting.slo.holds(outcome.latency_s):
        return Plan(variant, best, 0.0, 0.0, math.inf, 0, 0, setting.cores)
    one_per_s = setting.arrivals.rate_per_s
    replicas = math.ceil(rate_per_s / (planned * one_per_s))
    spare = max(1, math.ceil(SPARE * replicas))
    worst_s = percentile(outcome.latency_s, setting.slo.main.percent)
    return Plan(variant, best, speed * one_per_s, planned * one_per_s, worst_s, replicas, spare, setting.cores)
