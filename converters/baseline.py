"""``baseline.json``: how features and answers were distributed in the sample, for drift to be measured against.

Numbers are counted in bins between the sample's quantiles; texts by their most frequent values. All bins and
counts are of the sample itself, so that a consumer needs nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from rapide.converters.columns import Column
from rapide.converters.samples import Frame, numbers
from rapide.converters.sources.contract import Output
from rapide.server.tensors import Array

SCHEMA = 1
BINS = 10
TOP_CATEGORIES = 20


def baseline(
    sample: Frame, columns: Sequence[Column], answers: Mapping[str, Array], outputs: Sequence[Output]
) -> dict[str, Any]:
    """``{"schema", "rows", "features": {name: statistics}, "predictions": {name: statistics}}``, ready for
    JSON."""
    predictions = {}
    for output in outputs:
        array = answers[output.name]
        for prediction in output.predictions:
            values = array if array.ndim == 1 else array[:, prediction.column or 0]
            if prediction.classes and values.dtype != object:
                values = np.array([prediction.classes[int(value)] for value in values], dtype=object)
            is_category = output.is_label
            predictions[prediction.name] = _of_categories(values) if is_category else _of_numbers(values)
    return {
        "schema": SCHEMA,
        "rows": len(sample),
        "features": {column.name: _of_column(sample[column.name], column) for column in columns},
        "predictions": predictions,
    }


def _of_column(values: Any, column: Column) -> dict[str, Any]:
    if column.kind in ("text", "boolean"):
        return _of_categories(values.to_numpy(dtype=object))
    return _of_numbers(numbers(values, np.dtype(np.float64)))


def _of_numbers(values: Array) -> dict[str, Any]:
    """``edges`` ascend strictly; ``counts[i]`` values v have ``edges[i-1] < v <= edges[i]``, the first and last
    bin being open."""
    present = values[np.isfinite(values)].astype(np.float64)
    if not present.size:
        return {"kind": "number", "count": int(values.size), "missing": int(values.size)}
    with np.errstate(over="ignore"):  # sums and squares of numbers near the end of all doubles
        mean, deviation = (float(np.nan_to_num(figure)) for figure in (present.mean(), present.std()))
    # By halves: the distance of two doubles may be more than any double.
    edges = np.unique(2 * np.quantile(present / 2, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    return {
        "kind": "number",
        "count": int(values.size),
        "missing": int(values.size - present.size),
        "min": float(present.min()),
        "max": float(present.max()),
        "mean": mean,
        "std": deviation,
        "edges": [float(edge) for edge in edges],
        "counts": [int(count) for count in counts],
    }


def _of_categories(values: Array) -> dict[str, Any]:
    """``top``: the most frequent values as texts with their counts, best first; ``other``: the count of the
    rest."""
    present = Counter(str(value) for value in values if not pd.isna(value))
    ranked = sorted(present.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "kind": "text",
        "count": len(values),
        "missing": len(values) - present.total(),
        "distinct": len(ranked),
        "top": [[name, count] for name, count in ranked[:TOP_CATEGORIES]],
        "other": sum(count for _, count in ranked[TOP_CATEGORIES:]),
    }
