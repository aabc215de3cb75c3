"""Results made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rapide.loadtests.replay.result import ReplayResult


def result(
    latency_s: ArrayLike,
    codes: ArrayLike = 0,
    *,
    rate_per_s: float = 100.0,
    lateness_s: ArrayLike = 0.0,
    names: Sequence[str] = ("m",),
    models: ArrayLike = 0,
    **more: Any,
) -> ReplayResult:
    """Requests at an even pace; one figure stands for all of them."""
    latencies = np.asarray(latency_s, dtype=np.float64)
    count = len(latencies)
    return ReplayResult(
        intended_s=np.arange(count) / rate_per_s,
        latency_s=latencies,
        lateness_s=np.broadcast_to(np.asarray(lateness_s, dtype=np.float64), count).copy(),
        codes=np.broadcast_to(np.asarray(codes, dtype=np.int16), count).copy(),
        rows=np.ones(count, np.int64),
        models=np.broadcast_to(np.asarray(models, dtype=np.int64), count).copy(),
        names=names,
        busy=more.pop("busy", [0.1]),
        **more,
    )
