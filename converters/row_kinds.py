"""The kinds of rows on which original and graph are compared, and the parity table by them. Light and pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

REAL = "real rows"
THRESHOLD = "on split thresholds"
WRITTEN = "thresholds, as written"
"""The short decimals next to them, where a column holds such: what clients write is narrowed to float32."""
MISSING = "missing values"
UNSEEN = "unseen categories"
GENERATED = "generated rows"
SIZES = "other sizes"
EXTREME = "extreme values"
FEW = "a few rows"
"""Real ones, asked about by themselves: only where an answer depends on the other rows."""
FAR = "far outside"
"""Beyond anything that the sample suggests: differences there are told, and refuse nothing."""

_SUMMARY = ("set", "advisory", "output", "is_label", "note", "rows", "over", "worst_absolute", "worst_relative")


def by_set(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The parity table with one line for each kind of rows and output, whatever column was changed; without the
    rows themselves."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for line in table:
        key = (line["set"], line["output"])
        if key not in merged:
            merged[key] = {name: line[name] for name in _SUMMARY}
            continue
        known = merged[key]
        known["rows"] += line["rows"]
        known["over"] += line["over"]
        for name in ("worst_absolute", "worst_relative"):
            known[name] = max(known[name], line[name], key=float)  # infinity is a text, as JSON has none
    return list(merged.values())
