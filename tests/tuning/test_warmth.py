"""How cold a simulated worker is."""

from __future__ import annotations

import pytest

from rapide.tuning.costs import Costs
from rapide.tuning.simulation.warmth import Warmth


def test_a_worker_gets_cold_asleep_and_warm_at_work() -> None:
    warmth = Warmth(Costs(extra_cold=3, cools_us=100, warms_us=100))
    assert warmth.of(10) == 40
    for _ in range(20):
        warmth.worked(50)
    assert warmth.of(10) == pytest.approx(10, rel=0.01)
    warmth.slept(1e6)
    assert warmth.of(10) == pytest.approx(40)
