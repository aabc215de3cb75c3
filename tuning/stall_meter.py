"""How often and for how long this machine takes a core away: ``python -m rapide.tuning.stall_meter CPU SECONDS
AT``, from the instant ``AT`` of the monotonic clock.

As Gil Tene's jHiccup: a loop that does nothing but look at the clock sees each pause in which it did not run,
whoever was the cause: the host of a virtual machine, other processes, the kernel. And whoever sleeps is now and
then woken late, since the host has given the core to somebody else meanwhile. A percentile near the end of a
distribution is made of both at least as much as of the server, so the simulator has to know them.

Half of the time it is awake, as the thread of a model that works: whom the scheduler interrupts as soon as anybody
else wants the core, for whole slices of time. The other half it naps, 0.3 ms at a time, about as often as a server
under a usual load: who sleeps for longer meets fewer late wakings. The processors take turns: while one is watched
awake its neighbour naps, since what else there is to run goes to a core that idles, and a server and its callers
mostly leave one."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rapide.tuning.errors import TuningError

LEAST_US: Final = 100.0
"""Shorter pauses, and wakings less late, are the kernel's usual business: part of all that is measured."""
MARGIN_S: Final = 20.0
STARTS_WITHIN_S: Final = 0.4
"""Nobody watches before all have started: a starting process is itself a disturbance."""
AWAKE_S: Final = 0.05
NAPS_S: Final = 0.05
"""In turn. What disturbs a machine comes and goes."""
LOOK_S: Final = 1e-4
SLEEP_S: Final = 3e-4
"""Of one nap: it sleeps, and looks around before the next."""


@dataclass(frozen=True, slots=True)
class Stalls:
    """What one core suffers. The lengths are samples; none where nothing was seen."""

    per_s: float = 0.0
    """Of time worked."""
    lengths_us: tuple[float, ...] = ()
    late_share: float = 0.0
    """Of all wakings."""
    late_waking_us: tuple[float, ...] = ()
    """By how much later than usual these were."""


NONE: Final = Stalls()


@dataclass(frozen=True, slots=True)
class Watch:
    """What one process saw of its core."""

    looked_s: float
    pauses_us: tuple[float, ...]
    wakings: int
    late_waking_us: tuple[float, ...]
    """Of those that were late."""


def together(several: Sequence[Stalls]) -> Stalls:
    """Of watches that lasted equally long."""
    count = max(1, len(several))
    return Stalls(
        sum(each.per_s for each in several) / count,
        tuple(length for each in several for length in each.lengths_us),
        sum(each.late_share for each in several) / count,
        tuple(late for each in several for late in each.late_waking_us),
    )


def measure(cpus: Sequence[int], span_s: float) -> Stalls:
    """Watches all of ``cpus`` for ``span_s`` seconds. Blocking; uses five eighths of them.

    Raises TuningError where one cannot be watched: nobody knows of its stalls then.
    """
    command = [sys.executable, "-P", "-m", "rapide.tuning.stall_meter"]
    begin_s = time.monotonic() + STARTS_WITHIN_S
    meters: list[subprocess.Popen[bytes]] = []
    try:
        for number, cpu in enumerate(cpus):
            turn = [str(cpu), str(span_s), str(begin_s + AWAKE_S * (number % 2))]
            meters.append(subprocess.Popen([*command, *turn], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        said = [meter.communicate(timeout=span_s + MARGIN_S)[0] for meter in meters]
    except subprocess.TimeoutExpired:
        raise TuningError(
            f"the machine's stalls could not be watched: {span_s:g} s did not end in {MARGIN_S:g} s more.",
            hint="Something else takes all of a core. Tune again when the machine is idle.",
        ) from None
    finally:
        for meter in meters:
            meter.kill()
            meter.wait()
    if not all(said):
        unseen = ", ".join(str(cpu) for cpu, printed in zip(cpus, said, strict=True) if not printed)
        raise TuningError(f"processor {unseen} could not be watched for stalls.")
    seen = [Watch(**json.loads(printed)) for printed in said]
    pauses_us = tuple(pause for each in seen for pause in each.pauses_us)
    late_waking_us = tuple(late for each in seen for late in each.late_waking_us)
    return Stalls(
        len(pauses_us) / max(1e-9, sum(each.looked_s for each in seen)),
        pauses_us,
        len(late_waking_us) / max(1, sum(each.wakings for each in seen)),
        late_waking_us,
    )


def watch(span_s: float, begin_s: float | None = None) -> Watch:
    """Of this process, for ``span_s`` seconds, whose turns are counted from ``begin_s``, or from now. Whenever it
    is stopped it sees that, awake or asleep."""
    pauses_us: list[float] = []
    after_due_us: list[float] = []
    looked_s = 0.0

    def look(now_s: float, until_s: float) -> float:
        nonlocal looked_s
        began_s = now_s
        while now_s < until_s:
            before_s, now_s = now_s, time.monotonic()
            if now_s - before_s > LEAST_US * 1e-6:
                pauses_us.append(round((now_s - before_s) * 1e6, 1))
        looked_s += now_s - began_s
        return now_s

    now_s = time.monotonic()
    naps_end_s = now_s if begin_s is None else begin_s
    end_s = naps_end_s + span_s
    while now_s < end_s:
        now_s = look(now_s, naps_end_s + AWAKE_S)
        naps_end_s += AWAKE_S + NAPS_S
        while now_s < naps_end_s:
            due_s = now_s + SLEEP_S
            time.sleep(SLEEP_S)
            now_s = time.monotonic()
            after_due_us.append((now_s - due_s) * 1e6)
            now_s = look(now_s, now_s + LOOK_S)
    usual_us = statistics.median(after_due_us) if after_due_us else 0.0
    late_us = [round(each - usual_us, 1) for each in after_due_us if each > usual_us + LEAST_US]
    return Watch(looked_s, tuple(pauses_us), len(after_due_us), tuple(late_us))


def main() -> int:
    cpu, span_s, begin_s = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    os.sched_setaffinity(0, {cpu})
    time.sleep(max(0.0, begin_s - time.monotonic()))
    print(json.dumps(dataclasses.asdict(watch(span_s, begin_s))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
