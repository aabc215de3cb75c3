"""Latency at a fixed arrival rate: Poisson arrivals, each request timed from when it was due.

It sends with the generator of the replay, which spins between two requests here: it has a core of its own.
"""

from __future__ import annotations

import gc
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from rapide.loadtests.bench.contestants import HOST, Target
from rapide.loadtests.replay.generator import Generator, Options, Record
from rapide.loadtests.wire.connection import ANSWERED, NOT_SENT, Connection
from rapide.loadtests.wire.grpc_connection import GrpcCall, GrpcConnection
from rapide.loadtests.wire.http2 import request_headers
from rapide.loadtests.wire.http_connection import HttpConnection, request_bytes

CONNECTIONS = {"grpc": 8, "http": 32}
ANSWERS_WITHIN_S = 10.0
"""What is not answered so soon has failed."""
SPIN_S = 1.0
"""Longer than any gap between two requests: it never sleeps."""
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one loop found. Times are microseconds; percentiles are exact, over all answered requests."""

    requests: int
    failures: int
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    p99_by_second_us: float
    """The median of what each second's own p99 was. A stall of the whole machine spoils one second."""
    late_p99_us: float
    """How late the generator itself sent; where this nears ``p99_us``, it measured itself."""


def measure(target: Target, rate_per_s: float, warm_up_s: float, duration_s: float, seed: int) -> Measurement:
    """The same arrivals for the same ``seed``; those of the first ``warm_up_s`` do not count.

    Raises OSError or Refused where the server does not answer at all.
    """
    due_s = arrivals(rate_per_s, warm_up_s + duration_s, seed)
    latency_s, lateness_s = np.zeros(len(due_s)), np.zeros(len(due_s))
    codes = np.full(len(due_s), NOT_SENT, np.int16)
    call = _call(target)
    count = CONNECTIONS[target.protocol]
    generator = Generator(
        (HOST, target.port),
        _CONNECTION[target.protocol],
        due_s.data,
        [call],
        bytes(len(due_s)),
        Options(count, count, ANSWERS_WITHIN_S, SPIN_S),
        Record(latency_s.data, lateness_s.data, codes.data, [0] * 5),
    )
    generator.connect([call])
    gc.disable()  # a collection in the middle would be taken for the server's latency
    try:
        generator.run(time.monotonic())
    finally:
        gc.enable()
        generator.close()
    counted = due_s >= warm_up_s
    return summary(due_s[counted], latency_s[counted], lateness_s[counted], codes[counted] == ANSWERED)


def arrivals(rate_per_s: float, duration_s: float, seed: int) -> Floats:
    """Instants of a Poisson process, in seconds from the start."""
    gaps_s = np.random.default_rng(seed).exponential(1 / rate_per_s, size=int(rate_per_s * duration_s))
    return np.cumsum(gaps_s)


def summary(
    due_s: Floats, latency_s: Floats, lateness_s: Floats, is_answered: np.ndarray[Any, np.dtype[np.bool_]]
) -> Measurement:
    """The figures of requests due at ``due_s``, of which some were not answered."""
    times_us = latency_s[is_answered] * 1e6
    if not len(times_us):
        times_us = np.array([np.nan])
    p50, p90, p99, p999 = (float(value) for value in np.percentile(times_us, [50, 90, 99, 99.9]))
    return Measurement(
        requests=int(is_answered.sum()),
        failures=int((~is_answered).sum()),
        mean_us=float(times_us.mean()),
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        p999_us=p999,
        max_us=float(times_us.max()),
        p99_by_second_us=_p99_by_second(due_s[is_answered], times_us),
        late_p99_us=float(np.percentile(lateness_s, 99) * 1e6),
    )


def _p99_by_second(due_s: Floats, times_us: Floats) -> float:
    if not len(due_s):
        return float("nan")
    seconds = (due_s - due_s[0]).astype(int)
    return float(np.median([np.percentile(times_us[seconds == second], 99) for second in np.unique(seconds)]))


def _call(target: Target) -> Any:
    if target.protocol == "grpc":
        return GrpcCall.of(request_headers(target.path, f"{HOST}:{target.port}"), target.body)
    return request_bytes(HOST, target.port, target.path, target.headers, target.body)


_CONNECTION: dict[str, type[Connection[Any]]] = {"grpc": GrpcConnection, "http": HttpConnection}
