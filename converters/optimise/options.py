"""What somebody asks to be optimised, as one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rapide.converters.limits import Limits
from rapide.converters.optimise.measures import DEFAULT_LIMITS

REAL_ROWS = "real.npz"
"""Where a conversion leaves the sample's rows for the variants to be judged on."""
SIZES = (1, 8, 32)
"""Rows in one run, where no usage profile says better: alone, under some load, under much."""


@dataclass(frozen=True, slots=True)
class OptimiseOptions:
    """``rapide optimise``'s options; docs/guides/optimise.md says more about each."""

    repository: Path
    name: str
    version: int | None = None
    """What to start from; None: the newest version that was not itself optimised."""
    rows: Path | None = None
    """Held-out rows: ``.parquet`` or ``.csv`` with the model's columns, ``.npz`` with its input tensors."""
    target: str = ""
    """The column of ``rows`` with the true answers; empty: the one that the version's quality was measured on."""
    sizes: Mapping[int, float] = field(default_factory=lambda: dict.fromkeys(SIZES, 1.0))
    """Rows in one run → how much that size matters, relative to the others."""
    max_loss: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    """Measure → the greatest loss that is accepted."""
    only: tuple[str, ...] = ()
    """Names of the recipes to try; empty: all."""
    keep: tuple[str, ...] = ()
    """Recipes whose result is kept if it is near enough, even if it is not faster: for its size."""
    label: str = ""
    limits: Limits = field(default_factory=Limits)
