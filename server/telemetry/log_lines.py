"""How a log entry looks: one JSON object per line for machines, short lines for people. Pure."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rapide.server.telemetry.trace_context import parse

if TYPE_CHECKING:  # needs numpy, which the supervisor, who writes such lines too, does without
    from rapide.server.telemetry.recorder import Finished

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every LogRecord has; all others came through ``extra``."""
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {9: "\\t", 10: "\\n", 13: "\\r"}
"""A message must not be able to forge a second line or to drive a terminal."""

Fields = Mapping[str, Any]


def record_fields(record: logging.LogRecord) -> dict[str, Any]:
    """A LogRecord as fields. Its message must be merged already (``record.message``)."""
    fields: dict[str, Any] = {
        "time": record.created,
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.message,
    }
    fields |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if record.exc_text:
        fields["exception"] = record.exc_text
    return fields


def access_fields(entry: Finished, wall_offset_s: float) -> dict[str, Any]:
    """A finished request as fields: what was asked for, how it ended, how long it took; nothing of its content."""
    context = entry.context
    trace = parse(context.traceparent) if context.traceparent else None
    return {
        "time": context.received_s + entry.duration_s + wall_offset_s,
        "level": "info",
        "logger": "rapide.access",
        "message": "request",
        "request_id": context.request_id,
        "trace_id": trace.trace_id if trace else "",
        "model": entry.model,
        "version": entry.version,
        "label": context.answered_by.label if context.answered_by else "",
        "protocol": context.protocol,
        "code": entry.code,
        "duration_us": round(entry.duration_s * 1e6),
        "queue_us": round(context.queue_s * 1e6),
        "compute_us": round(context.compute_s * 1e6),
        "rows": entry.rows,
        "bytes": context.payload_bytes,
    }


def json_line(fields: Fields, *, iso_times: bool) -> str:  # noqa: ARG001 - JSON lines always have full times
    """One JSON object; values that JSON does not know are shown as text."""
    return json.dumps({**fields, "time": _iso(fields["time"])}, default=str, separators=(",", ":"))


def console_line(fields: Fields, *, iso_times: bool) -> str:
    """Time, level, message, then ``name=value``; a traceback follows on lines of its own."""
    shown = dict(fields)
    instant = shown.pop("time")
    time = _iso(instant) if iso_times else f"{datetime.fromtimestamp(instant).astimezone():%H:%M:%S.%f}"[:-3]
    level, logger, message = shown.pop("level"), shown.pop("logger"), shown.pop("message")
    exception = shown.pop("exception", "")
    tail = "".join(f" {name}={_value(value)}" for name, value in shown.items() if value != "")
    line = f"{time} {level.upper():7} {logger.removeprefix('rapide.')}: {str(message).translate(_CONTROL)}{tail}"
    return f"{line}\n{exception}" if exception else line


def _value(value: object) -> str:
    text = str(value).translate(_CONTROL)
    return json.dumps(text, ensure_ascii=False) if " " in text else text


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


FORMATS = {"json": json_line, "console": console_line}
