from __future__ import annotations

from typing import Any

import pytest

from rapide.server.errors import InvalidRequest, Unimplemented
from rapide.server.telemetry.trace_settings import TraceSettings

FILE = "trace.json"


def test_defaults_are_tritons() -> None:
    assert TraceSettings().to_triton(FILE) == {
        "trace_level": ["OFF"],
        "trace_rate": "1000",
        "trace_count": "-1",
        "log_frequency": "0",
        "trace_file": FILE,
        "trace_mode": "triton",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"trace_level": ["TIMESTAMPS"], "trace_rate": "2", "trace_count": "3", "log_frequency": "4"},
        {"trace_level": "TIMESTAMPS", "trace_rate": 2, "trace_count": 3, "log_frequency": 4},
        {"trace_level": ["timestamps"], "trace_rate": ["2"], "trace_count": ["3"], "log_frequency": ["4"]},
        {
            "trace_level": ["TIMESTAMPS"],
            "trace_rate": "2",
            "trace_count": "3",
            "log_frequency": "4",
            "trace_file": FILE,
            "trace_mode": ["triton"],
        },
    ],
    ids=["http", "numbers", "grpc", "whole answer sent back"],
)
def test_settings_in_every_form_that_clients_send(changes: dict[str, Any]) -> None:
    assert TraceSettings().updated(changes, FILE) == TraceSettings("TIMESTAMPS", 2, 3, 4)


def test_nothing_given_changes_nothing() -> None:
    before = TraceSettings("TIMESTAMPS", 2, 3, 4)
    assert before.updated({"trace_rate": None, "trace_count": [], "trace_level": None}, FILE) == before


def test_off_wins() -> None:
    assert TraceSettings().updated({"trace_level": ["TIMESTAMPS", "OFF"]}, FILE).level == "OFF"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trace_level": ["EVERYTHING"]}, "trace_level must be OFF or TIMESTAMPS, not 'EVERYTHING'"),
        ({"trace_rate": "0"}, "trace_rate must be one whole number from 1, not '0'"),
        ({"trace_rate": "often"}, "trace_rate must be one whole number from 1, not 'often'"),
        ({"trace_rate": ["1", "2"]}, "trace_rate must be one whole number from 1, not '1, 2'"),
        ({"trace_count": "-2"}, "trace_count must be one whole number from -1, not '-2'"),
        ({"log_frequency": str(2**31)}, "log_frequency must be one whole number from 0, not '2147483648'"),
        ({"trace_file": "/etc/cron.d/x"}, "trace_file cannot be changed by a request"),
        ({"trace_mode": "opentelemetry"}, "trace_mode cannot be changed by a request"),
        ({"trace_colour": "red"}, "trace setting 'trace_colour' is unknown; expected one of trace_level"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        TraceSettings().updated(changes, FILE)
    assert caught.value.message.startswith(message)


def test_tensors_are_never_written() -> None:
    with pytest.raises(Unimplemented, match="what callers send"):
        TraceSettings().updated({"trace_level": ["TIMESTAMPS", "TENSORS"]}, FILE)


def test_tracing_needs_a_file() -> None:
    with pytest.raises(InvalidRequest, match="--trace-file"):
        TraceSettings().updated({"trace_level": ["TIMESTAMPS"]}, "")
    assert TraceSettings().updated({"trace_level": ["OFF"]}, "") == TraceSettings()
