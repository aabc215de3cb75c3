"""What a measurement cost, and who else was at work meanwhile: read from ``/proc`` before and after it.

A tick of the kernel's accounts is 10 ms, so shares over seconds are good to about one in a hundred.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rapide.loadtests.bench.processes import ServerProcess, cpu_s

FOREIGN_CORES = 0.05
STEAL = 0.02
"""More than this of a core taken by other processes or by the host, and a measurement counts as disturbed."""
_BUSY = (0, 1, 2)
"""The columns user, nice and system of ``/proc/stat`` (proc(5)); interrupts are charged to nobody."""
_STEAL = 7
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Accounts:
    """The processor's accounts at one moment, in seconds of one core since the start of each."""

    at_s: float
    busy_s: float
    stolen_s: float
    ours_s: float
    """This process, the servers, and everything else that it started."""
    server_s: float
    generator_s: float
    """This process and the generators that it started and that have ended: no server ends during a measurement."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a measurement took of the processor. All but ``server_cpu_s`` are shares: 1.0 is a whole core."""

    server_cpu_s: float
    generator_cores: float
    foreign_cores: float
    steal_cores: float

    @property
    def was_disturbed(self) -> bool:
        return disturbed({"foreign_cores": self.foreign_cores, "steal_cores": self.steal_cores})


def disturbed(entry: Mapping[str, float]) -> bool:
    """Whether others took so much during a measurement that its figures may be theirs."""
    return entry["foreign_cores"] > FOREIGN_CORES or entry["steal_cores"] > STEAL


def read(server: ServerProcess | None) -> Accounts:
    """The accounts now."""
    columns = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    own = os.times()
    return Accounts(
        at_s=time.perf_counter(),
        busy_s=sum(columns[index] for index in _BUSY) / _TICKS_PER_S,
        stolen_s=columns[_STEAL] / _TICKS_PER_S,
        ours_s=cpu_s(os.getpid()),
        server_s=server.cpu_s() if server else 0.0,
        generator_s=sum(own[:4]),
    )


def between(before: Accounts, after: Accounts) -> Cost:
    """What happened from one moment to the other."""
    took_s = after.at_s - before.at_s
    ours_s = after.ours_s - before.ours_s
    return Cost(
        server_cpu_s=after.server_s - before.server_s,
        generator_cores=(after.generator_s - before.generator_s) / took_s,
        foreign_cores=max(0.0, (after.busy_s - before.busy_s - ours_s) / took_s),
        steal_cores=(after.stolen_s - before.stolen_s) / took_s,
    )


@dataclass(slots=True)
class Meter:
    """``with Meter(server) as meter: …``; ``meter.cost`` afterwards."""

    server: ServerProcess | None = None
    cost: Cost = field(init=False)
    _before: Accounts = field(init=False)

    def __enter__(self) -> Meter:
        self._before = read(self.server)
        return self

    def __exit__(self, *_error: object) -> None:
        self.cost = between(self._before, read(self.server))
