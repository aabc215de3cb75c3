"""Nested and flat lists, and the index where nesting goes wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from rapide.server.codecs import nested
from rapide.server.errors import InvalidRequest
from tests.server.codecs.strategies import shapes


@given(shapes)
def test_nested_and_flat_lists_mean_the_same(shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape)
    flat = array.reshape(-1).tolist()
    assert nested.flat_elements(array.tolist(), shape, "x") == flat
    assert nested.flat_elements(flat, shape, "x") == flat


@given(shapes)
def test_the_shape_of_nested_lists_is_found(shape: tuple[int, ...]) -> None:
    until_empty = shape[: shape.index(0) + 1] if 0 in shape else shape
    assert nested.shape_of(np.zeros(shape).tolist(), 32, "x") == until_empty


@given(shapes)
def test_positions_and_indices_agree_with_numpy(shape: tuple[int, ...]) -> None:
    for position in range(int(np.prod(shape))):
        assert tuple(nested.index_of(position, shape)) == np.unravel_index(position, shape)


@pytest.mark.parametrize(
    ("data", "shape", "message"),
    [
        ([1, 2, 3], (2, 2), "x has 3 elements; its shape [2, 2] needs 4"),
        ([], (1,), "x has 0 elements; its shape [1] needs 1"),
        ([1, 2], (), "x has 2 elements; its shape [] needs 1"),
        (5, (1,), "x: expected data to be a list, got 5"),
        ({"a": 1}, (1,), "x: expected data to be a list, got an object"),
        ([[1, 2], [3]], (2, 2), "x: expected a list of 2 at index [1], got one of 1 (the shape is [2, 2])"),
        ([[1, 2], 3], (2, 2), "x: expected a list of 2 at index [1], got 3 (the shape is [2, 2])"),
        ([[1, 2]], (2, 2), "x: expected a list of 2, got one of 1 (the shape is [2, 2])"),
        (
            [[[1, 2]], [[3, 4, 5]]],
            (2, 1, 2),
            "x: expected a list of 2 at index [1, 0], got one of 3 (the shape is [2, 1, 2])",
        ),
        ([[1], [2]], (2, 1, 1), "x: expected a list of 1 at index [0, 0], got 1 (the shape is [2, 1, 1])"),
    ],
)
def test_wrong_nesting_is_located(data: Any, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        nested.flat_elements(data, shape, "x")
    assert error.value.message == message


def test_depth_is_bounded() -> None:
    deep: Any = 1
    for _ in range(33):
        deep = [deep]
    with pytest.raises(InvalidRequest, match="x: lists are nested more than 32 deep"):
        nested.shape_of(deep, 32, "x")
