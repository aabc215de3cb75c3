from __future__ import annotations

import numpy as np
import pytest

from rapide.converters.spread import spreads

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([[1.0, 10.0], [3.0, 30.0]], [1.0, 10.0], id="by column"),
        pytest.param([[1.0, NAN], [3.0, INF]], [1.0, 1.0], id="a column without numbers"),
        pytest.param([[5.0, 0.0], [5.0, 0.0]], [5.0, 1.0], id="constants"),
        pytest.param([[1e6, 1e-9], [-1e6, -1e-9]], [1e6, 1.0], id="what is left of nothing"),
        pytest.param([1.0, 3.0], [1.0], id="one number a row"),
        pytest.param([[[1.0, 3.0]], [[1.0, 3.0]]], [1.0], id="a tensor, as a whole"),
    ],
)
def test_spreads(answers: list[object], expected: list[float]) -> None:
    assert spreads(np.array(answers)).tolist() == pytest.approx(expected)


def test_nothing_has_no_spread() -> None:
    assert spreads(np.zeros((3, 0))).tolist() == []
