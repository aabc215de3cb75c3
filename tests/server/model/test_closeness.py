"""When two answers are the same."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from rapide.server.model.closeness import Tolerance, difference
from rapide.server.tensors import Array

TIGHT = Tolerance(relative=1e-3, absolute=1e-6)


@pytest.mark.parametrize(
    ("found", "expected", "fault"),
    [
        (np.array([1.0, 2.0]), np.array([1.0, 2.0]), ""),
        (np.array([1.0005], np.float32), np.array([1.0]), ""),
        (np.array([1.0, 1.002]), np.array([1.0, 1.0]), "1.002 instead of 1.0 at [1], 1 in all"),
        (np.array([5e-7]), np.array([0.0]), ""),
        (np.array([np.nan, np.inf]), np.array([np.nan, np.inf]), ""),
        (np.array([np.nan]), np.array([0.0]), "nan instead of 0.0 at [0], 1 in all"),
        (np.array([-np.inf]), np.array([np.inf]), "-inf instead of inf at [0], 1 in all"),
        (np.array([[1], [2]]), np.array([[1], [3]]), "2 instead of 3 at [1, 0], 1 in all"),
        (np.array([1, 2]), np.array([[1, 2]]), "shape [2] instead of [1, 2]"),
        (np.array([b"a"], object), np.array([b"a"], object), ""),
        (np.array([b"a"], object), np.array([b"b"], object), "b'a' instead of b'b' at [0], 1 in all"),
        (np.zeros((0, 2)), np.zeros((0, 2)), ""),
        (np.array(1.0), np.array(2.0), "1.0 instead of 2.0 at [], 1 in all"),
        (np.array([1.0], ml_dtypes.bfloat16), np.array([1.0], ml_dtypes.bfloat16), ""),
        (np.array([1], np.int64), np.array([1.0]), ""),
    ],
)
def test_difference(found: Array, expected: Array, fault: str) -> None:
    assert difference(found, expected, TIGHT) == fault
