from __future__ import annotations

import json
import logging
from typing import Any

from rapide.server.telemetry.log_lines import access_fields, console_line, json_line, record_fields
from rapide.server.telemetry.recorder import Finished
from tests.server.telemetry.records import WALL_OFFSET_S, context

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def record(message: str = "a model was loaded", **extra: object) -> dict[str, Any]:
    made = logging.makeLogRecord(
        {"name": "rapide.server.catalogue", "levelname": "INFO", "created": 1_700_000_000.25, **extra}
    )
    made.message = message
    return record_fields(made)


def test_a_json_line() -> None:
    line = json_line(record(model="cars", took_s=0.5, path=object), iso_times=False)
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250000Z",
        "level": "info",
        "logger": "rapide.server.catalogue",
        "message": "a model was loaded",
        "model": "cars",
        "took_s": 0.5,
        "path": "<class 'object'>",
    }


def test_a_console_line() -> None:
    line = console_line(record(model="cars", why="two words", empty=""), iso_times=True)
    assert line == (
        '2023-11-14T22:13:20.250000Z INFO    server.catalogue: a model was loaded model=cars why="two words"'
    )
    short = console_line(record(), iso_times=False)
    assert short.endswith(".250 INFO    server.catalogue: a model was loaded")
    assert len(short.split(" ")[0]) == len("22:13:20.250")


def test_no_message_can_forge_a_line_or_drive_a_terminal() -> None:
    for make in (console_line, json_line):
        line = make(record("done\n22:13 INFO all is well\r\x1b[2J", who="a\nb"), iso_times=False)
        assert not set(line) & {"\n", "\r", "\x1b"}


def test_text_that_is_no_unicode_can_be_logged() -> None:
    for make in (console_line, json_line):
        make(record("bad \udcff text"), iso_times=False).encode("utf-8", "backslashreplace")


def test_a_traceback_follows_its_line() -> None:
    fields = record(exc_text="Traceback:\n  boom")
    assert console_line(fields, iso_times=False).endswith("loaded\nTraceback:\n  boom")
    assert json.loads(json_line(fields, iso_times=False))["exception"] == "Traceback:\n  boom"


def test_an_access_line_has_figures_and_nothing_private() -> None:
    asked = context(received_s=10.0, traceparent=TRACEPARENT)
    asked.user_key = "customer-4711"
    fields = access_fields(Finished(asked, "cars", "2", "ok", 0.0035, 4), WALL_OFFSET_S)
    assert fields == {
        "time": WALL_OFFSET_S + 10.0035,
        "level": "info",
        "logger": "rapide.access",
        "message": "request",
        "request_id": "id-1",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "model": "cars",
        "version": "2",
        "label": "stable",
        "protocol": "grpc",
        "code": "ok",
        "duration_us": 3500,
        "queue_us": 1000,
        "compute_us": 2000,
        "rows": 4,
        "bytes": 100,
    }


def test_an_access_line_without_a_trace_or_a_version() -> None:
    asked = context(traceparent="nonsense", routed=False)
    fields = access_fields(Finished(asked, "", "", "not_found", 0.001, 0), 0.0)
    assert (fields["trace_id"], fields["label"], fields["model"]) == ("", "", "")
