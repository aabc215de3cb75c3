"""``session.run`` in a loop, without a server: what no server can beat. Prints JSON; ``run.py`` starts it, pinned.

python -m rapide.loadtests.bench.bare FOLDER SECONDS
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from rapide.loadtests.baselines import models
from rapide.loadtests.bench import workloads

ROWS = (1, 8, 32, 64)


def run_us(model: models.LoadedModel, rows: int, duration_s: float) -> float:
    """Median microseconds of one run of ``rows`` rows."""
    batch = np.repeat(workloads.row(), rows, axis=0)
    times_s = []
    for _ in range(20):  # warm-up
        model.run(batch)
    until_s = time.perf_counter() + duration_s
    while (start_s := time.perf_counter()) < until_s:
        model.run(batch)
        times_s.append(time.perf_counter() - start_s)
    return statistics.median(times_s) * 1e6


def main(folder: Path, duration_s: float) -> dict[str, dict[str, float]]:
    """Microseconds by model and rows."""
    return {
        name: {str(rows): run_us(model, rows, duration_s) for rows in ROWS}
        for name, model in models.load(folder).items()
    }


if __name__ == "__main__":
    json.dump(main(Path(sys.argv[1]), float(sys.argv[2])), sys.stdout)
