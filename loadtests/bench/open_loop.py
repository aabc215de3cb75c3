"""Latency at a fixed arrival rate: Poisson arrivals, each request timed from when it was due.

It sends with the generator of the replay, which spins between two requests here: it has a core of its own.
Contestants take short turns, and the turns of each are summed up together: what the machine does meanwhile hits
all alike.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
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
class Turn:
    """The requests of one turn that count, in the order in which they were due. Seconds."""

    latency_s: Floats
    """From when a request was due to its answer; of those that were answered."""
    lateness_s: Floats
    """How late the generator itself sent, of all."""

    @property
    def failures(self) -> int:
        return len(self.lateness_s) - len(self.latency_s)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one contestant's turns found together. Microseconds; percentiles are exact, over answered requests."""

    requests: int
    failures: int
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float
    p99_by_turn_us: float
    """The median of what each turn's own p99 was. A stall of the whole machine spoils one turn."""
    late_p99_us: float
    """How late the generator itself sent; where this nears ``p99_us``, it measured itself."""


def turn(target: Target, rate_per_s: float, warm_up_s: float, duration_s: float, seed: int) -> Turn:
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
    return Turn(latency_s[counted & (codes == ANSWERED)], lateness_s[counted])


def arrivals(rate_per_s: float, duration_s: float, seed: int) -> Floats:
    """Instants of a Poisson process, in seconds from the start."""
    gaps_s = np.random.default_rng(seed).exponential(1 / rate_per_s, size=int(rate_per_s * duration_s))
    return np.cumsum(gaps_s)


def summary(turns: Sequence[Turn]) -> Measurement:
    """The figures of all requests of ``turns`` together."""
    times_us = np.concatenate([each.latency_s for each in turns]) * 1e6
    requests = len(times_us)
    if not requests:
        times_us = np.array([np.nan])
    p50, p90, p99, p999 = (float(value) for value in np.percentile(times_us, [50, 90, 99, 99.9]))
    by_turn = [np.percentile(each.latency_s, 99) * 1e6 for each in turns if len(each.latency_s)]
    return Measurement(
        requests=requests,
        failures=sum(each.failures for each in turns),
        mean_us=float(times_us.mean()),
        p50_us=p50,
        p90_us=p90,
        p99_us=p99,
        p999_us=p999,
        max_us=float(times_us.max()),
        p99_by_turn_us=float(np.median(by_turn)) if by_turn else float("nan"),
        late_p99_us=float(np.percentile(np.concatenate([each.lateness_s for each in turns]), 99) * 1e6),
    )


def _call(target: Target) -> Any:
    if target.protocol == "grpc":
        return GrpcCall.of(request_headers(target.path, f"{HOST}:{target.port}"), target.body)
    return request_bytes(HOST, target.port, target.path, target.headers, target.body)


_CONNECTION: dict[str, type[Connection[Any]]] = {"grpc": GrpcConnection, "http": HttpConnection}
