"""How far apart a model's answers lie: the scale that differences are measured on. Pure."""

from __future__ import annotations

import warnings

import numpy as np

from rapide.server.tensors import Array

_LEAST_SHARE = 1e-6
"""Of the widest column's spread: below lies what is left of a single-precision sum that should be nothing."""


def spreads(answers: Array) -> Array:
    """The standard deviation of [N, columns] by column; of anything else as a whole, [1]. Where all answers are
    the same, their size, and 1 at least. NaN and infinities are passed over."""
    columns = (answers if answers.ndim == 2 else answers.reshape(-1, 1)).astype(np.float64)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", over="ignore"):
        warnings.simplefilter("ignore")  # of columns without any number
        finite = np.where(np.isfinite(columns), columns, np.nan)
        deviations = np.nan_to_num(np.nanstd(finite, axis=0), nan=0.0)
        sizes = np.nan_to_num(np.nanmax(np.abs(finite), axis=0), nan=0.0)
    found = np.where(deviations > 0, deviations, np.maximum(1.0, sizes))
    widest: Array = np.maximum(found, _LEAST_SHARE * found.max(initial=0.0))
    return widest
