from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.converters.parity import Tolerance, compare_labels, compare_numbers

NAN, INF = np.nan, np.inf


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64).reshape(-1, 1)


@pytest.mark.parametrize(
    ("original", "answered", "over", "worst"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.0], 0, 0.0, id="equal"),
        pytest.param([100.0], [100.09], 0, 0.09, id="within the relative part"),
        pytest.param([0.0], [0.0009], 0, 0.0009, id="within the absolute part"),
        pytest.param([0.0], [0.0011], 1, 0.0011, id="beyond the absolute part"),
        pytest.param([100.0, 1.0], [100.2, 1.0], 1, 0.2, id="beyond both"),
        pytest.param([NAN, INF, -INF], [NAN, INF, -INF], 0, 0.0, id="the same NaN and infinities"),
        pytest.param([NAN], [0.0], 1, INF, id="NaN became a number"),
        pytest.param([0.0], [NAN], 1, INF, id="a number became NaN"),
        pytest.param([INF], [-INF], 1, INF, id="infinity changed its sign"),
        pytest.param([INF], [1.0], 1, INF, id="infinity became a number"),
    ],
)
def test_numbers(original: list[float], answered: list[float], over: int, worst: float) -> None:
    comparison = compare_numbers(column(*original), column(*answered), Tolerance((1e-3,), 1e-3))
    assert comparison.over == over
    assert comparison.worst_absolute == pytest.approx(worst)


def test_the_worst_row_is_the_one_that_strains_its_limit_most() -> None:
    original = column(1_000_000.0, 1.0)
    answered = column(1_000_001.0, 1.5)  # the first is further off, but its limit is 1000
    comparison = compare_numbers(original, answered, Tolerance((1e-3,), 1e-3))
    assert comparison.worst_row == 1
    assert (comparison.original, comparison.answered) == ("1", "1.5")


def test_any_column_of_a_row_counts_once() -> None:
    original = np.zeros((2, 3))
    answered = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert compare_numbers(original, answered, Tolerance((1e-3,), 1e-3)).over == 1


def test_each_column_has_a_scale_of_its_own() -> None:
    """A price in thousands beside a rate: what is far off for the rate is nothing for the price."""
    original = np.array([[100_000.0, 0.01], [300_000.0, 0.03]])
    tolerance = Tolerance.of(original, 1e-3, unit_scale=False)
    assert tolerance.absolutes == (pytest.approx(100.0), pytest.approx(1e-4))
    assert compare_numbers(original, original + np.array([50.0, 0.0]), tolerance).over == 0
    assert compare_numbers(original, original + np.array([0.0, 0.01]), tolerance).over == 2


def test_no_rows_are_equal() -> None:
    assert compare_numbers(np.zeros((0, 2)), np.zeros((0, 2)), Tolerance((0.0,), 0.0)).over == 0


def test_labels_that_differ_are_flips() -> None:
    original = np.array(["a", "b", "a"], dtype=object)
    comparison = compare_labels(original, np.array(["a", "c", "b"], dtype=object))
    assert (comparison.over, comparison.worst_row) == (2, 1)
    assert (comparison.original, comparison.answered) == ("b", "c")


def test_several_labels_a_row_flip_together() -> None:
    assert compare_labels(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [4, 3]])).over == 1


@pytest.mark.parametrize(
    ("answers", "unit_scale", "absolute"),
    [
        pytest.param([0.2, 0.8], True, 0.01, id="probabilities count against 1"),
        pytest.param([10.0, 30.0], False, 0.1, id="numbers count against their spread"),
        pytest.param([50.0, 50.0], False, 0.5, id="a constant counts against itself"),
        pytest.param([0.0, 0.0], False, 0.01, id="zeros count against 1"),
        pytest.param([NAN, 10.0, 30.0], False, 0.1, id="what is not finite is left out"),
    ],
)
def test_tolerance(answers: list[float], unit_scale: bool, absolute: float) -> None:
    tolerance = Tolerance.of(column(*answers), 0.01, unit_scale=unit_scale)
    assert tolerance == Tolerance((pytest.approx(absolute),), 0.01)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(-1e3, 1e3), st.floats(0, 1), st.floats(0, 1)
)
def test_agrees_with_allclose(values: list[float], shift: float, absolute: float, relative: float) -> None:
    original = column(*values)
    answered = original + shift
    close = np.isclose(answered, original, rtol=relative, atol=absolute).all(axis=1)
    assert compare_numbers(original, answered, Tolerance((absolute,), relative)).over == (~close).sum()
