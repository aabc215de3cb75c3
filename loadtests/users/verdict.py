"""Judges a finished run by its objectives, prints the verdict, and makes it the process's exit code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from rapide.loadtests.slo import Objective, judge

PASSED, MISSED = 0, 1


@dataclass(frozen=True, slots=True)
class LocustRun:
    """Locust's totals as ``slo.Measured``."""

    total: Any

    @property
    def requests(self) -> int:
        return int(self.total.num_requests)

    @property
    def failures(self) -> int:
        return int(self.total.num_failures)

    @property
    def duration_s(self) -> float:
        return max(1e-9, float(self.total.last_request_timestamp - self.total.start_time))

    @property
    def mean_ms(self) -> float:
        return float(self.total.avg_response_time)

    @property
    def max_ms(self) -> float:
        return float(self.total.max_response_time)

    def percentile_ms(self, share: float) -> float:
        return float(self.total.get_response_time_percentile(share))


def conclude(environment: Any, objectives: tuple[Objective, ...]) -> None:
    """Without objectives locust's own rule stays: any failure, or no request at all, is exit code 1."""
    run = LocustRun(environment.stats.total)
    if not objectives:
        if not run.requests:
            environment.process_exit_code = MISSED
        return
    verdicts = judge(objectives, run)
    holds = all(verdict.holds for verdict in verdicts)
    lines = ["Objectives", *(f"  {verdict}" for verdict in verdicts)]
    lines.append(f"{'All hold' if holds else 'Not met'}: {run.requests} requests, {run.failures} failed.")
    print("\n".join(lines), file=sys.stderr)
    environment.process_exit_code = PASSED if holds else MISSED
