"""Traces in Triton's form: timestamps of sampled requests in a JSON file, for the tools that read such files.

https://github.com/triton-inference-server/server/blob/main/docs/user_guide/trace.md
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rapide.server.telemetry.backlog import Backlog
from rapide.server.telemetry.recorder import Finished
from rapide.server.telemetry.trace_settings import OFF, TraceSettings, TritonValue

_log = logging.getLogger(__name__)
_NUMBERS_PER_WORKER: Final = 1 << 32
"""Workers share a file, in which no two traces may have the same number."""
_CLOSE_TIMEOUT_S: Final = 2.0
_BACKLOG: Final = 4096
_MOST_BYTES: Final = 1 << 30
"""Bytes that one process writes at most: a caller may switch tracing on, and must not fill the disk with it."""


@dataclass(frozen=True, slots=True)
class _Sampled:
    number: int
    entry: Finished
    log_frequency: int


class _Sampler:
    """Counts the requests that some settings apply to."""

    __slots__ = ("left", "seen", "settings")

    def __init__(self, settings: TraceSettings) -> None:
        self.settings = settings
        self.seen = 0
        self.left = settings.count
        """Traces still to be taken; negative: no end."""

    def applied(self, settings: TraceSettings) -> _Sampler:
        """This sampler if the settings are the same, else a new one."""
        return self if settings == self.settings else _Sampler(settings)

    def wants(self) -> bool:
        """Whether this request is to be traced. Counts it."""
        if self.settings.level == OFF or self.left == 0:
            return False
        self.seen += 1
        if self.seen % self.settings.rate:
            return False
        self.left -= self.left > 0
        return True


class TritonTracer:
    """Settings for all models and for single ones, and the file. An observer for recorders."""

    def __init__(self, file: str, slot: int, on_drop: Callable[[], None]) -> None:
        """``file``: where traces go; empty: tracing in this form cannot be switched on."""
        self._file = file
        self._all = _Sampler(TraceSettings())
        self._models: dict[str, _Sampler] = {}
        self._number = slot * _NUMBERS_PER_WORKER
        self._writer = _TraceWriter(Path(file), on_drop)
        self._backlog: Backlog[_Sampled] = Backlog("rapide-traces", self._writer.write, on_drop, _BACKLOG)
        self._is_started = False

    @property
    def is_on(self) -> bool:
        """Whether any request could be traced."""
        return any(sampler.settings.level != OFF for sampler in (self._all, *self._models.values()))

    def settings(self, model: str = "") -> dict[str, str | list[str]]:
        """What is in force for ``model``, or for all, by Triton's names."""
        return self._models.get(model, self._all).settings.to_triton(self._file)

    def check(self, state: Mapping[str, Mapping[str, TritonValue]]) -> dict[str, TraceSettings]:
        """Model (empty: all) → settings. ``state`` has what differs from the default; a model's come on top of
        those for all. Raises InvalidRequest or Unimplemented."""
        for_all = TraceSettings().updated(state.get("", {}), self._file)
        return {"": for_all} | {model: for_all.updated(own, self._file) for model, own in state.items() if model}

    def apply(self, state: Mapping[str, Mapping[str, TritonValue]]) -> None:
        """Makes ``state`` the settings in force. What has not changed goes on counting where it was."""
        checked = self.check(state)
        self._all = self._all.applied(checked.pop(""))
        self._models = {
            model: self._models.get(model, _Sampler(TraceSettings())).applied(settings)
            for model, settings in checked.items()
        }
        if self.is_on and not self._is_started:
            self._is_started = True
            self._backlog.start()

    def observe(self, entry: Finished) -> None:
        """Hands a finished request to the writer if it is sampled."""
        sampler = self._models.get(entry.model, self._all)
        if sampler.wants():
            self._number += 1
            self._backlog.offer(_Sampled(self._number, entry, sampler.settings.log_frequency))

    def close(self) -> None:
        """Writes what waits."""
        if self._backlog.close(_CLOSE_TIMEOUT_S):
            self._writer.finish()


class _TraceWriter:
    """Writes files, on the backlog's thread. Workers share ``file``: each append is made under a lock."""

    def __init__(self, file: Path, on_drop: Callable[[], None]) -> None:
        self._file = file
        self._written_bytes = 0
        self._collected: list[_Sampled] = []
        self._index = 0
        self._on_drop = on_drop

    def write(self, sampled: list[_Sampled]) -> None:
        """Appends to the one file, or collects until a numbered file is full."""
        self._append([trace for trace in sampled if not trace.log_frequency])
        for trace in sampled:
            if trace.log_frequency:
                self._collected.append(trace)
                if len(self._collected) >= trace.log_frequency:
                    self.finish()

    def finish(self) -> None:
        """Writes what was collected for a numbered file, full or not."""
        if self._collected:
            self._guarded(self._write_numbered, self._collected)
            self._collected = []

    def _append(self, traces: list[_Sampled]) -> None:
        if traces:
            self._guarded(self._write_shared, traces)

    def _guarded(self, write: Callable[[str], None], traces: list[_Sampled]) -> None:
        if self._written_bytes < _MOST_BYTES:
            try:
                write(_events(traces))
            except OSError as error:
                _log.warning("traces could not be written: %s", error)
            else:
                return
        for _ in traces:
            self._on_drop()

    def _write_shared(self, events: str) -> None:
        """Keeps the file one JSON array: the closing bracket is overwritten by what follows."""
        with os.fdopen(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            if end:
                file.seek(end - 1)
            self._written_bytes += file.write((f",\n{events}]" if end else f"[{events}]").encode())

    def _write_numbered(self, events: str) -> None:
        """The next number that no file has yet, since other workers number theirs, too."""
        while True:
            try:
                path = self._file.with_name(f"{self._file.name}.{self._index}")
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                self._index += 1
                continue
            with os.fdopen(descriptor, "wb") as file:
                self._written_bytes += file.write(f"[{events}]".encode())
            return


def _events(traces: list[_Sampled]) -> str:
    return ",\n".join(json.dumps(event, separators=(",", ":")) for trace in traces for event in events_of(trace))


def events_of(trace: _Sampled) -> list[dict[str, Any]]:
    """One request's entries: who, then the timestamps in nanoseconds of the monotonic clock.

    What is measured is when a request came, how long it took, waited and ran. Decoding and encoding are not told
    apart: both are shown before the wait; joining inputs and dividing outputs, too.
    """
    entry = trace.entry
    start_s = entry.context.received_s
    end_s = start_s + entry.duration_s
    compute_s = entry.context.compute_s
    compute_start_s = end_s - compute_s
    stamps = [("REQUEST_START", start_s)]
    if compute_s:
        stamps += [
            ("QUEUE_START", compute_start_s - entry.context.queue_s),
            ("COMPUTE_START", compute_start_s),
            ("COMPUTE_INPUT_END", compute_start_s),
            ("COMPUTE_OUTPUT_START", end_s),
            ("COMPUTE_END", end_s),
        ]
    stamps.append(("REQUEST_END", end_s))
    who = {
        "id": trace.number,
        "model_name": entry.model,
        "model_version": int(entry.version) if entry.version.isdigit() else -1,
        "request_id": entry.context.request_id,
    }
    timestamps = [{"name": name, "ns": round(instant_s * 1e9)} for name, instant_s in stamps]
    return [who, {"id": trace.number, "timestamps": timestamps}]
