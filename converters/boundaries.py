"""Rows that sit exactly on a model's thresholds, found without knowing what lies before them.

A threshold inside a model is compared with what the preprocessing makes of a column. To find where that comparison
changes its mind, a real row that reaches it is taken, its column is moved along the grid of all numbers that a
client can send (``grids.py``), and the place is bisected at which "≤ threshold" turns: two neighbouring numbers,
one on either side. This works behind scalers, imputers, power transforms, column transformers and whatever else
is monotone in the column, because only the original's own arithmetic is asked. All comparisons are bisected
together: a halving is one call of the preprocessing.

Where a graph takes float32 and the sample holds short decimals, the decimals nearest to that place are compared,
too: the original is given the double, the graph the float32 that a client's text becomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rapide.converters.columns import Column, Precision
from rapide.converters.grids import Grid, decimals_of, grid
from rapide.converters.samples import Frame
from rapide.converters.sources.contract import SplitSite
from rapide.server.tensors import Array

MAX_SPLITS = 256
"""Comparisons tried in all. Rounding that matters shows up in a share of all of them, not in a single one."""
_BASE_ROWS = 64
_HALVINGS = 64


@dataclass(frozen=True, slots=True)
class BoundaryRows:
    """``frame``: the rows. ``whys``: for each, which comparison it sits on. ``tried`` comparisons, of which
    ``found`` turn when one column is moved. ``written``: rows with the decimals next to them, and their whys."""

    frame: Frame | None
    whys: tuple[str, ...]
    tried: int
    found: int
    written: Frame | None = None
    written_whys: tuple[str, ...] = ()


def boundary_rows(
    sites: Sequence[SplitSite], sample: Frame, columns: Sequence[Column], precision: Precision, seed: int = 0
) -> BoundaryRows:
    """For each comparison: a real row moved onto the two neighbouring numbers between which it turns, and (for
    floats) one float32 further on either side."""
    base = sample.sample(min(_BASE_ROWS, len(sample)), random_state=seed).reset_index(drop=True)
    movable = {
        column.name: grid(column, sample[column.name], precision)
        for column in columns
        if column.kind in ("number", "integer") and isinstance(sample[column.name].dtype, np.dtype)
    }
    decimals = {name: decimals_of(sample[name]) for name in movable} if precision == "float32" else {}
    found = [each for site in sites for each in _Search(site, base, movable).rows()]
    written = [each for each in (_as_written(each, decimals.get(each.column)) for each in found) if each]
    return BoundaryRows(
        _stacked(found, sample),
        _whys(found),
        sum(len(site.thresholds) for site in sites),
        len(found),
        _stacked(written, sample),
        _whys(written),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one comparison turns: one row with each of some numbers in ``column``, ascending."""

    frame: Frame
    column: str
    why: str


def _as_written(place: _Place, decimals: int | None) -> _Place | None:
    """The same row with the decimals around the place; None where the column holds no short decimals."""
    if decimals is None:
        return None
    ends = place.frame[place.column].to_numpy()[[0, -1]]
    values = np.unique(np.round([*ends, ends[0] - 10.0**-decimals, ends[1] + 10.0**-decimals], decimals))
    frame = place.frame.iloc[[0] * len(values)].reset_index(drop=True)
    frame[place.column] = values
    return _Place(frame, place.column, place.why)


def _stacked(places: Sequence[_Place], sample: Frame) -> Frame | None:
    if not places:
        return None
    return pd.concat([place.frame for place in places], ignore_index=True).astype(sample.dtypes.to_dict())


def _whys(places: Sequence[_Place]) -> tuple[str, ...]:
    return tuple(place.why for place in places for _ in range(len(place.frame)))


class _Search:
    """The comparisons of one site, each with a column that moves it and a row that reaches it."""

    def __init__(self, site: SplitSite, base: Frame, grids: dict[str, Grid]) -> None:
        self._site = site
        self._base = base
        self._grids = grids
        self._reached = site.reaches(site.transform(base))
        movers = self._movers()
        self._splits = np.array(
            [split for split in range(len(site.features)) if site.features[split] in movers], int
        )
        self._columns = [movers[site.features[split]] for split in self._splits]
        self._rows = [self._row_for(int(split)) for split in self._splits]
        self._frame = base.iloc[self._rows].reset_index(drop=True)

    def rows(self) -> list[_Place]:
        """One for each comparison that turns."""
        if not len(self._splits):
            return []
        lows, highs, turned = self._bisect()
        found = []
        for index in np.flatnonzero(turned):
            column = self._columns[index]
            values = self._grids[column].around(lows[index], highs[index])
            frame = self._base.iloc[[self._rows[index]] * len(values)].reset_index(drop=True)
            frame[column] = values
            why = f"{column} on a threshold of {self._site.paths[self._splits[index]]}"
            found.append(_Place(frame, column, why))
        return found

    def _movers(self) -> dict[int, str]:
        """For each feature of the matrix, a column that moves it."""
        movers: dict[int, str] = {}
        for name, column_grid in self._grids.items():
            try:
                ends = [self._at(name, column_grid, end) for end in (column_grid.low, column_grid.high)]
            except ValueError:  # an encoder, say, that knows only the numbers of its training
                continue
            for feature in np.flatnonzero((ends[0] != ends[1]).any(axis=0)):
                movers.setdefault(int(feature), name)
        return movers

    def _at(self, name: str, column_grid: Grid, position: int) -> Array:
        frame = self._base.copy()
        frame[name] = column_grid.decode(np.full(len(frame), position, dtype=np.int64))
        return np.nan_to_num(self._site.transform(frame))

    def _row_for(self, split: int) -> int:
        reaching = np.flatnonzero(self._reached[:, split])
        return int(reaching[split % len(reaching)]) if len(reaching) else split % len(self._base)

    def _bisect(self) -> tuple[Array, Array, Array]:
        """Neighbouring positions between which each comparison turns, and for which it does at all."""
        lows = np.array([self._grids[column].low for column in self._columns], dtype=np.int64)
        highs = np.array([self._grids[column].high for column in self._columns], dtype=np.int64)
        at_low = self._below(lows)
        turned = at_low != self._below(highs)
        for _ in range(_HALVINGS):
            # Not (lows + highs) // 2: positions of doubles fill all of int64.
            middles = lows // 2 + highs // 2 + (lows % 2 + highs % 2) // 2
            if np.array_equal(middles, lows):
                break
            same = self._below(middles) == at_low
            lows = np.where(same, middles, lows)
            highs = np.where(same, highs, middles)
        return lows, highs, turned

    def _below(self, positions: Array) -> Array:
        """Whether each row, its column moved to its position, is at most at its threshold."""
        frame = self._frame.copy()
        for name, column_grid in self._grids.items():
            mine = np.array([column == name for column in self._columns])
            if mine.any():
                values = frame[name].to_numpy(dtype=column_grid.own, copy=True)
                values[mine] = column_grid.decode(positions[mine])
                frame[name] = values
        matrix = self._site.transform(frame)
        seen = matrix[np.arange(len(positions)), self._site.features[self._splits]].astype(self._site.cast)
        below: Array = seen.astype(np.float64) <= self._site.thresholds[self._splits]
        return below
