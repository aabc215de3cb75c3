from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.converters.columns import Column
from rapide.converters.grids import Grid, decimals_of, grid, position

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def of(kind: np.dtype) -> Grid:
    return Grid(kind, kind, 0, 0)


@pytest.mark.parametrize("kind", [FLOAT32, FLOAT64])
@given(st.floats(width=32, allow_nan=False))
def test_positions_and_numbers_are_each_others_inverse(kind: np.dtype, value: float) -> None:
    assert of(kind).decode(np.array([position(value, kind)]))[0] == value


@given(st.floats(width=32, allow_nan=False), st.floats(width=32, allow_nan=False))
def test_positions_count_up_as_numbers_do(first: float, second: float) -> None:
    first_position, second_position = position(first, FLOAT32), position(second, FLOAT32)
    assert (first < second) == (first_position < second_position)


@given(st.floats(-(2.0**100), 2.0**100, width=32))
def test_the_next_position_is_the_next_number(value: float) -> None:
    following = of(FLOAT32).decode(np.array([position(value, FLOAT32) + 1]))[0]
    assert following == np.nextafter(np.float32(value), np.float32(np.inf))


def test_around_gives_one_float32_more_on_either_side() -> None:
    low = position(0.1, FLOAT64)
    values = of(FLOAT64).around(low, low + 1)
    assert values[1] == 0.1
    assert values[2] == np.nextafter(0.1, 1)
    assert np.float32(values[0]) == np.nextafter(np.float32(0.1), np.float32(-1))
    assert np.float32(values[3]) == np.nextafter(np.float32(values[2]), np.float32(1))


def test_integers_are_searched_as_integers() -> None:
    years = pd.Series([2000, 2010], dtype=np.int64)
    found = grid(Column("year", "integer"), years, "float32")
    assert (found.low, found.high) == (1994, 2016)
    assert found.around(2003, 2004).tolist() == [2003, 2004]


def test_integers_stay_within_their_type() -> None:
    found = grid(Column("pixel", "integer"), pd.Series([0, 255], dtype=np.uint8), "float32")
    assert (found.low, found.high) == (0, 255)


@pytest.mark.parametrize(("precision", "kind"), [("float32", FLOAT32), ("mixed", FLOAT64), ("float64", FLOAT64)])
def test_floats_are_searched_among_what_a_client_can_send(precision: str, kind: np.dtype) -> None:
    found = grid(Column("width", "number"), pd.Series([1.0, np.nan, 3.0]), precision)
    assert found.kind == kind
    assert of(kind).decode(np.array([found.low, found.high])).tolist() == [0.0, 4.0]


def test_a_column_without_values_has_a_range_all_the_same() -> None:
    found = grid(Column("width", "number"), pd.Series([np.nan, np.inf]), "float32")
    assert found.low < found.high


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        pytest.param([0.1, 0.25, np.nan], 2, id="two"),
        pytest.param([1.0, -3.0], 0, id="whole numbers"),
        pytest.param([0.1, 1 / 3], None, id="any numbers"),
        pytest.param([0.12345678], None, id="more than float32 has"),
        pytest.param(np.array([0.1, 0.25], np.float32), None, id="float32"),
        pytest.param([1, 2], None, id="integers"),
        pytest.param([np.nan], None, id="no numbers"),
    ],
)
def test_short_decimals_are_recognised(values: list[float], decimals: int | None) -> None:
    assert decimals_of(pd.Series(values)) == decimals
