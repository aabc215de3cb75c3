"""How long a tuning may take, and how far each of its parts may go. The clock is an argument."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Over = Callable[[], bool]
"""Whether it is time to stop. What is under way is finished; what comes first is always done."""


def never() -> bool:
    """There is no bound."""
    return False


UNTIL: Final = {"measure": 0.4, "calibrate": 0.62, "search": 0.75}
"""By which share of the whole time each part is over. What it leaves belongs to the proof."""


@dataclass(frozen=True, slots=True)
class Budget:
    """``total_s`` from ``begun_s`` on."""

    total_s: float = math.inf
    begun_s: float = 0.0
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, total_s: float, clock: Callable[[], float] = time.monotonic) -> Budget:
        """It begins now."""
        return cls(total_s, clock(), clock)

    @property
    def left_s(self) -> float:
        return self.total_s - (self.clock() - self.begun_s)

    def over(self, part: str) -> Over:
        """For one of UNTIL's parts."""
        left_s = self.total_s * (1 - UNTIL[part]) if math.isfinite(self.total_s) else -math.inf
        return lambda: self.left_s < left_s
