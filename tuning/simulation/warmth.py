"""How cold a worker is (``costs``), as time passes."""

from __future__ import annotations

import math

from rapide.tuning.costs import Costs


class Warmth:
    """Of one worker: 1 is as cold as it gets."""

    __slots__ = ("_cools_us", "_extra", "_warms_us", "cold")

    def __init__(self, costs: Costs) -> None:
        self._extra = costs.extra_cold
        self._cools_us = costs.cools_us
        self._warms_us = costs.warms_us
        self.cold = 1.0

    def slept(self, us: float) -> None:
        self.cold = 1.0 - (1.0 - self.cold) * math.exp(-us / self._cools_us)

    def worked(self, us: float) -> None:
        self.cold *= math.exp(-us / self._warms_us)

    def of(self, warm_us: float) -> float:
        """What takes ``warm_us`` on a warm worker."""
        return warm_us * (1.0 + self._extra * self.cold)
