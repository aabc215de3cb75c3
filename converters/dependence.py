"""Whether an answer depends on anything but its row: on chance, or on the rows that are asked about with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rapide.converters.errors import GateRefused
from rapide.converters.parity import Comparison, Tolerance, compare_labels, compare_numbers
from rapide.converters.sources.contract import Output
from rapide.server.tensors import Array

FEW_ROWS = 16
_NEAR = 1e-5
"""Of an answer and the answers' spread: sums may be taken in another order where other rows come along."""


def few_of(count: int) -> list[int]:
    """At most ``FEW_ROWS`` positions of ``count``, evenly spaced."""
    return [int(row) for row in np.linspace(0, count - 1, min(FEW_ROWS, count))]


def check_repeatable(first: Mapping[str, Array], again: Mapping[str, Array], outputs: Sequence[Output]) -> None:
    """``first``, ``again``: the original's answers to the same rows. Raises GateRefused where they differ."""
    for output in outputs:
        found = _compared(first[output.name], again[output.name], output)
        if found.over:
            raise GateRefused(
                "parity",
                f"the model draws its answers by chance: asked about the same rows again, {found.original} became "
                f"{found.answered} in {output.name!r}. Nothing was published.",
                hint="No graph can be held against it. Take out what is random (dropout that was left on, "
                "sampling, noise), and save the model again.",
            )


def depends_on_others(few: Mapping[str, Array], among_all: Mapping[str, Array], outputs: Sequence[Output]) -> bool:
    """Whether rows asked about by themselves get other answers than ``among_all``."""
    return any(_compared(among_all[output.name], few[output.name], output).over for output in outputs)


def _compared(one: Array, other: Array, output: Output) -> Comparison:
    if output.is_label:
        return compare_labels(one, other)
    tolerance = Tolerance.of(one, _NEAR, unit_scale=output.unit_scale)
    flat = (len(one), -1) if one.size else (len(one), 0)
    return compare_numbers(one.reshape(flat), other.reshape(flat), tolerance)
