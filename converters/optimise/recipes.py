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
    Recipe("int8", "dynamic int8, per channel", f"{_ROOM}.dynamic", {"gather": False}),
    Recipe("int8-gather", "dynamic int8, per channel, embedding tables too", f"{_ROOM}.dynamic", {"gather": True}),
)


def chosen(only: tuple[str, ...]) -> tuple[Recipe, ...]:
    """The recipes called ``only`` (all for none). Raises ConversionError for an unknown name."""
    known = [recipe.name for recipe in RECIPES]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise ConversionError(f"there is no recipe {unknown[0][:40]!r}", hint=f"Recipes: {', '.join(known)}.")
    return tuple(recipe for recipe in RECIPES if not only or recipe.name in only)
