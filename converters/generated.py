"""Rows that nobody ever sent, made from the sample: within its ranges, at their ends, and far outside.

Seeded: the same sample gives the same rows, so that a refusal can be repeated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rapide.converters.columns import Column
from rapide.converters.grids import WIDENING, decimals_of
from rapide.converters.samples import Frame
from rapide.server.tensors import Array

GENERATED_ROWS = 512
_SEED = 7
_BASE_ROWS = 4
"""Real rows that each extreme value is put into."""
_FAR_RANGES = (1e3, 1e6)
"""How many times its range a column lies outside, for rows that are told about only."""


def generated_frame(sample: Frame, rows: int = GENERATED_ROWS) -> Frame:
    """Each column by itself: numbers uniformly between its least and its greatest, all else among its values."""
    random = np.random.default_rng(_SEED)
    return pd.DataFrame({name: _drawn(sample[name], rows, random) for name in sample.columns})


def observed_frame(sample: Frame, rows: int = GENERATED_ROWS) -> Frame:
    """Each column by itself, among the values that it had."""
    random = np.random.default_rng(_SEED)
    return pd.DataFrame({name: _picked(sample[name], rows, random) for name in sample.columns})


def extreme_frame(sample: Frame, column: Column) -> Frame | None:
    """Real rows with ``column`` at, and half its range beyond, each end, and at zero. None where it has none."""
    span = _span(sample, column)
    if span is None:
        return None
    least, most = span
    margin = WIDENING * (most - least) or 1.0
    return _with_values(sample, column, [least - margin, least, 0.0, most, most + margin])


def far_frame(sample: Frame, column: Column) -> Frame | None:
    """Real rows with ``column`` thousands and millions of its ranges away. None unless it holds numbers."""
    span = _span(sample, column)
    if span is None:
        return None
    least, most = span
    width = (most - least) or max(1.0, abs(most))
    values = [end for ranges in _FAR_RANGES for end in (least - ranges * width, most + ranges * width)]
    return _with_values(sample, column, values)


def _span(sample: Frame, column: Column) -> tuple[float, float] | None:
    values = sample[column.name]
    if column.kind not in ("number", "integer") or not isinstance(values.dtype, np.dtype):
        return None
    present = _present(values)
    return (float(present.min()), float(present.max())) if present.size else None


def _present(values: Any) -> Array:
    numbers: Array = values.dropna().to_numpy(dtype=np.float64)
    return numbers[np.isfinite(numbers)]


def _with_values(sample: Frame, column: Column, values: list[float]) -> Frame:
    base = sample.head(_BASE_ROWS).reset_index(drop=True)
    own = sample[column.name].dtype
    frame = pd.concat([base] * len(values), ignore_index=True)
    wanted = np.repeat(np.array(values), len(base))
    if own.kind in "iu":
        bounds = np.iinfo(own)
        # Not the last integers: float64 rounds int64's greatest beyond its end.
        wanted = np.clip(np.rint(wanted), float(bounds.min), float(np.nextafter(float(bounds.max), 0)))
    frame[column.name] = wanted.astype(own)
    return frame


def _drawn(values: Any, rows: int, random: np.random.Generator) -> Any:
    dtype = values.dtype
    if not isinstance(dtype, np.dtype) or dtype.kind not in "fiu":
        return _picked(values, rows, random)
    present = _present(values)
    if not present.size:
        return _picked(values, rows, random)
    if dtype.kind in "iu":
        return pd.Series(random.integers(int(present.min()), int(present.max()), rows, endpoint=True)).astype(
            dtype
        )
    drawn = random.uniform(present.min(), present.max(), rows)
    decimals = decimals_of(values)
    if decimals is not None:  # every other number as clients write it, which may be just where a model decides
        drawn[::2] = np.round(drawn[::2], decimals)
    return pd.Series(drawn).astype(dtype)


def _picked(values: Any, rows: int, random: np.random.Generator) -> Any:
    present = values.dropna()
    chosen = present if len(present) else values
    return chosen.iloc[random.integers(0, len(chosen), rows)].reset_index(drop=True)
