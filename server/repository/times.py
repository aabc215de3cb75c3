"""Instants as text: RFC 3339 in UTC, to the microsecond."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


def format_time(instant: datetime) -> str:
    """``2026-11-20T10:00:00.123456Z``; whole seconds are written without a fraction."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    """An instant in UTC from RFC 3339 or shorter (``2026-11-20T10:00Z``, ``2026-11-20``).

    A time without a zone is UTC. Raises ValueError for any other text.
    """
    instant = datetime.fromisoformat(text)
    try:
        return (instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant).astimezone(UTC)
    except OverflowError:  # within hours of year 1 or 9999
        raise ValueError(f"{text!r} is outside the calendar") from None
