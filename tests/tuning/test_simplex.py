from __future__ import annotations

import numpy as np
import pytest

from rapide.tuning.simplex import nelder_mead


def test_the_simplex_finds_a_valley() -> None:
    best, value = nelder_mead(
        lambda x: float((x[0] - 3) ** 2 + 10 * (x[1] + x[0]) ** 2), np.array([0.0, 0.0]), step=0.5, evaluations=200
    )
    assert value < 1e-3
    assert best == pytest.approx([3, -3], abs=0.1)
