"""Plans held to reality: a replica of one core, asked for what it is planned to get, and for more than it bears.

One core, so that the load generator has another to itself. It is asked with the rows that it was planned by: for
the forest of 500 trees other rows cost up to half as much again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rapide.profiles.synthetic import synthetic_arrivals
from rapide.tuning.capacity import Plan, plans
from rapide.tuning.curve_child import entry_of
from rapide.tuning.evidence.site import site_of
from rapide.tuning.found import Request
from rapide.tuning.proof import Measured, measure
from rapide.tuning.served import Site
from rapide.tuning.slo import Slo, percentile
from rapide.tuning.traffic import busiest
from rapide.tuning.tune import learn

RATE_PER_S: Final = 1e6
SECONDS: Final = 2.0
BEYOND: Final = 1.5
"""Of what the replica is said to bear: there the SLO should be missed, or the plan is too careful."""
SLOS: Final[Mapping[str, str]] = {"linear": "p99<10ms", "forest": "p99<10ms", "network": "p99<20ms"}


def check(root: Path, folder: Path, name: str, on_step: Callable[[str, float], None]) -> dict[str, Any]:
    """Plans for a million requests a second, and replays one replica's part."""
    slo = Slo.parse(SLOS[name])
    request = Request(
        models=str(root),
        entry=entry_of(str(root), name, 1),
        arrivals=busiest(synthetic_arrivals("steady", rate_per_s=500, duration_s=10.0, seed=9), SECONDS),
        slo=slo,
        objective="throughput",
        cpus=(0,),
        folder=folder,
        effort=0.5,
    )
    request.learnt_path.unlink(missing_ok=True)
    setting, _ = learn(request, on_step)
    plan = plans(setting, RATE_PER_S, on_step)[0]
    with site_of(request) as site:
        at_plan = replayed(site, plan, plan.planned_per_s)
        beyond = replayed(site, plan, BEYOND * plan.bears_per_s)
    percent = slo.main.percent
    return {
        "model": name,
        "slo": str(slo),
        "plan": plan.to_json(),
        "words": plan.configuration.words,
        "measured_ms": [_ms(at_plan, percent), _ms(beyond, percent)],
        "holds": [slo.holds(at_plan.latency_s), slo.holds(beyond.latency_s)],
        "limited": [at_plan.limited, beyond.limited],
    }


def replayed(site: Site, plan: Plan, rate_per_s: float) -> Measured:
    """Poisson traffic at ``rate_per_s`` against a real replica, as the plan says that it runs."""
    traffic = synthetic_arrivals("steady", rate_per_s=rate_per_s, duration_s=SECONDS, seed=11)
    return measure(site, plan.configuration, traffic)


def _ms(measured: Measured, percent: float) -> float | None:
    value_s = percentile(measured.latency_s, percent)
    return round(value_s * 1e3, 3) if value_s < float("inf") else None
