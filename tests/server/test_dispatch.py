"""Where a run belongs, and how the estimate follows what is observed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.dispatch import INLINE_AT_MOST_US, RunTimes


@pytest.mark.parametrize(
    ("run_us", "row_us", "rows", "is_inline"),
    [
        (5.0, 0.5, 1, True),
        (5.0, 0.5, 64, True),
        (5.0, 1.8, 4096, False),
        (74.0, 0.0, 1, True),
        (75.0, 0.0, 1, False),
        (2000.0, 0.0, 1, False),
        (5.0, 1.0, 0, True),
    ],
)
def test_small_runs_belong_on_the_loop(run_us: float, row_us: float, rows: int, is_inline: bool) -> None:
    assert RunTimes(run_us, row_us, inline_below_us=75.0).is_inline(rows) is is_inline


def test_a_big_batch_of_a_small_model_may_not_hold_the_loop() -> None:
    times = RunTimes(5.0, 1.0, inline_below_us=75.0)
    assert times.estimate_us(2000) > INLINE_AT_MOST_US
    assert not times.is_inline(2000)


def test_one_interrupted_run_changes_nothing_but_many_slow_ones_do() -> None:
    times = RunTimes(50.0, 0.0, inline_below_us=75.0)
    times.observe(1, 10_000.0)
    assert times.is_inline(1)
    for _ in range(100):
        times.observe(1, 10_000.0)
    assert not times.is_inline(1)
    for _ in range(100):
        times.observe(1, 50.0)
    assert times.is_inline(1)


@given(true_us=st.floats(1.0, 1e3), measured_us=st.floats(1.0, 1e3))
def test_the_estimate_finds_the_true_time(true_us: float, measured_us: float) -> None:
    times = RunTimes(measured_us, 0.0, inline_below_us=75.0)
    for _ in range(200):
        times.observe(1, true_us)
    assert times.estimate_us(1) == pytest.approx(true_us, rel=0.12)


def test_doubt_gives_a_refused_request_another_chance_soon() -> None:
    times = RunTimes(1e6, 0.0, inline_below_us=75.0)
    refusals = 0
    while times.estimate_us(1) > 1000.0:
        times.doubt()
        refusals += 1
    assert refusals < 100
