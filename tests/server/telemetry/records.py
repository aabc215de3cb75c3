"""Requests to record, and a wall clock that stands where the test puts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rapide.server.context import AnsweredBy, CallContext
from rapide.server.telemetry.aggregate import VersionTotals, aggregate
from rapide.server.telemetry.recorder import Recorder
from rapide.server.telemetry.slot_reader import VersionSnapshot
from rapide.server.telemetry.telemetry import Telemetry, TelemetryOptions

WALL_OFFSET_S = 1_700_000_000.0
"""Epoch seconds at monotonic 0: 2023-11-14 22:13:20 UTC, a Tuesday."""


def context(
    protocol: str = "grpc",
    *,
    label: str = "stable",
    encoding: str = "protobuf-raw",
    payload_bytes: int = 100,
    received_s: float = 10.0,
    traceparent: str = "",
    routed: bool = True,
) -> CallContext:
    return CallContext(
        protocol,
        "id-1",
        received_s,
        traceparent=traceparent,
        payload_bytes=payload_bytes,
        encoding=encoding,
        answered_by=AnsweredBy("cars", "2", label, "sha256:ab") if routed else None,
        queue_s=0.001,
        compute_s=0.002,
    )


def telemetry(directory: Path | None = None, slot: int = 0, **options: Any) -> Telemetry:
    return Telemetry(
        TelemetryOptions(directory=directory, slot=slot, **options), wall_offset_s=lambda: WALL_OFFSET_S
    )


def answer(recorder: Recorder, now_s: float = 10.0, rows: int = 1, **changes: Any) -> None:
    """One request, from arrival to answer: waited 1 ms, ran alone for 2 ms, took 5 ms in all."""
    recorder.arrival(now_s, rows)
    recorder.batch(1, rows, [0.001], 0.002, "ready")
    recorder.finished(context(received_s=now_s, **changes), "ok", 0.005, rows)


def versions(source: Telemetry) -> list[VersionSnapshot]:
    return [version for slot in source.snapshots() for version in slot.versions]


def totals(source: Telemetry) -> VersionTotals:
    """The one version that was recorded."""
    (only,) = aggregate(versions(source))
    return only
