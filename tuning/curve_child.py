"""Measures one session's curve in a process of its own: ``python -m rapide.tuning.curve_child [CPUS]``.

A process of its own, because memory can be told apart only so, because threads of another session would spin
beside it, and because a model that crashes the runtime must not take the tuner along. The job comes on standard
input, the findings go to standard output, one JSON object a line, each as soon as it is known."""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rapide.server.catalogue import session_options
from rapide.server.errors import RapideError
from rapide.server.model import Model, load_model
from rapide.server.repository.local import open_repository
from rapide.server.repository.snapshot import VersionEntry
from rapide.tuning.curve import WORTH, Point
from rapide.tuning.inputs import Inputs
from rapide.tuning.knobs import Knobs
from rapide.tuning.sample_rows import batch_of, pool_of

ROUNDS: Final = 3
"""All sizes in turn, so often: what disturbs the machine for a moment spoils one round of some sizes."""
LEAST_RUNS: Final = 8
LEAST_S: Final = 0.008
NARROW: Final = 0.02
"""A confidence interval of this half-width is narrow enough: knobs below ``WORTH`` are not told apart anyway."""


@dataclass(frozen=True, slots=True)
class Job:
    """``against``: rows → µs of what this must beat somewhere, or its measuring is given up early."""

    models: str
    model: str
    version: int
    knobs: Knobs
    rows: tuple[int, ...]
    point_s: float
    """Time for one point, unless its interval is narrow before that."""
    longest_us: float
    """Larger batches are not measured once a run takes longer than this."""
    inputs: Inputs
    against: dict[str, float]

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Job:
        knobs, inputs = Knobs(**raw["knobs"]), Inputs.from_json(raw["inputs"])
        return cls(**{**raw, "knobs": knobs, "rows": tuple(raw["rows"]), "inputs": inputs})


def entry_of(models: str, model: str, version: int) -> VersionEntry:
    """The version in the repository (or bare file) at ``models``. Raises RapideError."""
    return open_repository(Path(models)).scan().models[model].versions[version]


def work(job: Job, tell: Callable[[dict[str, Any]], None]) -> None:
    """Loads and measures, telling each finding. Raises RapideError where the session cannot be made."""
    entry = entry_of(job.models, job.model, job.version)
    before_bytes, begun_s = _resident_bytes(), time.perf_counter()
    model = load_model(entry, session_options(job.knobs.tuning), job.knobs.variant)
    load_ms = (time.perf_counter() - begun_s) * 1e3
    pool = pool_of(entry, model, job.inputs)
    rows = job.rows if model.signature.batchable else (1,)
    best: dict[int, Point] = {}
    for _ in range(ROUNDS):
        for number, count in enumerate(rows):
            point = measure(model, pool, count, job.point_s / ROUNDS)
            best[count] = min(point, best.get(count, point), key=lambda each: each.us)
            if point.us > job.longest_us or _is_beaten(best[count], job, number, len(rows)):
                rows = rows[: number + 1]
                break
    for point in best.values():
        tell({"point": point.to_json()})
    tell({"loaded": {"load_ms": load_ms, "memory_bytes": max(0, _resident_bytes() - before_bytes)}})


def measure(model: Model, pool: list[Any], rows: int, budget_s: float) -> Point:
    """The median time of a run of ``rows`` rows, other ones each time."""
    is_batchable = model.signature.batchable
    batches = [batch_of(pool, rows, number) if is_batchable else pool for number in range(_different(pool, rows))]
    model.run(batches[0])
    times_s: list[float] = []
    now_s = time.perf_counter()
    enough_s, end_s, last_s = now_s + LEAST_S, now_s + budget_s, now_s + 3 * budget_s
    while True:
        arrays = batches[len(times_s) % len(batches)]
        begun_s = time.perf_counter()
        model.run(arrays)
        now_s = time.perf_counter()
        times_s.append(now_s - begun_s)
        count = len(times_s)
        if count >= LEAST_RUNS and (
            now_s > end_s or (now_s > enough_s and count % 64 == 0 and _is_narrow(times_s))
        ):
            return _point(rows, times_s)
        if now_s > last_s and count >= 3:
            return _point(rows, times_s)


def _different(pool: list[Any], rows: int) -> int:
    """How many batches until the pool's rows have all been seen."""
    return max(1, min(512, len(pool[0]) // max(1, rows))) if pool[0].ndim else 1


def _is_narrow(times_s: list[float]) -> bool:
    low, middle, high = _interval(times_s)
    return (high - low) / 2 <= NARROW * middle


def _point(rows: int, times_s: list[float]) -> Point:
    low, middle, high = _interval(times_s)
    return Point(rows, middle * 1e6, low * 1e6, high * 1e6, len(times_s))


def _interval(times_s: list[float]) -> tuple[float, float, float]:
    """The median and the ends of its 95 % interval, by order statistics (no distribution is assumed)."""
    ordered, count = sorted(times_s), len(times_s)
    reach = 0.98 * math.sqrt(count)
    low = ordered[max(0, math.floor(count / 2 - reach))]
    high = ordered[min(count - 1, math.ceil(count / 2 + reach))]
    return low, statistics.median(ordered), high


def _is_beaten(point: Point, job: Job, number: int, count: int) -> bool:
    """Slower than its rival so far, after a third of the sizes: it is not going to be better for the others."""
    rival_us = job.against.get(str(point.rows))
    return rival_us is not None and number >= count // 3 and point.low_us > rival_us * (1 + 3 * WORTH)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Does the job on standard input; 1 with the reason on standard output where it cannot be done."""
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, json.loads(sys.argv[1]))
    job = Job.from_json(json.load(sys.stdin))

    def tell(finding: dict[str, Any]) -> None:
        print(json.dumps(finding), flush=True)

    try:
        work(job, tell)
    except RapideError as error:
        tell({"failed": error.message})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
