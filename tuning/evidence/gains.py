"""Three models × three profiles: what ``rapide tune`` makes of them, against the defaults, by paired replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.synthetic import synthetic_arrivals
from rapide.tuning.curve_child import entry_of
from rapide.tuning.evidence.site import site_of
from rapide.tuning.found import Found, Request
from rapide.tuning.proof import Proof, measure
from rapide.tuning.slo import Slo, percentile
from rapide.tuning.traffic import busiest
from rapide.tuning.tune import tune

ROUNDS: Final = 3
LARGE: Final = 256
MORE: Final = 1.3
"""Times the load that a tuned server is to serve as fast as the defaults serve the load itself."""
SECONDS: Final = 2.5


@dataclass(frozen=True, slots=True)
class Load:
    """One profile of one model."""

    kind: str
    rate_per_s: float
    rows: int
    slo: str
    large_per_s: float = 0.0
    """Requests of LARGE rows between the others."""


# At p95, since p99 is the machine's stalls more than the server's work here (docs/tuning.md).
LOADS: Final[Mapping[str, Mapping[str, Load]]] = {
    "linear": {
        "steady": Load("steady", 3000, 1, "p95<3ms"),
        "burst": Load("burst", 500, 1, "p95<5ms"),
        "large": Load("steady", 300, 256, "p95<5ms"),
    },
    "forest": {
        "steady": Load("steady", 1200, 1, "p95<5ms"),
        "mixed": Load("steady", 300, 1, "p95<10ms", large_per_s=40),
        "large": Load("steady", 60, 256, "p95<20ms"),
    },
    "network": {
        "steady": Load("steady", 1500, 1, "p95<5ms"),
        "burst": Load("burst", 150, 1, "p95<5ms"),
        "large": Load("steady", 60, 256, "p95<20ms"),
    },
}


def gain(
    root: Path,
    folder: Path,
    name: str,
    profile: str,
    cpus: tuple[int, ...],
    on_step: Callable[[str, float], None],
    *,
    fresh: bool,
) -> dict[str, Any]:
    """Tunes, and says what it gained. ``fresh``: what was learnt in ``folder`` before does not count."""
    load = LOADS[name][profile]
    arrivals = _arrivals(load)
    request = Request(
        models=str(root),
        entry=entry_of(str(root), name, 1),
        arrivals=busiest(arrivals, SECONDS),
        slo=Slo.parse(load.slo),
        objective="latency",
        cpus=cpus,
        folder=folder,
        rounds=ROUNDS,
        profile_name=profile,
        effort=0.5,
    )
    if fresh:
        request.learnt_path.unlink(missing_ok=True)
    found = tune(request, on_step)
    told = verdict(found, load)
    if found.is_improvement and told["slo_between_ms"] is None:
        told["more"] = more(found, on_step)
    return told


def more(found: Found, on_step: Callable[[str, float], None]) -> dict[str, Any]:
    """Does what was chosen serve MORE times the load as fast as the defaults serve the load itself? In turn."""
    request, percent = found.request, found.request.slo.main.percent
    faster = request.arrivals.scaled(MORE)
    figures: dict[str, list[float]] = {"default_ms": [], "chosen_ms": []}
    asked = (("default_ms", found.default, request.arrivals), ("chosen_ms", found.chosen, faster))
    with site_of(request) as site:
        for number in range(ROUNDS):
            on_step(f"replaying {MORE:g} times the load", number / ROUNDS)
            for name, configuration, arrivals in asked if number % 2 == 0 else reversed(asked):
                if configuration is not None:
                    latency_s = measure(site, configuration, arrivals).latency_s
                    figures[name].append(round(percentile(latency_s, percent) * 1e3, 4))
    return {"times": MORE, **figures}


def _arrivals(load: Load) -> Arrivals:
    few = synthetic_arrivals(load.kind, rate_per_s=load.rate_per_s, duration_s=30.0, rows=load.rows, seed=5)
    if not load.large_per_s:
        return few
    many = synthetic_arrivals("steady", rate_per_s=load.large_per_s, duration_s=30.0, rows=LARGE, seed=6)
    instants_s = np.concatenate([few.instants_s, many.instants_s])
    order = np.argsort(instants_s, kind="stable")
    return Arrivals(instants_s[order], np.concatenate([few.rows, many.rows])[order])


def verdict(found: Found, load: Load) -> dict[str, Any]:
    """The figures of the default and of what was chosen, and whether an SLO lies between them."""
    default, chosen = found.proof_of(found.default), found.proof_of(found.chosen)
    if default is None or chosen is None:
        raise ValueError("nothing was proven")
    percent = found.request.slo.main.percent
    before, after = _rounds_ms(default, percent), _rounds_ms(chosen, percent)
    between = max(after) < min(before)
    return {
        "model": found.request.entry.model,
        "profile": found.request.profile_name,
        "rate_per_s": round(found.request.arrivals.rate_per_s),
        "percent": percent,
        "rows": load.rows,
        "large_per_s": load.large_per_s,
        "simulated": found.simulated,
        "default_ms": before,
        "chosen_ms": after,
        "chosen": "the defaults" if not found.is_improvement and found.chosen else _words(found),
        "ratio": round(default.percentile_s(percent) / chosen.percentile_s(percent), 3),
        "slo_between_ms": round((max(after) * min(before)) ** 0.5, 3) if between else None,
        "cpu_us": [_cpu_us(default), _cpu_us(chosen)],
        "caps": sorted({cap for curve in found.curves for cap in curve.caps(1024)}),
    }


def _words(found: Found) -> str:
    return "" if found.chosen is None else found.chosen.words


def _rounds_ms(proof: Proof, percent: float) -> list[float]:
    return [round(percentile(each.latency_s, percent) * 1e3, 4) for each in proof.rounds]


def _cpu_us(proof: Proof) -> int:
    return round(proof.median(lambda each: each.cpu_s / max(1, len(each.latency_s))) * 1e6)
