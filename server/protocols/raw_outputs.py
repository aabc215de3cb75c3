"""The outputs of a run as bytes, made once for all requests that shared it, and each one's part of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rapide.server.errors import Internal
from rapide.server.runs import Answer, Run
from rapide.server.signature import TensorSpec
from rapide.server.tensors import NUMPY_DTYPES, Array

Form = tuple[np.dtype[Any], tuple[int, ...]]
"""The datatype of an output, and the shape of a row."""


def form_of(spec: TensorSpec) -> Form:
    return NUMPY_DTYPES[spec.datatype], spec.shape[1:]


def checked_output(run: Run, index: int, form: Form) -> Array:
    """Output ``index`` of ``run``. Raises Internal where the model did not keep to its signature."""
    array: Array = run.outputs[index]
    dtype, row_shape = form
    if array.dtype != dtype or array.shape != (run.rows, *row_shape):
        raise Internal(
            f"output {index} is {array.dtype} {list(array.shape)}; "
            f"its signature says {dtype} {[run.rows, *row_shape]}"
        )
    return array


class RawOutputs:
    """Some outputs of one version, all with rows as their first dimension and a fixed size of a row."""

    __slots__ = ("_indexes", "_raw", "_run", "_shapes")

    def __init__(self, specs: Sequence[TensorSpec], indexes: Sequence[int]) -> None:
        """``indexes``: which of the model's outputs ``specs`` are."""
        self._indexes = tuple(indexes)
        self._shapes = [form_of(spec) for spec in specs]
        self._run: Run | None = None
        self._raw: list[tuple[bytes, int]] = []

    def of(self, answer: Answer) -> list[bytes]:
        """The raw outputs of one request. Raises Internal where the model did not keep to its signature."""
        run = answer.run
        if run is not self._run:
            self._raw = [self._octets(run, index, place) for place, index in enumerate(self._indexes)]
            self._run = run
        start, stop = answer.start, answer.stop
        if stop == run.rows:
            found = self._raw
            self._run, self._raw = None, []  # nobody comes after the last
            if start == 0:
                return [octets for octets, _ in found]
            return [octets[start * row_bytes :] for octets, row_bytes in found]
        return [octets[start * row_bytes : stop * row_bytes] for octets, row_bytes in self._raw]

    def _octets(self, run: Run, index: int, place: int) -> tuple[bytes, int]:
        octets = checked_output(run, index, self._shapes[place]).tobytes()
        return octets, len(octets) // run.rows if run.rows else 0
