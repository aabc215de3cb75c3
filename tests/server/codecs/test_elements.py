"""Lists of JSON values: what each datatype takes, and the first culprit of what it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.codecs import elements
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES
from tests.server.codecs.strategies import ALL, assert_same_array, elements_of, few

INTEGERS = [d for d in ALL if d.value.startswith(("INT", "UINT"))]
FLOATS = [d for d in ALL if d.is_float]


@pytest.mark.parametrize("datatype", ALL)
@few
@given(data=st.data())
def test_values_that_fit_are_taken_exactly(datatype: DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(elements_of(datatype)))
    wanted = np.empty(len(values), dtype=NUMPY_DTYPES[datatype])
    wanted[:] = values
    assert_same_array(elements.to_array(values, datatype), wanted)


@pytest.mark.parametrize("datatype", FLOATS)
def test_floats_take_whole_numbers_and_null(datatype: DataType) -> None:
    array = elements.to_array([1, None, -2.5], datatype)
    assert array[0] == 1
    assert np.isnan(array[1])
    assert array[2] == -2.5


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_take_their_whole_range_and_nothing_beyond(datatype: DataType) -> None:
    bounds = np.iinfo(NUMPY_DTYPES[datatype])
    low, high = int(bounds.min), int(bounds.max)
    assert elements.to_array([low, high], datatype).tolist() == [low, high]
    for value in (low - 1, high + 1, 10**400):
        with pytest.raises(elements.WrongElement) as error:
            elements.to_array([0, value], datatype)
        assert (error.value.index, error.value.value) == (1, value)
        assert error.value.expected == f"a whole number from {low} to {high}"


@pytest.mark.parametrize(
    ("datatype", "values", "index", "expected"),
    [
        (DataType.FP32, [1.0, "2"], 1, "a number"),
        (DataType.FP32, [1.0, True], 1, "a number"),
        (DataType.FP32, [[1.0]], 0, "a number"),
        (DataType.FP32, [1.0, 1e39], 1, "a number between ±3.403e38"),
        (DataType.FP32, [1.0, None, 10**400], 2, "a number between ±3.403e38"),
        (DataType.FP64, [10**400], 0, "a number between ±1.798e308"),
        (DataType.FP16, [65504, 65520], 1, "a number between ±65504"),
        (DataType.BF16, [-3.5e38], 0, "a number between ±3.39e38"),
        (DataType.INT32, [1, 2.0], 1, "a whole number"),
        (DataType.INT32, [1, False], 1, "a whole number"),
        (DataType.INT32, [1, None], 1, "a whole number"),
        (DataType.INT32, ["1"], 0, "a whole number"),
        (DataType.BOOL, [True, 1], 1, "true or false"),
        (DataType.BOOL, [True, "true"], 1, "true or false"),
        (DataType.BOOL, [None], 0, "true or false"),
        (DataType.BYTES, ["a", 1], 1, "a text"),
        (DataType.BYTES, [None], 0, "a text"),
        (DataType.BYTES, ["a", "\ud800"], 1, "a text of Unicode characters"),
    ],
)
def test_the_first_culprit_is_named(datatype: DataType, values: list[Any], index: int, expected: str) -> None:
    with pytest.raises(elements.WrongElement) as error:
        elements.to_array(values, datatype)
    assert (error.value.index, error.value.expected) == (index, expected)
    assert error.value.value == values[index]


def test_texts_are_utf8_and_bytes_are_themselves() -> None:
    assert elements.to_array(["é", b"\xff", ""], DataType.BYTES).tolist() == ["é".encode(), b"\xff", b""]
