"""Recording stays cheap. The budget is 2 µs a request all together; a shared machine gets five times that here, so
that only a change of kind (a lock, a system call, an array operation per request) fails the test."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable

import numpy as np
import pytest

from rapide.server.telemetry.recorder import Recorder
from tests.server.telemetry.records import context, telemetry

REQUESTS = 5000
WAITS = [1e-5]
ASKED = context()
ROW = [np.zeros((1, 20), np.float32)]
BATCH_OF_32 = [1e-5] * 32


def whole_request(recorder: Recorder) -> None:
    recorder.arrival(10.0, 1)
    recorder.in_flight(1)
    recorder.batch(1, 1, WAITS, 5e-6, "ready")
    recorder.in_flight(-1)
    recorder.finished(ASKED, "ok", 1e-4, 1)


METHODS: dict[str, tuple[Callable[[Recorder], None], float]] = {
    "arrival": (lambda recorder: recorder.arrival(10.0, 1), 0.5),
    "finished": (lambda recorder: recorder.finished(ASKED, "ok", 1e-4, 1), 0.7),
    "batch of 1": (lambda recorder: recorder.batch(1, 1, WAITS, 5e-6, "ready"), 0.8),
    "batch of 32": (lambda recorder: recorder.batch(32, 32, BATCH_OF_32, 5e-6, "ready"), 4.0),
    "answered": (lambda recorder: recorder.answered(32, 1e-5), 0.3),
    "look": (lambda recorder: recorder.look(ROW), 0.8),
    "in_flight": (lambda recorder: recorder.in_flight(1), 0.2),
    "waiting": (lambda recorder: recorder.waiting(1, 1), 0.2),
    "whole request": (whole_request, 2.0),
}
"""What is timed, and its budget in microseconds, folds included."""


@pytest.mark.parametrize("name", METHODS)
def test_recording_is_cheap(name: str) -> None:
    method, budget_us = METHODS[name]
    recorder = telemetry().recorder("cars", "2")
    runs = timeit.repeat(lambda: method(recorder), timer=time.process_time, number=REQUESTS, repeat=5)
    took_us = min(runs) / REQUESTS * 1e6
    print(f"{name}: {took_us:.2f} µs (budget {budget_us} µs)")
    assert took_us < 5 * budget_us
