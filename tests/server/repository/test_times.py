from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.repository.times import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-11-20T10:00Z", datetime(2024, 11, 20, 10, tzinfo=UTC)),
        ("2024-11-20T11:00+01:00", datetime(2024, 11, 20, 10, tzinfo=UTC)),
        ("2024-11-20 10:00", datetime(2024, 11, 20, 10, tzinfo=UTC)),
        ("2024-11-20", datetime(2024, 11, 20, tzinfo=UTC)),
    ],
)
def test_times_as_a_person_writes_them(text: str, instant: datetime) -> None:
    assert parse_time(text) == instant


@pytest.mark.parametrize("text", ["", "noon", "2026-13-01", "10:00", "9999-12-31T23:00-10:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(-12, 14))
def test_every_instant_survives_text(naive: datetime, hours: int) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert parse_time(format_time(instant)) == instant
    assert format_time(instant).endswith("Z")
