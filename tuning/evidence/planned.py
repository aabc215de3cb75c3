"""Plans held to reality: a replica of one core, asked for what it is planned to get, and for more than it bears.

One core, so that the load generator has another to itself. It is asked with the rows that it was planned by: for
the forest of 500 trees other rows cost up to half as much again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rapide.profiles.synthetic import synthetic_arrivals
from rapide.server.model import SessionOptions, load_model
from rapide.tuning import sample_rows
from rapide.tuning.capacity import Plan, plans
from rapide.tuning.curve_child import entry_of
from rapide.tuning.found import Request
from rapide.tuning.proof import Measured, measure
from rapide.tuning.served import Site
from rapide.tuning.slo import Slo, percentile
from rapide.tuning.traffic import busiest
from rapide.tuning.tune import learn
from rapide.tuning.work_folder import work_folder

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
    setting, _ = learn(request, on_step)
    plan = plans(setting, RATE_PER_S, on_step)[0]
    model = load_model(request.entry, SessionOptions())
    with work_folder("rapide-rows-") as rows:
        rows_file = rows / "rows.npz"
        sample_rows.save(sample_rows.pool_of(request.entry, model), model.signature, rows_file)
        at_plan = replayed(request, plan, plan.planned_per_s, rows_file)
        beyond = replayed(request, plan, BEYOND * plan.bears_per_s, rows_file)
    percent = slo.main.percent
    return {
        "model": name,
        "slo": str(slo),
        "plan": plan.to_json(),
        "words": plan.configuration.words,
        "measured_ms": [_ms(at_plan, percent), _ms(beyond, percent)],
        "holds": [slo.holds(at_plan.latency_s), slo.holds(beyond.latency_s)],
    }


def replayed(request: Request, plan: Plan, rate_per_s: float, rows_file: Path) -> Measured:
    """Poisson traffic at ``rate_per_s`` against a real replica, as the plan says that it runs."""
    entry = request.entry
    site = Site(
        request.models, entry.model, entry.version, request.digest, request.cpus, rows_file, request.protocol
    )
    traffic = synthetic_arrivals("steady", rate_per_s=rate_per_s, duration_s=SECONDS, seed=11)
    return measure(site, plan.configuration, traffic)


def _ms(measured: Measured, percent: float) -> float | None:
    value_s = percentile(measured.latency_s, percent)
    return round(value_s * 1e3, 3) if value_s < float("inf") else None
