"""The one door to telemetry: what the catalogue, the service and the app are given."""

from __future__ import annotations

import logging
import platform
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, TextIO

from rapide.server.settings import Settings
from rapide.server.state_folder import slot_file
from rapide.server.telemetry.aggregate import VersionTotals, aggregate
from rapide.server.telemetry.collector import collect
from rapide.server.telemetry.exposition import PROMETHEUS, negotiate, render
from rapide.server.telemetry.logs import Logs
from rapide.server.telemetry.profile import profile
from rapide.server.telemetry.recorder import Defer, Finished, Observer, Recorder
from rapide.server.telemetry.request_ids import request_ids
from rapide.server.telemetry.scalars import Scalar, scalar
from rapide.server.telemetry.slot_reader import SlotSnapshot, read_directory, read_slot
from rapide.server.telemetry.slots import VERSION, Key, SlotFile, SlotInUse
from rapide.server.telemetry.spans import SpanSender
from rapide.server.telemetry.statistics import model_statistics
from rapide.server.telemetry.triton_trace import TritonTracer
from rapide.server.telemetry.version_block import BLOCK

_log = logging.getLogger(__name__)
_BESIDE: Final = -1
"""The slot number of memory that is no worker's slot."""
_SLOT_ATTEMPTS: Final = 8
"""Files per slot: a worker that still drains while its successor starts keeps its own."""


@dataclass(frozen=True, slots=True)
class TelemetryOptions:
    """What the settings say about telemetry; the defaults are for tests: nothing leaves the process."""

    directory: Path | None = None
    """Folder of the slot files, shared by all workers of a server; None keeps everything in this process."""
    slot: int = 0
    log_format: str = ""
    """json, console, or auto (console on a terminal); empty leaves Python's logging alone."""
    log_level: str = "info"
    access_log: bool = False
    """Off by default: a line costs more than answering a small model, and metrics and traces say more."""
    otlp_endpoint: str = ""
    trace_rate: float = 1.0
    """Share of requests traced to the endpoint where the caller does not decide."""
    trace_file: str = ""
    """Where Triton's trace settings may write."""


def options_from(settings: Settings, slot: int) -> TelemetryOptions:
    """What a worker's settings mean for its telemetry."""
    return TelemetryOptions(
        directory=Path(settings.state_dir) if settings.state_dir else None,
        slot=slot,
        log_format=settings.log_format,
        log_level=settings.log_level,
        access_log=settings.access_log,
        otlp_endpoint=settings.otlp_endpoint,
        trace_rate=settings.trace_rate,
        trace_file=settings.trace_file,
    )


def _wall_offset_s() -> float:
    return time.time() - time.monotonic()


class Telemetry:
    """One per worker process: writes its own slot, reads those of all workers."""

    def __init__(
        self,
        options: TelemetryOptions | None = None,
        *,
        stream: TextIO | None = None,
        wall_offset_s: Callable[[], float] = _wall_offset_s,
    ) -> None:
        """``stream``: where logs go, by default the process's error output."""
        self.options = options or TelemetryOptions()
        self.new_request_id = request_ids()
        self._stream = stream or sys.stderr
        self._wall_offset_s = wall_offset_s
        self._defer: Defer | None = None
        self._build = (_version_of("rapide"), platform.python_version(), _version_of("onnxruntime"))
        self._recorders: dict[tuple[str, str], Recorder] = {}
        self._scalars: dict[tuple[str, ...], Scalar] = {}
        self._observers: list[Observer] = []
        self._lock = threading.RLock()
        """Held while a record is made: a log line may say so, and be dropped and counted."""
        self._slot: SlotFile | None = None
        self._overflow: SlotFile | None = None
        self._traces = TritonTracer(
            self.options.trace_file, self.options.slot, partial(self._count_dropped_trace, "triton")
        )
        self._logs = self._make_logs()
        self._spans: SpanSender | None = None

    def start(self, defer: Defer | None = None) -> None:
        """Takes the slot, the logs and the collector. Raises SettingsError if an endpoint cannot be used.

        ``defer``: the event loop's ``call_soon``, for what recorders do beside their requests."""
        self._defer = defer
        self._file()
        options = self.options
        if options.otlp_endpoint:
            self._spans = SpanSender(
                options.otlp_endpoint,
                options.trace_rate,
                self._build[0],
                partial(self._count_dropped_trace, "otlp"),
                self._wall_offset_s,
            )
            self._spans.start()
        if options.log_format:
            self._logs.install()
        self._choose_observers()

    def close(self) -> None:
        """Writes and sends what waits, for some seconds at most, and lets go of the slot."""
        self._observers.clear()
        self._traces.close()
        if self._spans is not None:
            self._spans.close()
        self._logs.close()
        for recorder in list(self._recorders.values()):
            recorder.settle()
        for file in (self._slot, self._overflow):
            if file is not None:
                file.close()
        self._slot = self._overflow = None

    # Recording.

    def recorder(self, model: str, version: str, digest: str = "") -> Recorder:
        """The recorder of a version; asked again, the same. From any thread."""
        known = self._recorders.get((model, version))
        if known is not None:
            return known
        with self._lock:
            known = self._recorders.get((model, version))
            if known is None:
                memory = self._body(VERSION, (model, version), BLOCK.itemsize)
                known = Recorder(model, version, digest, memory, self._observers, self._wall_offset_s, self._defer)
                self._recorders[model, version] = known
        return known

    @property
    def unrouted(self) -> Recorder:
        """Records requests that reached no version (unknown model, unreadable). Its model name is empty."""
        return self.recorder("", "")

    def scalar(self, name: str, **labels: str) -> Scalar:
        """A counter or gauge of the metric table: ``scalar("rapide_open_connections", protocol="grpc")``; asked
        again, the same. From any thread. Raises KeyError for a name or labels that the table does not have."""
        key = (name, *labels.values())
        with self._lock:
            if key not in self._scalars:
                self._scalars[key] = scalar(self._body, name, labels)
            return self._scalars[key]

    # Reading: all workers together, at this instant. Milliseconds of work: call from a thread.

    def render_metrics(self, content_type: str = PROMETHEUS) -> bytes:
        """The metrics page."""
        return render(collect(self.snapshots(), self._build), content_type)

    def metrics_page(self, accept: str = "") -> tuple[str, bytes]:
        """Content type and body for a request with this ``Accept`` header."""
        content_type = negotiate(accept)
        return content_type, self.render_metrics(content_type)

    def profile(self) -> dict[str, Any]:
        """The usage profile (docs/reference/profile.md)."""
        slots = self.snapshots()
        versions = aggregate(version for slot in slots for version in slot.versions)
        scalars = [scalar for slot in slots for scalar in slot.scalars]
        workers = sum(slot.alive for slot in slots)
        return profile(versions, self._wall_offset_s(), workers=workers, scalars=scalars)

    def totals(self) -> tuple[list[VersionTotals], int]:
        """What was recorded of every version, and the number of living workers."""
        slots = self.snapshots()
        totals = aggregate(version for slot in slots for version in slot.versions)
        return totals, sum(slot.alive for slot in slots)

    def statistics(self, model: str, version: str) -> dict[str, Any]:
        """One version's ``$model_stat`` of Triton's statistics extension; zeros if it was never asked."""
        slots = self.snapshots(only=(model, version))
        totals = aggregate(known for slot in slots for known in slot.versions) or [VersionTotals(model, version)]
        return model_statistics(totals[0], self._wall_offset_s())

    # Settings that change while the server runs (``control.ServerState``).

    def check(self, trace: Mapping[str, Mapping[str, Any]], log: Mapping[str, Any]) -> None:
        """Raises InvalidRequest or Unimplemented unless ``apply`` would succeed."""
        self._traces.check(trace)
        self._logs.check(log)

    def apply(self, trace: Mapping[str, Mapping[str, Any]], log: Mapping[str, Any]) -> None:
        """Makes these the settings in force, by Triton's names: for tracing by model (empty: all), for logs; each
        time all that differs from the settings at the start."""
        self.check(trace, log)
        self._traces.apply(trace)
        self._logs.apply(log)
        self._choose_observers()

    def trace_settings(self, model: str = "") -> dict[str, str | list[str]]:
        """Triton's trace settings in force for a model, or for all."""
        return self._traces.settings(model)

    def log_settings(self) -> dict[str, bool | int | str]:
        """Triton's log settings in force."""
        return self._logs.settings.to_triton()

    def _choose_observers(self) -> None:
        wanted: list[Callable[[Finished], None]] = []
        if self.options.access_log:
            wanted.append(self._logs.access)
        if self._spans is not None:
            wanted.append(self._spans.observe)
        if self._traces.is_on:
            wanted.append(self._traces.observe)
        self._observers[:] = wanted

    def _make_logs(self) -> Logs:
        line_format = self.options.log_format
        if line_format in ("", "auto"):
            line_format = "console" if self._stream.isatty() else "json"
        return Logs(
            line_format, self.options.log_level, self._stream, self._count_dropped_line, self._wall_offset_s
        )

    def _count_dropped_line(self) -> None:
        self.scalar("rapide_log_lines_dropped_total").add()

    def _count_dropped_trace(self, form: str) -> None:
        self.scalar("rapide_traces_dropped_total", form=form).add()

    def snapshots(self, only: Key | None = None) -> list[SlotSnapshot]:
        """Everything that all workers recorded, unmerged; ``only``: of this model and version."""
        offset_s = self._wall_offset_s()
        overflow = self._overflow
        private = list(read_slot(overflow.descriptor, offset_s, only)) if overflow is not None else []
        if self.options.directory is not None:
            return private + read_directory(self.options.directory, offset_s, only)
        return private + list(read_slot(self._file().descriptor, offset_s, only))

    def _body(self, kind: int, key: Key, size_bytes: int) -> memoryview:
        """Memory for a record: in the slot, or private to this process if the slot's disk is full."""
        try:
            return self._file().body(kind, key, size_bytes)
        except OSError as error:
            if self._overflow is None:
                _log.warning("no room for metrics of %s, other workers will not show them: %s", key[0], error)
                self._overflow = _open_slot(None, _BESIDE)
            return self._overflow.body(kind, key, size_bytes)

    def _file(self) -> SlotFile:
        if self._slot is None:
            try:
                self._slot = _open_slot(self.options.directory, self.options.slot)
            except OSError as error:
                _log.warning("no room for this worker's metrics, other workers will not show them: %s", error)
                self._slot = self._overflow = _open_slot(None, _BESIDE)
        return self._slot


def _open_slot(directory: Path | None, slot: int) -> SlotFile:
    if directory is None:
        file = SlotFile(None, slot)
        file.open()
        return file
    for attempt in range(_SLOT_ATTEMPTS):
        file = SlotFile(directory / slot_file(slot, attempt), slot)
        try:
            file.open()
        except SlotInUse:
            continue
        return file
    raise SlotInUse(f"slot {slot} has {_SLOT_ATTEMPTS} living writers")


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
