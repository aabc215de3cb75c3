"""What engine tests drive by hand: the clock, the loop, the threads, a model and a recorder. Nothing sleeps."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np

from rapide.server.errors import InvalidRequest
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import Array

POISON = -1.0
"""A value that makes ``FakeModel`` refuse the whole run."""
DOUBLER = Signature(
    (TensorSpec("x", DataType.FP32, (-1, 2)),), (TensorSpec("y", DataType.FP32, (-1, 2)),), batchable=True
)
SEQUENCES = Signature(
    (TensorSpec("x", DataType.FP32, (-1, -1)),), (TensorSpec("y", DataType.FP32, (-1, -1)),), batchable=True
)
ALONE = Signature(
    (TensorSpec("x", DataType.FP32, (-1, 2)),), (TensorSpec("y", DataType.FP32, (-1, 2)),), batchable=False
)


class HandClock:
    """Monotonic seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def lapse(self, seconds: float) -> None:
        """Lets time pass, in the middle of whatever is going on."""
        self.now_s += seconds


class HandHandle:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class HandLoop:
    """The part of an event loop that the engine uses. ``tick`` runs what was ready before it, as asyncio does."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self._ready: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._timers: list[tuple[float, int, HandHandle, Callable[..., Any]]] = []
        self._numbers = itertools.count()

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        self._ready.append((callback, args))

    call_soon_threadsafe = call_soon

    def call_later(self, delay_s: float, callback: Callable[..., Any]) -> HandHandle:
        handle = HandHandle()
        heapq.heappush(self._timers, (self._clock.now_s + delay_s, next(self._numbers), handle, callback))
        return handle

    def add_reader(self, _file: int, _callback: Callable[..., Any]) -> None:
        """It watches no files, as some event loops: alarms are its timers."""
        raise NotImplementedError

    @property
    def ready_count(self) -> int:
        """Callbacks for the next tick. With none a loop sleeps."""
        return len(self._ready)

    def tick(self) -> None:
        ready, self._ready = self._ready, []
        for callback, args in ready:
            callback(*args)

    def settle(self) -> None:
        """Ticks until nothing is ready."""
        while self._ready:
            self.tick()

    def advance(self, seconds: float) -> None:
        """Lets time pass, with every timer at its instant."""
        end_s = self._clock.now_s + seconds
        while self._timers and self._timers[0][0] <= end_s:
            when_s, _, handle, callback = heapq.heappop(self._timers)
            self._clock.now_s = max(self._clock.now_s, when_s)
            if not handle.is_cancelled:
                callback()
            self.settle()
        self._clock.now_s = end_s

    def as_loop(self) -> asyncio.AbstractEventLoop:
        return self  # type: ignore[return-value]


class HandExecutor(Executor):
    """Threads that work when told. ``work`` does the oldest job."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], object]] = []
        self.is_shut_down = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.is_shut_down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        self.jobs.append(lambda: fn(*args, **kwargs))
        return Future()

    def work(self) -> None:
        self.jobs.pop(0)()


class FakeModel:
    """``y = 2 x``, in ``run_us`` of the hand-driven clock. Refuses runs that contain POISON.

    ``before_run`` is called in every run, so that a test can do something meanwhile, or fail in its own way.
    """

    name = "doubler"
    version = "3"
    row_us = 0.0

    def __init__(self, clock: HandClock, signature: Signature = DOUBLER, run_us: float = 1.0) -> None:
        self.signature = signature
        self.run_us = run_us
        self.batches: list[list[float]] = []
        self.before_run: Callable[[], None] = lambda: None
        self._clock = clock

    def run(self, arrays: list[Array]) -> list[Array]:
        """``batches`` gets the first value of every row."""
        (x,) = arrays
        self.batches.append([float(row[0]) if row.size else math.nan for row in x])
        self._clock.now_s += self.run_us * 1e-6
        self.before_run()
        if (x == POISON).any():
            raise InvalidRequest("the run contains poison")
        return [x * 2]


class FakeRecorder:
    """Remembers what the engine says."""

    def __init__(self) -> None:
        self.arrivals: list[int] = []
        self.batches: list[tuple[int, int, str]] = []
        self.queue_s: list[float] = []
        self.answers: list[tuple[int, float]] = []
        self.waits: list[tuple[int, int]] = []

    def arrival(self, now_s: float, rows: int) -> None:
        self.arrivals.append(rows)

    def batch(
        self,
        requests: int,
        rows: int,
        queue_s: Sequence[float],
        compute_s: float,
        reason: str,
        input_s: float = 0.0,
    ) -> None:
        self.batches.append((requests, rows, str(reason)))
        self.queue_s += queue_s

    def answered(self, rows: int, took_s: float) -> None:
        self.answers.append((rows, took_s))

    def waiting(self, requests: int, rows: int) -> None:
        self.waits.append((requests, rows))


def rows_of(*firsts: float, width: int = 2) -> list[Array]:
    """A request whose rows begin with ``firsts``; further columns are 0."""
    x = np.zeros((len(firsts), width), np.float32)
    x[:, :1] = np.array(firsts, np.float32).reshape(-1, 1)[:, :width]
    return [x]
