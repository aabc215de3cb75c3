"""W3C trace context: the header ``traceparent``, read strictly and made cheaply.

https://www.w3.org/TR/trace-context/#traceparent-header
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE = "0" * 32
_NO_PARENT = "0" * 16
SAMPLED = 1


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Which trace a request belongs to, and the span that caused it (empty where the trace starts here)."""

    trace_id: str
    """32 hexadecimal digits."""
    parent_id: str
    """16 hexadecimal digits, or empty."""
    sampled: bool


def parse(header: str) -> TraceContext | None:
    """The context of a ``traceparent``, or None for one that the specification tells us to ignore.

    A version above 00 may have more fields after a dash (§ "Versioning of traceparent"); version ff and ids of
    zeros are invalid, as are capital letters.
    """
    match = _TRACEPARENT.fullmatch(header)
    if match is None:
        return None
    version, trace_id, parent_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or trace_id == _NO_TRACE or parent_id == _NO_PARENT:
        return None
    return TraceContext(trace_id, parent_id, bool(int(flags, 16) & SAMPLED))


def make(trace_id: str, span_id: str, *, sampled: bool) -> str:
    """The header to send on, version 00."""
    return f"00-{trace_id}-{span_id}-{SAMPLED if sampled else 0:02x}"


def id_source() -> Callable[[int], str]:
    """Random ids for one process: called with a number of bytes, gives so many as hexadecimal, never all zeros."""
    bits = Random(os.urandom(16)).getrandbits  # noqa: S311 - ids must be unlike, not secret
    return lambda size_bytes: f"{bits(8 * size_bytes) or 1:0{2 * size_bytes}x}"
