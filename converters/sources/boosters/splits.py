"""The comparisons of boosted trees, for rows that sit exactly on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from rapide.converters.sources.boosters.ensemble import Ensemble
from rapide.converters.sources.boosters.table import booster_of
from rapide.converters.sources.scikit_learn.places import Place
from rapide.converters.sources.scikit_learn.structure import Node, Transform
from rapide.server.tensors import Array


def places_of(node: Node) -> Iterator[Place]:
    """One a tree."""
    booster = booster_of(node.estimator)
    if booster is None:
        return
    ensemble = booster.ensemble(node.estimator)
    before = _coded(node.before, booster.categories(node.estimator))
    path = node.path or type(node.estimator).__name__
    for tree in sorted(set(ensemble.trees)):
        yield _Tree(ensemble, tree).place(f"{path} → tree {tree + 1}", before)


class _Tree:
    def __init__(self, ensemble: Ensemble, tree: int) -> None:
        self._ensemble = ensemble
        self._number = tree
        modes = zip(ensemble.trees, ensemble.modes, strict=True)
        ordered = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT")
        self._inner = [position for position, (of, mode) in enumerate(modes) if of == tree and mode in ordered]

    def place(self, path: str, before: Transform) -> Place:
        ensemble = self._ensemble
        return Place(
            path=path,
            before=before,
            features=np.array([ensemble.features[position] for position in self._inner], dtype=np.int64),
            thresholds=np.array([self._last_below(position) for position in self._inner], dtype=np.float64),
            cast=np.float64 if ensemble.is_wide else np.float32,
            reaches=self._reaches,
        )

    def _last_below(self, position: int) -> float:
        """The greatest number that goes the lower way: ``x < t`` is ``x <= the number before t``."""
        threshold = self._ensemble.thresholds[position]
        if self._ensemble.modes[position] != "BRANCH_LT":
            return threshold
        return float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))

    def _reaches(self, matrix: Array, splits: Array) -> Array:
        inside, reached = self._ensemble.reached(matrix, self._number)
        columns = {int(position): column for column, position in enumerate(inside)}
        chosen: Array = reached[:, [columns[self._inner[split]] for split in splits]]
        return chosen


def _coded(before: Transform, categories: Mapping[int, list[str]]) -> Transform:
    """Category columns as their codes."""
    if not categories:
        return before

    def coded(frame: Any) -> Any:
        table = before(frame)
        numbers = {
            name: pd.Categorical(table[name].astype(object), categories[column]).codes.astype(np.float64)
            if column in categories
            else table[name].to_numpy(dtype=np.float64, na_value=np.nan)
            for column, name in enumerate(table.columns)
        }
        return pd.DataFrame(numbers)

    return coded
