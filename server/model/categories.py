"""Which value it is that a model refuses: the graph only says that some text is none of its categories."""

from __future__ import annotations

from collections.abc import Sequence

from rapide.server.codecs.describe import described, some
from rapide.server.repository.manifest import Feature
from rapide.server.tensors import Array


def unknown_category(features: Sequence[Feature], names: Sequence[str], arrays: Sequence[Array]) -> str:
    """The first value in ``arrays`` (inputs by ``names``, rows first) that is none of its feature's categories, in
    words; empty where all are, or the features list none."""
    by_name = dict(zip(names, arrays, strict=True))
    for feature in features:
        values = by_name.get(feature.input)
        if not feature.categories or values is None or values.dtype != object:
            continue
        column = values.reshape(len(values), -1)[:, feature.column or 0]
        known = {feature.missing, *feature.categories}
        for row, value in enumerate(column.tolist()):
            text = value.decode(errors="replace")
            if text not in known:
                # No guess at what was meant: the event loop may be waiting, once for each request of a batch.
                expected = some(feature.categories)
                return f"{feature.name}: expected one of {expected}, got {described(text)} in row {row}"
    return ""
