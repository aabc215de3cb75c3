"""``session.run`` in a loop, without a server: what no server can beat. Prints JSON; the run starts it, pinned.

python -m rapide.loadtests.bench.bare MODEL.onnx SECONDS ROWS...
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rapide.loadtests.baselines import models
from rapide.loadtests.bench import workloads
from rapide.loadtests.bench.processes import pinned


def loop(model: Path, rows: int, duration_s: float) -> dict[str, float]:
    """Runs of ``rows`` rows: ``run_us``, the median microseconds of one, and ``rows_per_s`` over all of them."""
    session = models.session(model)
    names = [spec.name for spec in session.get_outputs()]
    feeds = workloads.feeds(workloads.payload(model, rows))
    for _ in range(5):  # warm-up
        session.run(names, feeds)
    times_s = []
    begun_s = now_s = time.perf_counter()
    while now_s < begun_s + duration_s:
        session.run(names, feeds)
        before_s, now_s = now_s, time.perf_counter()
        times_s.append(now_s - before_s)
    return {
        "run_us": statistics.median(times_s) * 1e6,
        "rows_per_s": len(times_s) * rows / (now_s - begun_s),
    }


def measure(model: Path, rows: tuple[int, ...], duration_s: float) -> dict[str, dict[str, float]]:
    """``loop`` in a process of its own on the server's core, by rows."""
    command = [sys.executable, "-m", "rapide.loadtests.bench.bare", str(model), str(duration_s)]
    said = subprocess.run(pinned([*command, *map(str, rows)]), capture_output=True, text=True, check=True)
    found: dict[str, dict[str, float]] = json.loads(said.stdout)
    return found


def main(model: Path, duration_s: float, rows: list[int]) -> dict[int, dict[str, float]]:
    return {each: loop(model, each, duration_s) for each in rows}


if __name__ == "__main__":
    json.dump(main(Path(sys.argv[1]), float(sys.argv[2]), [int(word) for word in sys.argv[3:]]), sys.stdout)
