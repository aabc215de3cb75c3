"""A place in a model that compares numbers with thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rapide.converters.sources.scikit_learn.structure import Transform
from rapide.server.tensors import Array

Reaches = Callable[[Array, Array], Array]
"""(matrix, splits of the place) → [N, those splits] booleans."""


@dataclass(frozen=True, slots=True)
class Place:
    """All comparisons of one estimator, or of one of its trees; as in ``contract.SplitSite``."""

    path: str
    before: Transform
    features: Array
    thresholds: Array
    cast: type
    reaches: Reaches
