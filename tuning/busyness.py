"""Whether somebody else uses the processors that are measured on: beside other work measurements say nothing.
Reads /proc/stat."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUSY: Final = 0.1
"""Share of the cores that others may use before it is said."""
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Times:
    """Processor time until now: of some cores together, and of this process and the children it has waited for,
    wherever they ran."""

    busy_s: float
    stolen_s: float
    """What the host took away from this virtual machine."""
    own_s: float
    at_s: float

    @classmethod
    def now(cls, cpus: Collection[int], root: Path = Path("/")) -> Times:
        """Of ``cpus``. proc(5): user nice system idle iowait irq softirq steal, in ticks."""
        busy = stolen = 0
        for line in (root / "proc/stat").read_text().splitlines():
            name, *counts = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cpus:
                ticks = [int(text) for text in counts[:8]]
                busy += sum(ticks) - ticks[3] - ticks[4] - ticks[7]
                stolen += ticks[7]
        own = os.times()
        own_s = own.user + own.system + own.children_user + own.children_system
        return cls(busy * _TICK_S, stolen * _TICK_S, own_s, time.monotonic())


def others_share(before: Times, after: Times, cores: int) -> float:
    """Which share of the ``cores`` others used between the two at least, work stolen by the host included: 0 to 1.
    (All of one's own work may have been there; a load generator with cores of its own was not.)"""
    span_s = max(1e-3, after.at_s - before.at_s)
    own_s = after.own_s - before.own_s
    others_s = after.busy_s - before.busy_s - own_s + after.stolen_s - before.stolen_s
    return min(1.0, max(0.0, others_s / (span_s * cores)))


def look(cpus: Collection[int], span_s: float = 0.5) -> float:
    """The others' share of ``cpus`` over the next ``span_s`` seconds, in which this process sleeps."""
    before = Times.now(cpus)
    time.sleep(span_s)
    return others_share(before, Times.now(cpus), len(cpus))
