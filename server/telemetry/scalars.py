"""Counters and gauges outside the hot path: connections, dropped lines. Names come from the metric table."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rapide.server.telemetry.metrics import BY_NAME
from rapide.server.telemetry.slots import COUNTER, GAUGE, Key

Body = Callable[[int, Key, int], memoryview]
"""``SlotFile.body``."""


class Scalar:
    """One counter or gauge with its label values, in this worker. Any thread may add (0.2 µs)."""

    __slots__ = ("_cell", "_lock")

    def __init__(self, cell: memoryview) -> None:
        """``cell``: one float64."""
        self._cell = cell.cast("d")
        self._lock = threading.Lock()

    def add(self, amount: float = 1.0) -> None:
        """Adds; gauges also take negative amounts."""
        with self._lock:
            self._cell[0] += amount

    def set(self, value: float) -> None:
        """Replaces the value of a gauge."""
        self._cell[0] = value

    @property
    def value(self) -> float:
        """This worker's value, its forerunners' in the same slot included if it is a counter."""
        return float(self._cell[0])


def scalar(body: Body, name: str, labels: dict[str, str]) -> Scalar:
    """The scalar of this name and these labels. Raises KeyError for names and labels that the table does not have.

    Label values must come from a closed set: each combination is a time series for ever.
    """
    spec = BY_NAME[name]
    if tuple(labels) != spec.labels:
        raise KeyError(f"{name} has the labels {spec.labels}, not {tuple(labels)}")
    key: Key = (name, *(part for pair in labels.items() for part in pair))
    made = Scalar(body(COUNTER if spec.kind == "counter" else GAUGE, key, 8))
    if spec.kind == "gauge":
        made.set(0.0)  # it may be a forerunner's
    return made
