"""What the child process does that holds the original model: exports it, asks it, and writes down its answers.

Files in the work folder: for a precision ``p`` the graph ``p.onnx``, the rows of all probe sets as the graph is
fed them with the original's answers, ``p.npz`` (arrays ``input:…`` and ``output:…``), and once ``baseline.json``.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from rapide.converters.arrays import save_arrays
from rapide.converters.baseline import baseline
from rapide.converters.channel import Channel
from rapide.converters.columns import Column, Precision
from rapide.converters.dependence import check_repeatable, depends_on_others, few_of
from rapide.converters.errors import ConversionError
from rapide.converters.feeds import make_feeds
from rapide.converters.finite import notes_on_answers
from rapide.converters.probes import (
    ProbeSet,
    extreme_rows,
    generated_rows,
    missing_rows,
    real_rows,
    threshold_rows,
    unseen_rows,
)
from rapide.converters.row_kinds import FEW
from rapide.converters.samples import TENSOR_SUFFIX, Frame, notes_on_texts, read_sample, read_tensors
from rapide.converters.sources.contract import Original, TensorOriginal
from rapide.converters.tensor_studio import TensorStudio
from rapide.converters.versions import library_versions
from rapide.server.tensors import Array


def main(job: dict[str, Any], channel: Channel) -> None:
    """Answers first with what the model is, then once for each ``{"precision": …}`` that the parent asks for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the model's own, about its rows: they say nothing about the conversion
        studio = _opened(job, channel)
        channel.answer(studio.facts())
        while (question := channel.receive()) is not None:
            try:
                channel.answer(studio.candidate(cast("Precision", question["precision"])))
            except ConversionError as error:  # another precision may do
                channel.answer({"refused": error.to_json()})


def _opened(job: dict[str, Any], channel: Channel) -> _Studio | TensorStudio:
    target, folder = str(job.get("target") or ""), Path(job["folder"])
    sample = _sample(job, target, channel)
    channel.step(f"importing {job['source']}")
    module = importlib.import_module(str(job["source_module"]))
    original: Original | TensorOriginal = module.open_original(job, sample, channel)
    if isinstance(original, TensorOriginal):
        return TensorStudio(original, folder, channel)
    return _Studio(original, sample, target, str(job.get("rule") or ""), folder, channel)


def _sample(job: dict[str, Any], target: str, channel: Channel) -> Any:
    """A table, arrays by name, or None where none was given."""
    if not job["sample"]:
        return None
    channel.step("reading the sample")
    path = Path(job["sample"])
    sample = read_tensors(path) if path.suffix.lower() == TENSOR_SUFFIX else read_sample(path)
    if target and target not in sample:
        raise ConversionError(f"the sample has no column {target!r} to compare with (--target)")
    rule = str(job.get("rule") or "")
    if rule and rule not in sample:
        raise ConversionError(
            f"the sample has no column {rule!r} with the baseline's answers (--baseline)",
            hint="Give a column of the sample, a figure, constant or none.",
        )
    return sample


class _Studio:
    """The original with the sample before it."""

    def __init__(
        self, original: Original, sample: Frame, target: str, rule: str, folder: Path, channel: Channel
    ) -> None:
        """``target``, ``rule``: columns of the sample with the true answers and the baseline's, or empty."""
        self._original = original
        self._full = sample
        self._target = target
        self._rule = rule
        self._folder = folder
        self._channel = channel
        names = [column.name for column in original.columns]
        self._sample = sample[names]
        for said in notes_on_texts(self._sample):
            channel.note(said)
        self._real = real_rows(sample)
        channel.step("asking the original about missing, unseen and extreme values")
        self._real_answers = original.answers(self._real.frame[names])
        for said in notes_on_answers(self._real_answers, original.outputs):
            channel.note(said)
        self._made = self._few_rows()
        self._made += generated_rows(original, self._sample) + extreme_rows(original, self._sample)
        self._missing = missing_rows(original, self._sample)
        self._unseen = unseen_rows(original, self._sample)
        self._columns = self._described()

    def facts(self) -> dict[str, Any]:
        """What the manifest will say about the model, and ``baseline.json``."""
        self._channel.step("computing the baseline statistics")
        statistics = baseline(self._sample, self._columns, self._real_answers, self._original.outputs)
        (self._folder / "baseline.json").write_text(json.dumps(statistics, allow_nan=False), encoding="utf-8")
        return {
            "columns": [column.to_json() for column in self._columns],
            "outputs": [output.to_json() for output in self._original.outputs],
            "precisions": list(self._original.precisions),
            "description": dict(self._original.description),
            "class_values": self._original.class_values,
            "versions": library_versions(),
            "sample": {"rows": len(self._full), "columns": len(self._full.columns)},
        }

    def candidate(self, precision: Precision) -> dict[str, Any]:
        """Exports the model and writes probes and answers. Returns the probe sets, by rows of the arrays."""
        self._channel.step(f"converting to ONNX ({precision})")
        (self._folder / f"{precision}.onnx").write_bytes(self._original.export(precision))
        self._channel.step("looking for rows on split thresholds")
        sets = [replace(self._real, frame=self._real.frame[self._sample.columns.tolist()])]
        sets += threshold_rows(self._original, self._sample, precision)
        sets += self._made + self._missing + self._unseen
        self._channel.step("asking the original")
        arrays = self._arrays(sets, precision)
        for name, column in (("target", self._target), ("rule", self._rule)):
            if column:
                arrays[name] = self._original.truth(self._real.frame[column])
        save_arrays(self._folder / f"{precision}.npz", arrays)
        return {"sets": _described(sets, self._sample)}

    def _few_rows(self) -> list[ProbeSet]:
        """Some real rows by themselves, where they get other answers than among all. Raises GateRefused."""
        original, real = self._original, self._real.frame[self._sample.columns.tolist()]
        chosen = few_of(len(real))
        few = real.iloc[chosen].reset_index(drop=True)
        answers = original.answers(few)
        check_repeatable(answers, original.answers(few), original.outputs)
        among_all = {name: array[chosen] for name, array in self._real_answers.items()}
        return [ProbeSet(FEW, few)] if depends_on_others(answers, among_all, original.outputs) else []

    def _arrays(self, sets: Sequence[ProbeSet], precision: Precision) -> dict[str, Array]:
        feeds = [make_feeds(probe.frame, self._columns, precision) for probe in sets]
        answers = [self._original.answers(probe.frame) for probe in sets]
        return {
            **{f"input:{name}": np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]},
            **{f"output:{name}": np.concatenate([answer[name] for answer in answers]) for name in answers[0]},
        }

    def _described(self) -> tuple[Column, ...]:
        bears = {probe.column for probe in self._missing}
        open_to_all = {probe.column for probe in self._unseen}
        return tuple(
            replace(
                column,
                takes_missing=column.name in bears,
                categories=()
                if column.kind != "text" or column.name in open_to_all
                else self._original.known_categories(column.name) or _seen(self._sample[column.name]),
            )
            for column in self._original.columns
        )


def _seen(values: Any) -> tuple[str, ...]:
    return tuple(sorted({str(value) for value in values.dropna().unique()}))


def _described(sets: Sequence[ProbeSet], sample: Frame) -> list[dict[str, Any]]:
    described = []
    start = 0
    for probe in sets:
        described.append(
            {
                "name": probe.name,
                "column": probe.column,
                "start": start,
                "stop": start + len(probe.frame),
                "whys": list(probe.whys),
                "note": probe.note,
                "advisory": probe.advisory,
                "in_sample": not probe.column or bool(sample[probe.column].isna().any()),
            }
        )
        start += len(probe.frame)
    return described
