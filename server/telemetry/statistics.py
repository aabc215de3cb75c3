"""Triton's model statistics from what all workers recorded. Pure.

The shape is ``$model_stat`` of Triton's statistics extension, which is also the JSON form of the protobuf message
``ModelStatistics``. https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

from __future__ import annotations

from typing import Any

from rapide.server.telemetry.aggregate import VersionTotals
from rapide.server.telemetry.version_block import COMPUTE_S, INPUT_S, OUTPUT_S, REQUESTS, ROWS, RUNS

_NS = 1e9
_NONE = {"count": 0, "ns": 0}


def model_statistics(totals: VersionTotals, wall_offset_s: float) -> dict[str, Any]:
    """One version's statistics since the server started.

    ``wall_offset_s``: epoch seconds minus monotonic seconds. Batches above 64 rows are put together (``bins``):
    their ``batch_size`` is the mean of those that were run.
    """
    table = totals.sums["by_batch_rows"]
    requests = int(table[:, REQUESTS].sum())
    compute_s, input_s, output_s = totals.sums["request_stages_s"].tolist()
    answered_s, failed_s = totals.sums["duration_sum_s"].sum(axis=1).tolist()
    last_s = totals.last_arrival_s
    return {
        "name": totals.model,
        "version": totals.version,
        "last_inference": round((last_s + wall_offset_s) * 1e3) if last_s else 0,
        "inference_count": int(table[:, ROWS].sum()),
        "execution_count": int(table[:, RUNS].sum()),
        "inference_stats": {
            "success": _duration(totals.count("ok"), answered_s),
            "fail": _duration(totals.failures, failed_s),
            "queue": _duration(requests, float(totals.sums["queue_sum_s"])),
            "compute_input": _duration(requests, input_s),
            "compute_infer": _duration(requests, compute_s),
            "compute_output": _duration(requests, output_s),
            "cache_hit": dict(_NONE),
            "cache_miss": dict(_NONE),
        },
        "batch_stats": [_batch(row) for row in table.tolist() if row[RUNS]],
    }


def _batch(row: list[float]) -> dict[str, Any]:
    runs = int(row[RUNS])
    return {
        "batch_size": round(row[ROWS] / runs),
        "compute_input": _duration(runs, row[INPUT_S]),
        "compute_infer": _duration(runs, row[COMPUTE_S]),
        "compute_output": _duration(runs, row[OUTPUT_S]),
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * _NS)}
