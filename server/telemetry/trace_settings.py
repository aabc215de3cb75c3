"""Which requests are traced, in the terms of Triton's trace extension. Pure.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_trace.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rapide.server.errors import InvalidRequest, Unimplemented

OFF, TIMESTAMPS = "OFF", "TIMESTAMPS"
_MOST: Final = 2**31 - 1
TritonValue = str | int | Sequence[str] | None
"""A value as it comes: JSON has texts, numbers and lists, gRPC only lists. None and empty lists change nothing."""


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """The settings in force for all models, or for one."""

    level: str = OFF
    rate: int = 1000
    """One request in so many is traced."""
    count: int = -1
    """Traces still to be written by a worker; −1 never stops."""
    log_frequency: int = 0
    """Traces per file ``<file>.0``, ``<file>.1`` …; 0 puts all into one file."""

    def to_triton(self, file: str) -> dict[str, str | list[str]]:
        """All settings by Triton's names and in its types. ``file`` is set when the server starts."""
        return {
            "trace_level": [self.level],
            "trace_rate": str(self.rate),
            "trace_count": str(self.count),
            "log_frequency": str(self.log_frequency),
            "trace_file": file,
            "trace_mode": "triton",
        }

    def updated(self, changes: Mapping[str, TritonValue], file: str) -> TraceSettings:
        """These settings with ``changes`` by Triton's names. Raises InvalidRequest or Unimplemented."""
        fields: dict[str, Any] = {}
        for name, given in changes.items():
            values = [str(given)] if isinstance(given, str | int) else [str(value) for value in given or ()]
            if not values:
                continue
            if name == "trace_level":
                fields["level"] = _level(values, file)
            elif name in _NUMBERS:
                field, least = _NUMBERS[name]
                fields[field] = _number(name, values, least)
            elif name in _FIXED:
                _refuse_change(name, values, {"trace_file": file, "trace_mode": "triton"}[name])
            else:
                raise InvalidRequest(
                    f"trace setting {name[:64]!r} is unknown; expected one of {', '.join(_NAMES)}"
                )
        return replace(self, **fields)


_NUMBERS: Final = {"trace_rate": ("rate", 1), "trace_count": ("count", -1), "log_frequency": ("log_frequency", 0)}
"""Setting → field of TraceSettings and its least value."""
_FIXED: Final = ("trace_file", "trace_mode")
_NAMES: Final = ("trace_level", *_NUMBERS, *_FIXED)


def _refuse_change(name: str, values: list[str], current: str) -> None:
    if values and values != [current]:
        raise InvalidRequest(
            f"{name} cannot be changed by a request",
            hint="It says where the server writes, so whoever starts the server decides it.",
        )


def _level(values: list[str], file: str) -> str:
    wanted = [value.upper() for value in values]
    if "TENSORS" in wanted:
        raise Unimplemented("trace_level TENSORS is not offered: it would write what callers send into a file")
    if any(value not in (OFF, TIMESTAMPS) for value in wanted):
        raise InvalidRequest(f"trace_level must be {OFF} or {TIMESTAMPS}, not {', '.join(values)[:64]!r}")
    level = OFF if OFF in wanted else TIMESTAMPS
    if level != OFF and not file:
        raise InvalidRequest(
            "there is no file to write traces to", hint="Start the server with --trace-file to allow tracing."
        )
    return level


def _number(name: str, values: list[str], least: int) -> int:
    text = values[0]
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if len(values) != 1 or not least <= number <= _MOST:
        raise InvalidRequest(
            f"{name} must be one whole number from {least}, not {', '.join(map(str, values))[:64]!r}"
        )
    return number
