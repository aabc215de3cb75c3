"""Whether a model answers with numbers at all: NaN equals NaN, so that comparing them proves nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rapide.converters.errors import GateRefused
from rapide.converters.sources.contract import Output
from rapide.server.tensors import Array


def notes_on_answers(answers: Mapping[str, Array], outputs: Sequence[Output]) -> list[str]:
    """What to say of the original's ``answers`` to real rows. Raises GateRefused for an output without any finite
    number."""
    notes = []
    for output in outputs:
        array = answers[output.name]
        if array.dtype.kind != "f" or not array.size:
            continue
        finite = np.isfinite(array)
        if not finite.any():
            raise GateRefused(
                "parity",
                f"the model answers all {len(array)} real rows with NaN or infinity in {output.name!r}, which "
                "proves nothing. Nothing was published.",
                hint="Give rows as it was trained on (--sample); or look for a division by zero, or weights that "
                "are NaN.",
            )
        whole = finite.reshape(len(array), -1).all(axis=1)
        if not whole.all():
            notes.append(
                f"{int((~whole).sum())} of {len(array)} real rows are answered with NaN or infinity in "
                f"{output.name!r}"
            )
    return notes
