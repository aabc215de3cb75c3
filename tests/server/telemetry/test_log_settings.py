from __future__ import annotations

import logging
from typing import Any

import pytest

from rapide.server.errors import InvalidRequest
from rapide.server.telemetry.log_settings import LogSettings


@pytest.mark.parametrize(
    ("level", "allowed"),
    [
        ("debug", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("info", ["INFO", "WARNING", "ERROR", "CRITICAL"]),
        ("warning", ["WARNING", "ERROR", "CRITICAL"]),
        ("error", ["ERROR", "CRITICAL"]),
    ],
)
def test_a_level_allows_itself_and_what_is_worse(level: str, allowed: list[str]) -> None:
    settings = LogSettings.of_level(level)
    names = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    assert [name for name in names if settings.allows(logging.getLevelNamesMapping()[name])] == allowed


def test_tritons_names_read_and_written() -> None:
    settings = LogSettings().updated(
        {"log_info": False, "log_verbose_level": 2, "log_format": "ISO8601", "log_file": "", "log_error": None}
    )
    assert settings.to_triton() == {
        "log_file": "",
        "log_info": False,
        "log_warning": True,
        "log_error": True,
        "log_verbose_level": 2,
        "log_format": "ISO8601",
    }
    assert settings.updated(settings.to_triton()) == settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log_file": "/etc/passwd"}, "log_file cannot be changed by a request"),
        ({"log_info": "yes"}, "log_info must be true or false, not 'yes'"),
        ({"log_warning": 1}, "log_warning must be true or false, not '1'"),
        ({"log_verbose_level": -1}, "log_verbose_level must be a whole number from 0, not '-1'"),
        ({"log_verbose_level": True}, "log_verbose_level must be a whole number from 0, not 'True'"),
        ({"log_verbose_level": "1"}, "log_verbose_level must be a whole number from 0, not '1'"),
        ({"log_format": "json"}, "log_format must be one of default, ISO8601, not 'json'"),
        ({"log_colour": True}, "log setting 'log_colour' is unknown; expected one of log_file, log_info"),
        ({"x" * 500: True}, f"log setting '{'x' * 64}' is unknown"),
    ],
)
def test_wrong_settings_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        LogSettings().updated(changes)
    assert caught.value.message.startswith(message)
    assert "passwd" not in str(caught.value)
