"""The outputs of a run as JSON, written once for all requests that shared it, and each one's rows of them.

Theory. Rows of numbers are written as ``[[a,b],[c,d]]``, and nothing in a number looks like what stands between
two rows; so the text of the whole run, cut there, gives each row's elements as they would be written alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from rapide.server.codecs.json_text import dump
from rapide.server.protocols.raw_outputs import checked_output, form_of
from rapide.server.runs import Answer, Run
from rapide.server.signature import TensorSpec
from rapide.server.tensors import Array


class JsonOutputs:
    """Some outputs of one version: numbers, with rows as their first dimension."""

    __slots__ = ("_outputs", "_rows", "_run")

    def __init__(self, specs: Sequence[TensorSpec], indexes: Sequence[int]) -> None:
        """``indexes``: which of the model's outputs ``specs`` are."""
        self._outputs = [(index, form_of(spec)) for index, spec in zip(indexes, specs, strict=True)]
        self._run: Run | None = None
        self._rows: list[list[bytes]] = []

    def of(self, answer: Answer) -> list[bytes]:
        """The elements of one request's outputs, flat, each as a list in JSON. Raises Internal where the model did
        not keep to its signature."""
        run = answer.run
        start, stop = answer.start, answer.stop
        if start == 0 and stop == run.rows:
            return [dump(checked_output(run, *output).reshape(-1)) for output in self._outputs]
        if run is not self._run:
            self._rows = [_rows(checked_output(run, *output)) for output in self._outputs]
            self._run = run
        rows = self._rows
        if stop == run.rows:
            self._run, self._rows = None, []  # nobody comes after the last
        if stop - start == 1:
            return [b"[%b]" % column[start] for column in rows]
        return [b"[%b]" % b",".join(filter(None, column[start:stop])) for column in rows]


def _rows(array: Array) -> list[bytes]:
    """The elements of each row, with commas between them."""
    if not array.size:
        return [b""] * array.shape[0]
    if array.ndim == 1:
        return dump(array)[1:-1].split(b",")
    return dump(array.reshape(array.shape[0], -1))[2:-2].split(b"],[")
