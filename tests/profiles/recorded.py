"""Profiles that a real recorder wrote."""

from __future__ import annotations

import json

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.document import Profile
from rapide.server.telemetry.connections import ConnectionMeter
from rapide.server.telemetry.inputs import Axis
from tests.server.telemetry.records import answer, telemetry

START_S = 10.0


def document(arrivals: Arrivals, version: str = "1", *, digest: str = "sha256:ab") -> bytes:
    """What ``GET /profile`` gives after these arrivals at one worker."""
    source = telemetry()
    recorder = source.recorder("cars", version, digest)
    recorder.watch([Axis("ids[1]", 0, 1)])
    ConnectionMeter(source.scalar, "grpc").opened()
    for instant, rows in zip(arrivals.instants_s.tolist(), arrivals.rows.tolist(), strict=True):
        if recorder.looks:
            recorder.look([np.zeros((rows, 5), np.int64)])
        answer(recorder, START_S + instant, rows)
    data = json.dumps(source.profile()).encode()
    source.close()
    return data


def profile(arrivals: Arrivals, version: str = "1", *, digest: str = "sha256:ab") -> Profile:
    return Profile.from_bytes(document(arrivals, version, digest=digest))


def poisson(rate_per_s: float, count: int, seed: int = 0) -> Arrivals:
    random = np.random.default_rng(seed)
    instants = np.concatenate(([0.0], np.cumsum(random.exponential(1 / rate_per_s, count - 1))))
    return Arrivals(instants, random.integers(1, 9, count))
