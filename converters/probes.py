"""The rows on which original and graph are compared: real ones, and those where they could differ most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rapide.converters.boundaries import MAX_SPLITS, boundary_rows
from rapide.converters.columns import Precision
from rapide.converters.generated import extreme_frame, far_frame, generated_frame, observed_frame
from rapide.converters.row_kinds import EXTREME, FAR, GENERATED, MISSING, REAL, THRESHOLD, UNSEEN, WRITTEN
from rapide.converters.samples import Frame
from rapide.converters.sources.contract import Original

MAX_REAL_ROWS = 5000
"""Evenly spaced over the sample: enough to meet every branch that matters, seconds at most for slow models."""
PROBE_ROWS = 32
"""Real rows that are changed for each column's missing values and unseen categories."""
MAX_EXTREME_COLUMNS = 64
"""Columns moved to extremes, evenly spaced: each is two calls of the original."""
UNSEEN_TEXTS = ("rapide: never seen", "ßœ例🙂", "é{}", "{}é", "{} Ж")
"""In place of the braces stands what the row had: what is next to it must not change what a word is."""


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """Rows of one kind. ``column``: the one that was changed, for missing and unseen. ``whys``: one a row, or
    none."""

    name: str
    frame: Frame
    column: str = ""
    whys: tuple[str, ...] = ()
    note: str = ""
    advisory: bool = False
    """Differences are told, and refuse nothing."""


def real_rows(sample: Frame) -> ProbeSet:
    count = min(len(sample), MAX_REAL_ROWS)
    chosen = np.linspace(0, len(sample) - 1, count).astype(int)
    note = f"{count} of {len(sample)} rows" if count < len(sample) else ""
    return ProbeSet(REAL, sample.iloc[chosen].reset_index(drop=True), note=note)


def threshold_rows(original: Original, sample: Frame, precision: Precision) -> list[ProbeSet]:
    """Rows on thresholds, none for a model that has none that can be reached; and those that a client would write
    next to them."""
    rows = boundary_rows(original.splits(MAX_SPLITS), sample, original.columns, precision)
    note = f"{rows.found} of {rows.tried} thresholds"
    sets = [ProbeSet(THRESHOLD, rows.frame, whys=rows.whys, note=note)] if rows.frame is not None else []
    return sets + ([ProbeSet(WRITTEN, rows.written, whys=rows.written_whys)] if rows.written is not None else [])


def missing_rows(original: Original, sample: Frame) -> list[ProbeSet]:
    """For each column whose absence the original bears, real rows without it. Asks the original."""
    sets = []
    for column in original.columns:
        if column.kind in ("integer", "boolean") and column.packed_at is None:
            continue  # their tensors have nothing that could mean "missing"
        frame = _some(sample)
        frame[column.name] = _blank(frame[column.name])
        if _answers(original, frame):
            sets.append(ProbeSet(MISSING, frame, column.name))
    return sets


def unseen_rows(original: Original, sample: Frame) -> list[ProbeSet]:
    """For each text column that may hold what was never seen, real rows with such a text. Asks the original."""
    sets = []
    for column in original.columns:
        if column.kind == "text":
            frame = _some(sample)
            texts = [
                UNSEEN_TEXTS[row % len(UNSEEN_TEXTS)].replace("{}", text if isinstance(text, str) else "")
                for row, text in enumerate(frame[column.name].tolist())
            ]
            frame[column.name] = pd.Series(texts, dtype=_text_dtype(sample[column.name]))
            if _answers(original, frame):
                sets.append(ProbeSet(UNSEEN, frame, column.name))
    return sets


def generated_rows(original: Original, sample: Frame) -> list[ProbeSet]:
    """Rows that never were: each column drawn by itself within its range, or where the original does not bear that
    (an encoder that knows only the numbers of its training), among the values that it had."""
    for frame in (generated_frame(sample), observed_frame(sample)):
        if _answers(original, frame):
            return [ProbeSet(GENERATED, frame)]
    return []


def extreme_rows(original: Original, sample: Frame) -> list[ProbeSet]:
    """For each column of numbers, real rows with it at the ends of its range, zero, and half a range beyond; and
    far outside, to be told only. Without those that the original does not bear."""
    sets = []
    spread = np.linspace(0, len(original.columns) - 1, min(MAX_EXTREME_COLUMNS, len(original.columns))).astype(int)
    for column in [original.columns[index] for index in spread]:
        for name, made in ((EXTREME, extreme_frame), (FAR, far_frame)):
            frame = made(sample, column)
            if frame is not None and _answers(original, frame):
                sets.append(ProbeSet(name, frame, column.name, advisory=name == FAR))
    return sets


def _some(sample: Frame) -> Frame:
    return sample.head(PROBE_ROWS).reset_index(drop=True)


def _blank(values: Any) -> Any:
    if values.dtype == object:
        present = values[values.isna()]
        nothing = present.iloc[0] if len(present) else None  # None or NaN, as the sample has it
        return pd.Series([nothing] * len(values), dtype=object)
    if values.dtype.kind in "iub" and not pd.api.types.is_extension_array_dtype(values.dtype):
        return pd.Series(np.full(len(values), np.nan))
    return pd.Series([pd.NA if _has_na(values.dtype) else np.nan] * len(values), dtype=values.dtype)


def _has_na(dtype: Any) -> bool:
    return getattr(dtype, "na_value", np.nan) is pd.NA


def _text_dtype(values: Any) -> Any:
    """The column's own, but for categories: a text outside of them needs a plain column."""
    return object if isinstance(values.dtype, pd.CategoricalDtype) else values.dtype


def _answers(original: Original, frame: Frame) -> bool:
    try:
        original.answers(frame)
    except Exception:  # noqa: BLE001 - the model's own code: whatever it raises means "no"
        return False
    return True
