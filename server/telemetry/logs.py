"""Logging that never holds up the event loop: a handler that hands over, and a thread that writes.

Lines that the thread cannot write fast enough (a full pipe, a slow disk) are dropped and counted.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TextIO

from rapide.server.telemetry.backlog import Backlog
from rapide.server.telemetry.log_lines import FORMATS, access_fields, record_fields
from rapide.server.telemetry.log_settings import LogSettings
from rapide.server.telemetry.recorder import Finished

_CLOSE_TIMEOUT_S: Final = 2.0
"""A reader of our output that is stuck must not keep the process from ending."""
_OWN_LOGGER: Final = "rapide"


class Logs:
    """All log output of one process. ``install`` takes over Python's root logger, ``close`` gives it back."""

    def __init__(
        self,
        line_format: str,
        level: str,
        stream: TextIO,
        on_drop: Callable[[], None],
        wall_offset_s: Callable[[], float],
    ) -> None:
        """``line_format``: json or console; ``level``: debug, info, warning or error."""
        self.settings = self._at_start = LogSettings.of_level(level)
        self._line = FORMATS[line_format]
        self._stream = stream
        self._on_drop = on_drop
        self._wall_offset_s = wall_offset_s
        self._backlog: Backlog[logging.LogRecord | Finished] = Backlog("rapide-logs", self._write, on_drop)
        self._handler = _Handler(self._backlog.offer, self)
        self._levels_before: tuple[int, int] | None = None

    def install(self) -> None:
        self._backlog.start()
        self._levels_before = (logging.getLogger().level, logging.getLogger(_OWN_LOGGER).level)
        logging.getLogger().addHandler(self._handler)
        self._set_levels()

    def close(self) -> None:
        """Writes what waits, for at most two seconds."""
        if self._levels_before is None:
            return
        logging.getLogger().removeHandler(self._handler)
        for name, level in zip((None, _OWN_LOGGER), self._levels_before, strict=True):
            logging.getLogger(name).setLevel(level)
        self._backlog.close(_CLOSE_TIMEOUT_S)

    def access(self, entry: Finished) -> None:
        """One line about a finished request: an observer for recorders."""
        self._backlog.offer(entry)

    def check(self, state: Mapping[str, Any]) -> LogSettings:
        """The settings that ``state`` means: what differs from the start, by Triton's names; or InvalidRequest."""
        return self._at_start.updated(state)

    def apply(self, state: Mapping[str, Any]) -> None:
        """Makes ``state`` the settings in force."""
        self.settings = self.check(state)
        if self._levels_before is not None:
            self._set_levels()

    def _set_levels(self) -> None:
        """So that lines nobody wants are not even made. Other libraries' debug lines are never wanted."""
        levels = (logging.INFO, logging.WARNING, logging.ERROR)
        lowest = next((level for level in levels if self.settings.allows(level)), logging.CRITICAL + 1)
        logging.getLogger().setLevel(lowest)
        logging.getLogger(_OWN_LOGGER).setLevel(logging.DEBUG if self.settings.verbose_level else lowest)

    def _write(self, entries: list[logging.LogRecord | Finished]) -> None:
        iso_times = self.settings.format == "ISO8601"
        lines = [self._line(self._fields(entry), iso_times=iso_times) for entry in entries]
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # The stream is gone (closed pipe, full disk): nowhere is left to say so but the counter.
            for _ in entries:
                self._on_drop()

    def _fields(self, entry: logging.LogRecord | Finished) -> dict[str, Any]:
        if isinstance(entry, logging.LogRecord):
            return record_fields(entry)
        return access_fields(entry, self._wall_offset_s())


class _Handler(logging.Handler):
    """Merges message and traceback at once, since arguments may change or be large, and hands the rest over."""

    def __init__(self, offer: Callable[[logging.LogRecord], None], logs: Logs) -> None:
        super().__init__()
        self._offer = offer
        self._logs = logs
        self._tracebacks = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        return self._logs.settings.allows(record.levelno)

    def emit(self, record: logging.LogRecord) -> None:
        merged = copy.copy(record)  # other handlers get the same record
        try:
            merged.message = record.getMessage()
        except Exception:  # noqa: BLE001 - an argument's __str__ may raise anything; logging must not
            merged.message = f"{record.msg} (its arguments do not fit)"
        merged.args = None
        if record.exc_info:
            merged.exc_text = record.exc_text or self._tracebacks.formatException(record.exc_info)
            merged.exc_info = None
        self._offer(merged)
