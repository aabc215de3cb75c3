"""Words for messages, short whatever is described."""

from __future__ import annotations

import time
from typing import Any

import pytest

from rapide.server.codecs.describe import closest, described, shown, some


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (2.5, "2.5"),
        (float("nan"), "nan"),
        ("abc", "the text 'abc'"),
        ("x" * 100, f"the text '{'x' * 64}'…"),
        ([1], "a list"),
        ({}, "an object"),
        (b"", "bytes"),
        (2**64, "18446744073709551616"),
        (object(), "something else"),
    ],
)
def test_values(value: Any, words: str) -> None:
    assert described(value) == words


def test_a_number_longer_than_python_likes_to_print() -> None:
    assert described(10**5000) == "a whole number of 16610 bits"


def test_names_are_cut_and_quoted() -> None:
    assert shown("a'b\n") == '"a\'b\\n"'
    assert shown("n" * 65) == f"'{'n' * 64}'…"


def test_at_most_eight_names() -> None:
    assert some(["a", "b"]) == "'a', 'b'"
    assert some([str(i) for i in range(10)]).endswith("'7' and 2 more")


def test_a_close_name_is_suggested() -> None:
    assert closest("milage", ["make", "mileage"]) == "; did you mean 'mileage'?"
    assert closest("colour", ["make", "mileage"]) == ""


def test_suggesting_is_bounded() -> None:
    """However wide the table, and however alike its names."""
    names = [f"{'x' * 50} {i:06}" for i in range(100_000)]
    started = time.process_time()
    closest("y" * 1_000_000, names)
    assert closest("x" * 57, names).startswith(f"; did you mean '{'x' * 50} 0000")
    assert time.process_time() - started < 1
