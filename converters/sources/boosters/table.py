"""The libraries of boosted trees: which of them an estimator belongs to."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from rapide.converters.sources.boosters.ensemble import Ensemble

BOOSTERS = {
    "xgboost": "rapide.converters.sources.boosters.xgboost",
    "lightgbm": "rapide.converters.sources.boosters.lightgbm",
    "catboost": "rapide.converters.sources.boosters.catboost",
}
"""By the library's top module; imported only for an estimator of that library."""


class Booster(Protocol):
    """What each module of the table offers."""

    def opened(self, path: Path) -> Any:
        """The estimator in a file of the library's own. Raises ConversionError."""

    def ensemble(self, estimator: Any) -> Ensemble:
        """The trees of a fitted estimator. Raises ConversionError for what has no graph."""

    def categories(self, estimator: Any) -> dict[int, list[str]]:
        """By column: the texts of a category column, in the order of their codes."""

    def wrapped(self, booster: Any) -> Any:
        """The estimator for the library's own ``Booster``."""

    def column_names(self, estimator: Any, given: Sequence[str]) -> tuple[str, ...]:
        """Those of the training, as the sample's columns ``given`` spell them; empty if there were none."""

    def missing_number(self, estimator: Any) -> float:
        """The number that stands for a missing value beside NaN; NaN if there is none."""


def booster_of(estimator: Any) -> Booster | None:
    """The library's module, or None for an estimator of none."""
    name = BOOSTERS.get(type(estimator).__module__.partition(".")[0])
    booster: Booster | None = None if name is None else importlib.import_module(name)
    return booster


def opened_booster(model: Any) -> Any:
    """A library's own ``Booster`` as the estimator that answers as it does; any other model as it is."""
    booster = booster_of(model)
    return booster.wrapped(model) if booster is not None and type(model).__name__ == "Booster" else model
