from __future__ import annotations

from dataclasses import replace

from rapide.profiles.synthetic import synthetic_arrivals
from rapide.tuning.capacity import Plan, plans
from rapide.tuning.costs import Costs
from rapide.tuning.curve import Curve
from rapide.tuning.knobs import Knobs
from rapide.tuning.search import Setting
from rapide.tuning.slo import Slo
from tests.tuning.curves_of import curve_of

SLOW = curve_of(lambda rows: 500 + 100.0 * rows)
FAST = curve_of(lambda rows: 100 + 20.0 * rows, Knobs("int8"))


def planned(*curves: Curve, slo: str = "p99<20ms", rate: float = 1e6, headroom: float = 0.3) -> list[Plan]:
    arrivals = synthetic_arrivals("steady", rate_per_s=200, duration_s=2)
    setting = Setting(curves, Costs(), arrivals, Slo.parse(slo), "latency", 2)
    return plans(setting, rate, lambda text, share: None, headroom)


def test_a_faster_variant_needs_fewer_cores_and_comes_first() -> None:
    first, second = planned(SLOW, FAST)
    assert (first.variant, second.variant) == ("int8", "")
    assert first.cores < second.cores


def test_the_arithmetic_is_the_stated_one() -> None:
    (plan,) = planned(FAST, headroom=0.5)
    assert plan.planned_per_s == 0.5 * plan.bears_per_s
    assert (plan.replicas - 1) * plan.planned_per_s < 1e6 <= plan.replicas * plan.planned_per_s
    assert plan.spare == max(1, -(-plan.replicas // 20))
    assert plan.cores == 2 * (plan.replicas + plan.spare)
    assert plan.percentile_s < 20e-3


def test_ten_times_the_load_is_ten_times_the_replicas() -> None:
    small, large = planned(FAST, rate=1e5)[0], planned(FAST, rate=1e6)[0]
    assert abs(large.replicas - 10 * small.replicas) <= 10


def test_an_impossible_slo_is_met_at_no_load() -> None:
    (plan,) = planned(replace(SLOW), slo="p99<100us")
    assert (plan.replicas, plan.bears_per_s) == (0, 0.0)
    assert plan.to_json()["percentile_ms"] is None
