"""The supervisor's few log lines, in the same two forms as the workers' (``telemetry/logs.py``), without numpy."""

from __future__ import annotations

import logging
import sys

from rapide.server.telemetry.log_lines import FORMATS, record_fields


class _Lines(logging.Formatter):
    """Fields as one line."""

    def __init__(self, line_format: str) -> None:
        super().__init__()
        self._line = FORMATS[line_format]

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        return self._line(record_fields(record), iso_times=False)


def resolve_format(asked: str) -> str:
    """``auto`` is ``console`` where people read standard error, else ``json``."""
    if asked != "auto":
        return asked
    return "console" if sys.stderr.isatty() else "json"


def install(line_format: str, level: str) -> None:
    """Sends this process's log to standard error. ``line_format`` is ``console`` or ``json``."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines(line_format))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
