"""What is logged and how, in the terms of Triton's logging extension. Pure.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_logging.md
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from rapide.server.errors import InvalidRequest

_SWITCHES: Final = {"log_info": "info", "log_warning": "warning", "log_error": "error"}
_FORMATS: Final = ("default", "ISO8601")
_NAMES: Final = ("log_file", *_SWITCHES, "log_verbose_level", "log_format")
_MOST_VERBOSE: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Which severities are logged. ``verbose_level`` above 0 adds our own debug lines."""

    info: bool = True
    warning: bool = True
    error: bool = True
    verbose_level: int = 0
    format: str = "default"
    """``default``, or ``ISO8601`` for full dates on console lines, too (JSON lines always have them)."""

    @classmethod
    def of_level(cls, level: str) -> LogSettings:
        """From a least severity: debug, info, warning or error."""
        rank = ("debug", "info", "warning", "error").index(level)
        return cls(info=rank <= 1, warning=rank <= 2, verbose_level=int(rank == 0))

    def allows(self, level: int) -> bool:
        """Whether a line of this ``logging`` level is wanted."""
        if level >= logging.ERROR:
            return self.error
        if level >= logging.WARNING:
            return self.warning
        return self.info if level >= logging.INFO else self.verbose_level > 0

    def to_triton(self) -> dict[str, bool | int | str]:
        """All settings by Triton's names; the file is always the process's own stream."""
        return {
            "log_file": "",
            "log_info": self.info,
            "log_warning": self.warning,
            "log_error": self.error,
            "log_verbose_level": self.verbose_level,
            "log_format": self.format,
        }

    def updated(self, changes: Mapping[str, Any]) -> LogSettings:
        """These settings with ``changes`` by Triton's names; None changes nothing. Raises InvalidRequest."""
        fields: dict[str, Any] = {}
        for name, value in changes.items():
            if value is None:
                continue
            if name in _SWITCHES:
                fields[_SWITCHES[name]] = _boolean(name, value)
            elif name == "log_verbose_level":
                fields["verbose_level"] = _level(value)
            elif name == "log_format":
                fields["format"] = _format(value)
            elif name != "log_file":
                raise InvalidRequest(f"log setting {name[:64]!r} is unknown; expected one of {', '.join(_NAMES)}")
            elif value != "":
                raise InvalidRequest(
                    "log_file cannot be changed by a request", hint="Redirect the server's error output instead."
                )
        return replace(self, **fields)


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false, not {str(value)[:64]!r}")
    return value


def _level(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_VERBOSE:
        raise InvalidRequest(f"log_verbose_level must be a whole number from 0, not {str(value)[:64]!r}")
    return value


def _format(value: object) -> str:
    if value not in _FORMATS:
        raise InvalidRequest(f"log_format must be one of {', '.join(_FORMATS)}, not {str(value)[:64]!r}")
    return str(value)
