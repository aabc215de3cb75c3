"""Plots in plain text."""

from __future__ import annotations

import pytest

from rapide.reports import terminal


def test_columns() -> None:
    assert terminal.columns([0, 1, 2, 4], height=2) == [
        "4 │   █",
        "  │ ▄██",
        "  └────",
    ]


def test_columns_that_are_too_many_keep_the_peaks() -> None:
    values = [0.0] * 1000
    values[777] = 5
    lines = terminal.columns(values, height=1, width=10)
    assert lines == ["5 │       █", "  └──────────"]


@pytest.mark.parametrize("values", [[], [0.0, 0.0]])
def test_columns_of_nothing(values: list[float]) -> None:
    assert terminal.columns(values) == [f"0 │{' ' * len(values)}"]


def test_bars() -> None:
    assert terminal.bars(["grpc", "http"], [1500, 375], width=8) == [
        "grpc │████████ 1.5k",
        "http │██ 375",
    ]


def test_a_bar_that_is_there_is_seen() -> None:
    assert terminal.bars(["much", "tiny", "none"], [1e6, 1, 0], width=8)[1:] == ["tiny │▏ 1", "none │ 0"]


def test_the_greatest_bar_may_be_zero() -> None:
    assert terminal.bars(["a"], [0.0]) == ["a │ 0"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0123, "0.0123"), (999, "999"), (1500, "1.5k"), (2.34e7, "23.4M"), (5e9, "5G")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert terminal.number(value) == text
