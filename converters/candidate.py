"""What the examination works on: probe rows as the graph is fed them, and the original's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rapide.converters.arrays import load_arrays
from rapide.converters.columns import Column
from rapide.server.tensors import Array


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """How an output is judged: labels must be equal, numbers near; probabilities count against 1."""

    name: str
    is_label: bool
    unit_scale: bool


@dataclass(frozen=True, slots=True)
class RowSet:
    """Rows ``start`` to ``stop`` of all arrays. ``in_sample``: whether the sample has such rows itself (a column
    that misses values). ``advisory``: differences are told, and refuse nothing. ``whys``: for each
    row what it sits on, or empty."""

    name: str
    column: str
    start: int
    stop: int
    whys: tuple[str, ...]
    note: str
    in_sample: bool
    advisory: bool = False
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """By array: what its dimensions after the first are cut to, where the arrays are larger than these rows."""

    @property
    def rows(self) -> slice:
        return slice(self.start, self.stop)

    def spread(self, most: int) -> list[int]:
        """At most ``most`` of the rows, evenly spaced."""
        return [int(row) for row in np.linspace(self.start, self.stop - 1, min(most, self.stop - self.start))]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One graph with all that is known about what it should answer. ``sets``: the real rows come first."""

    path: Path
    columns: tuple[Column, ...]
    outputs: tuple[OutputPlan, ...]
    sets: tuple[RowSet, ...]
    feeds: Mapping[str, Array]
    original: Mapping[str, Array]
    truth: Array | None
    """The target's values for the real rows, if a target was named."""
    rule: Array | None
    """What the baseline's rule answers to the real rows, if a column of the sample is the baseline."""
    class_values: tuple[int | str, ...]
    task: str

    @property
    def real(self) -> RowSet:
        return self.sets[0]

    @classmethod
    def read(cls, job: Mapping[str, Any]) -> Candidate:
        """The candidate that a job describes (``convert.py`` writes it, from what the first child answered)."""
        arrays = load_arrays(Path(job["arrays"]))
        return cls(
            path=Path(job["graph"]),
            columns=tuple(map(Column.from_json, job["columns"])),
            outputs=tuple(
                OutputPlan(str(raw["name"]), bool(raw["is_label"]), bool(raw["unit_scale"]))
                for raw in job["outputs"]
            ),
            sets=tuple(RowSet(**{**raw, "whys": tuple(raw["whys"])}) for raw in job["sets"]),
            feeds=_part(arrays, "input:"),
            original=_part(arrays, "output:"),
            truth=arrays.get("target"),
            rule=arrays.get("rule"),
            class_values=tuple(job["class_values"]),
            task=str(job["task"]),
        )

    def shown(self, row: int, most: int = 12) -> dict[str, Any]:
        """A row's values by column name, the first ``most`` of them; the first of each tensor's where there are no
        columns."""
        if not self.columns:
            return {name: _first_values(array[row], most) for name, array in self.feeds.items()}
        return {
            column.name: self.feeds[column.input][row, [column.packed_at or 0]].tolist()[0]
            for column in self.columns[:most]
        }


def _first_values(values: Array, most: int) -> str:
    shown = ", ".join(
        f"{value:.6g}" if isinstance(value, float) else str(value) for value in values.ravel()[:most].tolist()
    )
    return f"[{shown}{', …' if values.size > most else ''}]"


def _part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
