"""How often and for how long this machine takes a core away: ``python -m rapide.tuning.stall_meter CPU SECONDS``.

As Gil Tene's jHiccup: a loop that does nothing but look at the clock sees each pause in which it did not run,
whoever was the cause: the host of a virtual machine, other processes, the kernel. A percentile near the end of a
distribution is made of such stalls at least as much as of the server, so the simulator has to know them."""

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
    """Watches all of ``cpus`` for ``span_s`` seconds. Blocking; uses them wholly."""
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
    lengths_us = [length for printed in said for length in json.loads(printed or b"[]")]
    return Stalls(len(lengths_us) / (span_s * len(meters)), tuple(lengths_us))


def watch(span_s: float) -> list[float]:
    """The pauses of this process in the next ``span_s`` seconds, in µs."""
    found: list[float] = []
    now_s = time.monotonic()
    end_s = now_s + span_s
    while now_s < end_s:
        before_s, now_s = now_s, time.monotonic()
        if now_s - before_s > LEAST_US * 1e-6:
            found.append(round((now_s - before_s) * 1e6, 1))
    return found


def main() -> int:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    print(json.dumps(watch(float(sys.argv[2]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
