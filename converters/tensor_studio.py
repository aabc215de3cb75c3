"""The original model of tensors with its sample before it: what ``original.py`` does for a table, for arrays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rapide.converters.arrays import cut, grown, save_arrays
from rapide.converters.baseline import baseline
from rapide.converters.channel import Channel
from rapide.converters.columns import Precision
from rapide.converters.dependence import check_repeatable, depends_on_others, few_of
from rapide.converters.errors import ConversionError
from rapide.converters.finite import notes_on_answers
from rapide.converters.row_kinds import FEW, GENERATED, REAL, SIZES
from rapide.converters.sources.contract import TensorInput, TensorOriginal
from rapide.converters.versions import library_versions
from rapide.server.tensors import Array

MAX_REAL_ROWS = 256
"""A row may take milliseconds, in the original as in the graph."""
GENERATED_ROWS = 64
CUT_ROWS = 8
OWN: Precision = "own"

Feeds = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class _Set:
    name: str
    feeds: Feeds
    answers: Feeds
    note: str = ""

    @property
    def count(self) -> int:
        return len(next(iter(self.feeds.values())))


class TensorStudio:
    """Answers what ``original.main`` is asked, for a model of tensors."""

    def __init__(self, original: TensorOriginal, folder: Path, channel: Channel) -> None:
        self._original = original
        self._folder = folder
        self._channel = channel
        total = len(next(iter(original.rows.values())))
        self._chosen = np.linspace(0, total - 1, min(total, MAX_REAL_ROWS)).astype(int)
        self._total = total
        channel.step("asking the original")
        real = {name: array[self._chosen] for name, array in original.rows.items()}
        note = f"{len(self._chosen)} of {total} rows" if len(self._chosen) < total else ""
        self._sets = [_Set(REAL, real, original.answers(real), note)]
        for said in notes_on_answers(self._sets[0].answers, original.outputs):
            channel.note(said)
        self._sets += self._few_rows()
        self._sets += self._if_answered(GENERATED, _generated(real))
        self._sets += [each for feeds in self._cut_rows(real) for each in self._if_answered(SIZES, feeds)]

    def facts(self) -> dict[str, Any]:
        """What the manifest will say about the model, and ``baseline.json``."""
        original, real = self._original, self._sets[0]
        outputs = [output for output in original.outputs if output.predictions]
        statistics = baseline(self._chosen, (), real.answers, outputs)
        (self._folder / "baseline.json").write_text(json.dumps(statistics, allow_nan=False), encoding="utf-8")
        return {
            "columns": [],
            "outputs": [output.to_json() for output in original.outputs],
            "precisions": [OWN],
            "description": dict(original.description),
            "class_values": original.class_values,
            "takes_missing": self._takes_missing(),
            "versions": library_versions(),
            "sample": {
                "rows": self._total,
                "inputs": {name: list(array.shape[1:]) for name, array in original.rows.items()},
            },
        }

    def candidate(self, precision: Precision) -> dict[str, Any]:
        """Exports the model and writes probes and answers. Returns the probe sets, by rows of the arrays."""
        if precision != OWN:
            raise ConversionError(
                "this model is published in the precision that it has", hint="Leave --precision out."
            )
        self._channel.step("writing the ONNX graph")
        (self._folder / f"{precision}.onnx").write_bytes(self._original.export())
        arrays = {
            **_stacked("input:", [each.feeds for each in self._sets]),
            **_stacked("output:", [each.answers for each in self._sets]),
        }
        truth = self._original.truth
        if truth is not None:
            arrays["target"] = truth[self._chosen]
        save_arrays(self._folder / f"{precision}.npz", arrays)
        return {"sets": _described(self._sets, arrays)}

    def _if_answered(self, name: str, feeds: Feeds) -> list[_Set]:
        """The set with the original's answers; none where it does not bear such rows."""
        try:
            answers = self._original.answers(feeds)
        except Exception:  # noqa: BLE001 - the model's own code: whatever it raises means "no"
            return []
        sizes = ", ".join(f"{each} {list(array.shape[1:])}" for each, array in feeds.items())
        return [_Set(name, feeds, answers, sizes if name == SIZES else "")]

    def _few_rows(self) -> list[_Set]:
        """Some real rows by themselves, where they get other answers than among all. Raises GateRefused."""
        real, outputs = self._sets[0], self._original.outputs
        chosen = few_of(real.count)
        feeds = {name: array[chosen] for name, array in real.feeds.items()}
        answers = self._original.answers(feeds)
        check_repeatable(answers, self._original.answers(feeds), outputs)
        among_all = {name: array[chosen] for name, array in real.answers.items()}
        return [_Set(FEW, feeds, answers)] if depends_on_others(answers, among_all, outputs) else []

    def _cut_rows(self, real: Feeds) -> list[Feeds]:
        """Some rows with every dimension that requests choose cut to half, and to 1."""
        inputs = self._original.tensor_inputs
        if not any(isinstance(axis, str) for each in inputs for axis in each.axes[1:]):
            return []
        parts = (lambda size: max(1, size // 2), lambda _: 1)
        few = {name: array[:CUT_ROWS] for name, array in real.items()}
        return [{each.name: _cut_free(each, few[each.name], part) for each in inputs} for part in parts]

    def _takes_missing(self) -> list[str]:
        """Float inputs in which the original bears a NaN: it answers, and not with NaN."""
        bearing = []
        for each in self._original.tensor_inputs:
            if each.datatype.is_float:
                feeds = {name: array[:CUT_ROWS].copy() for name, array in self._sets[0].feeds.items()}
                feeds[each.name].reshape(len(feeds[each.name]), -1)[:, :1] = np.nan
                answered = self._if_answered("", feeds)
                if answered and all(_is_whole(array) for array in answered[0].answers.values()):
                    bearing.append(each.name)
        return bearing


def _cut_free(wanted: TensorInput, array: Array, part: Callable[[int], int]) -> Array:
    """``array`` with those dimensions cut to a ``part`` of their size that requests choose."""
    sizes = zip(wanted.axes[1:], array.shape[1:], strict=True)
    return cut(array, [part(size) if isinstance(axis, str) else size for axis, size in sizes])


def _is_whole(array: Array) -> bool:
    return array.dtype.kind not in "fc" or not bool(np.isnan(array).any())


def _generated(real: Feeds) -> dict[str, Array]:
    """Rows whose every number is drawn between the least and the greatest that the sample has in its input, and
    whose texts and booleans are drawn among the sample's."""
    generator = np.random.default_rng(0)
    rows = {}
    for name, array in real.items():
        shape = (GENERATED_ROWS, *array.shape[1:])
        if array.dtype.kind in "iu":
            rows[name] = generator.integers(array.min(), array.max(), shape, array.dtype, endpoint=True)
        elif array.dtype.kind == "f":
            finite = array[np.isfinite(array)].astype(np.float64)
            low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
            rows[name] = generator.uniform(low, high, shape).astype(array.dtype)
        else:
            rows[name] = generator.choice(array.ravel(), shape)
    return rows


def _stacked(prefix: str, pieces: Sequence[Feeds]) -> dict[str, Array]:
    """All rows of all sets, in the sizes of the largest."""
    stacked = {}
    for name in pieces[0]:
        arrays = [piece[name] for piece in pieces]
        sizes = [max(lengths) for lengths in zip(*(array.shape[1:] for array in arrays), strict=True)]
        stacked[prefix + name] = np.concatenate([grown(array, sizes) for array in arrays])
    return stacked


def _described(sets: Sequence[_Set], arrays: Feeds) -> list[dict[str, Any]]:
    described = []
    start = 0
    for each in sets:
        shapes = {**_shapes("input:", each.feeds), **_shapes("output:", each.answers)}
        described.append(
            {
                "name": each.name,
                "column": "",
                "start": start,
                "stop": start + each.count,
                "whys": [],
                "note": each.note,
                "in_sample": True,
                "sizes": {
                    key.partition(":")[2]: sizes
                    for key, sizes in shapes.items()
                    if sizes != list(arrays[key].shape[1:])
                },
            }
        )
        start += each.count
    return described


def _shapes(prefix: str, feeds: Feeds) -> dict[str, list[int]]:
    return {f"{prefix}{name}": list(array.shape[1:]) for name, array in feeds.items()}
