"""Nothing held an SLO: what would. By the simulator alone, and pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from rapide.tuning.capacity import HEADROOM, Plan, plan_with
from rapide.tuning.configuration import Configuration
from rapide.tuning.search import Setting
from rapide.tuning.slo import seconds

MOST_REQUESTS: Final = 2000
"""Simulated at a time: somebody waits for the answer."""


def needed(setting: Setting, tried: Sequence[Configuration], percentile_s: Callable[[float], float]) -> str:
    """A sentence or two for whoever asked. ``tried``: the best first; ``percentile_s``: of what was chosen."""
    slo = setting.slo
    rows = int(np.percentile(setting.arrivals.rows, slo.main.percent, method="lower"))
    figures = ", ".join(f"p{limit.percent:g} {seconds(percentile_s(limit.percent))}" for limit in slo.limits)
    least_s = min(curve.run_us(rows, cap) for curve in setting.curves for cap in (0, *curve.caps(rows))) * 1e-6
    alone_s = least_s + setting.costs.network_us * 1e-6
    if alone_s > slo.main.limit_s:
        return (
            f"The SLO {slo} cannot be met here with any number of cores: one run alone takes {seconds(least_s)}. "
            f"A faster variant (rapide optimise), a faster processor or a limit above {seconds(alone_s)} is "
            f"needed. Best: {figures}."
        )
    told = f"No configuration holds {slo} for this load on {setting.cores} cores; the best gives {figures}."
    known = {curve.knobs for curve in setting.curves}
    tried = [configuration for configuration in tried if configuration.knobs in known]
    if not tried:
        return f"{told} `rapide plan` says how many cores would hold it."
    ways = [_way(plan) for plan in _plans(setting, tried)]
    if not ways:
        return (
            f"{told} By simulation more cores would not help: it does not hold under less load either. A faster "
            "variant (rapide optimise) or a higher limit is needed."
        )
    return (
        f"{told} By simulation, with callers elsewhere and {HEADROOM:.0%} of head-room, it takes "
        f"{', or '.join(ways)}; `rapide plan` says more."
    )


def _plans(setting: Setting, tried: Sequence[Configuration]) -> list[Plan]:
    """Of each variant with the best that was tried of it, those that hold the SLO; the fewest cores first."""
    setting = replace(setting, most_requests=MOST_REQUESTS)
    best: dict[str, Configuration] = {}
    for configuration in tried:
        best.setdefault(configuration.knobs.variant, configuration)
    found = [plan_with(one, setting, setting.arrivals.rate_per_s) for one in best.values()]
    return sorted((plan for plan in found if plan.replicas), key=lambda plan: plan.cores)


def _way(plan: Plan) -> str:
    variant = f" with the variant {plan.variant}" if plan.variant else ""
    servers = "one server" if plan.replicas == 1 else f"{plan.replicas} servers"
    return (
        f"{servers} like this one and {plan.spare} spare ({plan.cores} cores in all){variant}: "
        f"{plan.configuration.words}"
    )
