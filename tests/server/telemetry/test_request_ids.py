from __future__ import annotations

import re

import pytest

from rapide.server.telemetry.request_ids import accepted_id, request_ids


def test_ids_are_unique_within_and_across_processes() -> None:
    first, second = request_ids(), request_ids()
    made = [first() for _ in range(1000)] + [second() for _ in range(1000)]
    assert len(set(made)) == 2000
    assert all(re.fullmatch(r"[a-z2-7]{8}-[0-9a-f]+", number) for number in made)
    assert all(accepted_id(number) == number for number in made)


@pytest.mark.parametrize("text", ["a", "A-1_b.c:d/e~", "x" * 128, "550e8400-e29b-41d4-a716-446655440000"])
def test_callers_ids_are_kept(text: str) -> None:
    assert accepted_id(text) == text


@pytest.mark.parametrize("text", ["", "a b", "a\nb", "a\r\nSet-Cookie: x", "\x1b[2J", "ä", "x" * 129])
def test_ids_that_could_harm_a_log_or_a_header_are_not(text: str) -> None:
    assert accepted_id(text) == ""
