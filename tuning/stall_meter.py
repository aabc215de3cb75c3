"""How often and for how long this machine takes a core away: ``python -m rapide.tuning.stall_meter CPU SECONDS``.

As Gil Tene's jHiccup: a loop that does nothing but look at the clock sees each pause in which it did not run,
whoever was the cause: the host of a virtual machine, other processes, the kernel. A percentile near the end of a
distribution is made of such stalls at least as much as of the server, so the simulator has to know them.

It looks for two milliseconds and rests for three, as a server under a usual load does. Whoever never rests is made
to, for whole slices of time: by the scheduler, as soon as anybody else wants the core, and by hosts that give a
machine less than its cores. A server that wakes is run at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LEAST_US: Final = 100.0
"""Shorter pauses are the kernel's usual business, and part of all that is measured."""
MARGIN_S: Final = 20.0
LOOK_S: Final = 2e-3
REST_S: Final = 3e-3


@dataclass(frozen=True, slots=True)
class Stalls:
    """What one core suffers. ``lengths_us`` are samples; none where nothing was seen."""

    per_s: float = 0.0
    lengths_us: tuple[float, ...] = ()


NONE: Final = Stalls()


def together(several: Sequence[Stalls]) -> Stalls:
    """Of watches that lasted equally long."""
    lengths_us = tuple(length for each in several for length in each.lengths_us)
    return Stalls(sum(each.per_s for each in several) / max(1, len(several)), lengths_us)


def measure(cpus: Sequence[int], span_s: float) -> Stalls:
    """Watches all of ``cpus`` for ``span_s`` seconds. Blocking; uses two fifths of them."""
    command = [sys.executable, "-P", "-m", "rapide.tuning.stall_meter"]
    meters = [
        subprocess.Popen([*command, str(cpu), str(span_s)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for cpu in cpus
    ]
    try:
        said = [meter.communicate(timeout=span_s + MARGIN_S)[0] for meter in meters]
    finally:
        for meter in meters:
            meter.kill()
            meter.wait()
    seen = [json.loads(printed) for printed in said if printed]
    lengths_us = [length for _, lengths in seen for length in lengths]
    return Stalls(len(lengths_us) / max(1e-9, sum(looked_s for looked_s, _ in seen)), tuple(lengths_us))


def watch(span_s: float, rest_s: float = REST_S) -> tuple[float, list[float]]:
    """For how long it looked in the next ``span_s`` seconds, and the pauses of this process meanwhile, in µs."""
    found: list[float] = []
    looked_s = 0.0
    now_s = time.monotonic()
    end_s = now_s + span_s
    while now_s < end_s:
        looked_s -= now_s
        rests_at_s = now_s + LOOK_S
        while now_s < rests_at_s:
            before_s, now_s = now_s, time.monotonic()
            if now_s - before_s > LEAST_US * 1e-6:
                found.append(round((now_s - before_s) * 1e6, 1))
        looked_s += now_s
        time.sleep(rest_s)
        now_s = time.monotonic()
    return looked_s, found


def main() -> int:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    print(json.dumps(watch(float(sys.argv[2]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
