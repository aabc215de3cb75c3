"""Whether somebody else uses this machine: measurements beside other work say nothing. Reads /proc/stat."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUSY: Final = 0.1
"""Share of all cores that others may use before it is said."""
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Times:
    """Processor time until now: of all cores together, and of this process and the children it has waited for."""

    busy_s: float
    stolen_s: float
    """What the host took away from this virtual machine."""
    own_s: float
    at_s: float

    @classmethod
    def now(cls, root: Path = Path("/")) -> Times:
        """proc(5): user nice system idle iowait irq softirq steal, in ticks."""
        ticks = [int(text) for text in (root / "proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        own = os.times()
        busy = sum(ticks) - ticks[3] - ticks[4] - ticks[7]
        own_s = own.user + own.system + own.children_user + own.children_system
        return cls(busy * _TICK_S, ticks[7] * _TICK_S, own_s, time.monotonic())


def others_share(before: Times, after: Times, cores: int) -> float:
    """Which share of ``cores`` others used between the two, work stolen by the host included: 0 to 1."""
    span_s = max(1e-3, after.at_s - before.at_s)
    own_s = after.own_s - before.own_s
    others_s = after.busy_s - before.busy_s - own_s + after.stolen_s - before.stolen_s
    return min(1.0, max(0.0, others_s / (span_s * cores)))


def look(cores: int, span_s: float = 0.5) -> float:
    """The others' share over the next ``span_s`` seconds, in which this process sleeps."""
    before = Times.now()
    time.sleep(span_s)
    return others_share(before, Times.now(), cores)
