"""What is tried: one line for each recipe. Light; the work is in the modules named here, in a child process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rapide.converters.errors import ConversionError

ORIGINAL = "original"
"""The name of what everything is compared with: the graph as it was published."""
_ROOM = "rapide.converters.optimise"


@dataclass(frozen=True, slots=True)
class Recipe:
    """``module`` has ``make(bench, **options) -> Made``, which raises NotApplicable where it has nothing to do."""

    name: str
    method: str
    """In words, for reports and the manifest."""
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)


RECIPES: tuple[Recipe, ...] = (
    Recipe("clean", "graph clean-up", f"{_ROOM}.cleanup"),
    Recipe("trees", "trees without idle leaves and splits", f"{_ROOM}.trees"),
    Recipe("fp16", "constants stored as float16", f"{_ROOM}.storage", {"number": "float16"}),
    Recipe("bf16", "constants stored as bfloat16", f"{_ROOM}.storage", {"number": "bfloat16"}),
    Recipe("int8", "dynamic int8", f"{_ROOM}.dynamic", {"gather": False}),
    Recipe("int8-gather", "dynamic int8, embedding tables too", f"{_ROOM}.dynamic", {"gather": True}),
    Recipe("int8-minmax", "static int8, MinMax", f"{_ROOM}.static", {"calibration": "minmax"}),
    Recipe("int8-entropy", "static int8, entropy", f"{_ROOM}.static", {"calibration": "entropy"}),
    Recipe("int8-percentile", "static int8, percentile", f"{_ROOM}.static", {"calibration": "percentile"}),
    Recipe("int8-weights", "weight-only int8", f"{_ROOM}.weights", {"bits": 8}),
    Recipe("int4-weights", "weight-only int4", f"{_ROOM}.weights", {"bits": 4}),
    Recipe("offline", "rewritten for this processor beforehand", f"{_ROOM}.offline"),
)


def chosen(only: tuple[str, ...]) -> tuple[Recipe, ...]:
    """The recipes called ``only`` (all for none). Raises ConversionError for an unknown name."""
    known = [recipe.name for recipe in RECIPES]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise ConversionError(f"there is no recipe {unknown[0][:40]!r}", hint=f"Recipes: {', '.join(known)}.")
    return tuple(recipe for recipe in RECIPES if not only or recipe.name in only)
