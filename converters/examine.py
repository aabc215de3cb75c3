"""What the second child process does: it has the graph and the original's answers, but never the original.

It checks the graph (``graph_gate``), compares answers (``parity``), proves that rows are independent, measures
quality and speed, and writes ``golden.npz``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from onnx import ModelProto

from rapide.converters.arrays import cut, grown, save_arrays
from rapide.converters.candidate import Candidate, OutputPlan, RowSet
from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError, GateRefused
from rapide.converters.graph_gate import read_graph
from rapide.converters.optimise.options import REAL_ROWS
from rapide.converters.parity import Comparison, Tolerance, compare_labels, compare_numbers
from rapide.converters.quality import DEFAULT_METRICS, METRICS, SCORES, constant_answers, measure
from rapide.converters.quality_bar import CONSTANT, NONE, Hurdle, QualityVerdict, number_in, reach
from rapide.converters.row_kinds import FEW, MISSING
from rapide.converters.runner import Runner
from rapide.converters.surgery import DATATYPES
from rapide.server.model.graph_rules import check_graph
from rapide.server.signature import DYNAMIC, Signature, TensorSpec
from rapide.server.tensors import Array

ALONE_ROWS = 24
"""Rows that are run alone and together to prove that they are independent."""
GOLDEN_ROWS = 16


def main(job: dict[str, Any], channel: Channel) -> None:
    """Answers with the examination of one candidate, as ``_Examination.result`` describes it."""
    channel.step("checking the graph")
    candidate = Candidate.read(job)
    model = read_graph(candidate.path)
    channel.step("comparing the graph with the original")
    channel.answer(_Examination(candidate, model, job).result())


class _Examination:
    def __init__(self, candidate: Candidate, model: ModelProto, job: Mapping[str, Any]) -> None:
        self._candidate = candidate
        self._model = model
        self._metric = str(job["metric"])
        self._takes_missing = set(job.get("takes_missing", ()))
        self._speed_rows = [int(rows) for rows in job["speed_rows"]]
        self._baseline = str(job["baseline"])
        self._hurdle = Hurdle.parse(str(job["hurdle"]))
        self._max_flips = int(job["max_flips"])
        self._keeps_rows = bool(job["keep_rows"])
        self._tolerances = {
            output.name: _tolerance(candidate, output, float(job["max_difference"]))
            for output in candidate.outputs
        }
        self._runner = Runner(candidate.path, [output.name for output in candidate.outputs])
        self._answers = self._answered(by_set=False)
        self._is_batchable = self._rows_are_independent()
        if not self._is_batchable:
            self._answers = self._answered(by_set=True)
        for name, array in self._answers.items():
            _check_shape(name, array, candidate.original[name])

    def result(self) -> dict[str, Any]:
        """Everything that the report, the manifest and the decision need, ready for JSON."""
        table = [self._line(rows, output) for rows in self._candidate.sets for output in self._candidate.outputs]
        given_up = _given_up_missing(table)
        table = [line for line in table if not (_may_be_given_up(line) and line["column"] in given_up)]
        columns = [
            replace(column, takes_missing=False) if column.name in given_up else column
            for column in self._candidate.columns
        ]
        passed = self._passes(table)
        if passed:
            self._write_golden(given_up)
            if self._keeps_rows:
                self._write_real_rows()
        takes_missing = {column.input for column in columns if column.takes_missing} | self._takes_missing
        content = self._candidate.path.read_bytes()
        quality = self._quality()
        return {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "nodes": len(self._model.graph.node),
            "graph": check_graph(cast("Any", self._model)).to_json(),
            "signature": _signature(self._model, takes_missing, self._is_batchable).to_json(),
            "columns": [column.to_json() for column in columns],
            "refused_missing": given_up,
            "table": table,
            "passed": passed,
            "tolerance": self._stated_tolerance(),
            "quality": {name: figure for name, figure in quality.items() if math.isfinite(figure)},
            "quality_gate": self._quality_verdict(quality),
            "latency_us": self._runner.latencies_us(self._candidate.feeds, self._speed_rows),
        }

    def _answered(self, *, by_set: bool) -> dict[str, Array]:
        """The graph's answers to all rows: together, or each set in its own sizes where these differ; ``by_set``:
        each set at once, as the original was asked."""
        if not by_set and not any(rows.sizes for rows in self._candidate.sets):
            return self._runner.run_all(self._candidate.feeds)
        pieces = []
        for rows in self._candidate.sets:
            feeds = {name: array[rows.rows] for name, array in self._candidate.feeds.items()}
            sizes = rows.sizes
            for name in feeds.keys() & sizes.keys():
                feeds[name] = cut(feeds[name], sizes[name])
            answers = self._runner.run(feeds) if by_set else self._runner.run_all(feeds)
            for name in answers.keys() & sizes.keys():
                if list(answers[name].shape[1:]) != list(sizes[name]):
                    raise _wrong_shape(name, answers[name].shape, (len(answers[name]), *sizes[name]))
                answers[name] = grown(answers[name], self._candidate.original[name].shape[1:])
            pieces.append(answers)
        return {
            output.name: np.concatenate([piece[output.name] for piece in pieces])
            for output in self._candidate.outputs
        }

    def _line(self, rows: RowSet, output: OutputPlan) -> dict[str, Any]:
        """One line of the parity table: one output over one set of rows."""
        comparison = self._compared(output, rows.rows)
        line: dict[str, Any] = {
            "set": rows.name,
            "column": rows.column,
            "in_sample": rows.in_sample,
            "advisory": rows.advisory,
            "note": rows.note,
            "output": output.name,
            "is_label": output.is_label,
            "rows": comparison.rows,
            "over": comparison.over,
            "ties": self._ties(output, rows.rows) if comparison.over else 0,
            "worst_absolute": _finite(comparison.worst_absolute),
            "worst_relative": _finite(comparison.worst_relative),
            "where": None,
        }
        worst = comparison.worst_row
        if worst is not None:
            shown = self._candidate.shown(rows.start + worst)
            line["where"] = {
                "row": {name: _finite(value) for name, value in shown.items()},
                "why": rows.whys[worst] if rows.whys else "",
                "original": comparison.original,
                "graph": comparison.answered,
            }
        return line

    def _compared(self, output: OutputPlan, rows: slice | Sequence[int]) -> Comparison:
        original, answered = self._candidate.original[output.name][rows], self._answers[output.name][rows]
        if output.is_label:
            return compare_labels(original, answered)
        flat = (len(original), -1) if original.size else (len(original), 0)
        return compare_numbers(original.reshape(flat), answered.reshape(flat), self._tolerances[output.name])

    def _ties(self, output: OutputPlan, rows: slice) -> int:
        """How many labels differ where the original itself finds the two likeliest classes equal, within the
        limit: which of them it says is a matter of rounding."""
        scores = next((each for each in self._candidate.outputs if not each.is_label), None)
        if not output.is_label or scores is None or self._candidate.original[output.name].ndim != 1:
            return 0
        flipped = self._candidate.original[output.name][rows] != self._answers[output.name][rows]
        ranked = np.sort(self._candidate.original[scores.name][rows][flipped].astype(np.float64), axis=1)
        leads = ranked[:, -1] - ranked[:, -2] if ranked.shape[1] > 1 else np.abs(ranked[:, -1])
        return int((leads <= self._tolerances[scores.name].absolute).sum())

    def _passes(self, table: Sequence[Mapping[str, Any]]) -> bool:
        binding = [line for line in table if not line["advisory"]]
        flips = sum(line["over"] for line in binding if line["is_label"])
        return flips <= self._max_flips and not any(line["over"] for line in binding if not line["is_label"])

    def _stated_tolerance(self) -> dict[str, Any]:
        """``relative`` and ``absolute`` are what the server holds golden rows to; ``outputs`` has them apart."""
        tolerances = list(self._tolerances.values())
        return {
            "relative": max(tolerance.relative for tolerance in tolerances),
            "absolute": max(tolerance.absolute for tolerance in tolerances),
            "outputs": {
                name: {
                    "relative": tolerance.relative,
                    "absolute": tolerance.absolute,
                    **({"by_column": list(tolerance.absolutes)} if len(tolerance.absolutes) > 1 else {}),
                }
                for name, tolerance in self._tolerances.items()
            },
        }

    def _rows_are_independent(self) -> bool:
        """Whether rows alone get the answers that they get among all, and together."""
        rows = self._candidate.real.spread(ALONE_ROWS)
        feeds = {name: array[rows] for name, array in self._candidate.feeds.items()}
        alone = [
            self._runner.run({name: array[row : row + 1] for name, array in feeds.items()})
            for row in range(len(rows))
        ]
        among_all = {name: array[rows] for name, array in self._answers.items()}
        return all(self._agree(together, alone) for together in (among_all, self._runner.run(feeds)))

    def _agree(self, answered: Mapping[str, Array], alone: Sequence[Mapping[str, Array]]) -> bool:
        """Within a tenth of the tolerance: sums may be taken in another order."""
        for output in self._candidate.outputs:
            together = answered[output.name]
            single = np.concatenate([answers[output.name] for answers in alone])
            tenth = self._tolerances[output.name].tenth()
            different = (
                compare_labels(together, single)
                if output.is_label
                else compare_numbers(together.reshape(len(alone), -1), single.reshape(len(alone), -1), tenth)
            )
            if different.over:
                return False
        return True

    def _quality(self) -> dict[str, float]:
        truth = self._candidate.truth
        if truth is None:
            return {}
        answers = {
            output: self._answers[output.name][self._candidate.real.rows] for output in self._candidate.outputs
        }
        labels = next((array for output, array in answers.items() if output.is_label), None)
        scores = next((array for output, array in answers.items() if output.unit_scale), None)
        numbers = next(
            (
                array[:, 0].astype(np.float64)
                for output, array in answers.items()
                if not output.is_label and array.shape[1:] == (1,)
            ),
            None,
        )
        has_classes = bool(self._candidate.class_values)
        if labels is None and has_classes:
            labels = _likeliest(answers.values(), self._candidate.class_values)
        given = (labels, scores, None) if has_classes else (None, None, numbers)
        if self._candidate.task != "classifier" and self._candidate.task in DEFAULT_METRICS and numbers is None:
            raise _incomparable(answers)
        figures = measure(
            self._candidate.task,
            self._metric,
            truth if has_classes else truth.ravel(),
            self._positions(truth),
            *given,
        )
        return {name: value for name, value in figures.items() if math.isfinite(value) or name == self._metric}

    def _positions(self, truth: Array) -> Array | None:
        """A classifier's true answers as positions of its classes."""
        classes = {value: position for position, value in enumerate(self._candidate.class_values)}
        return np.array([classes[value] for value in truth.tolist()], np.int64) if classes else None

    def _quality_verdict(self, quality: Mapping[str, float]) -> dict[str, Any] | None:
        """The first figure against baseline and hurdle; None where nothing was measured."""
        if not quality:
            return None
        name, figure = next(iter(quality.items()))
        metric = METRICS[name]
        baseline, rule = self._baseline_figure(name)
        verdict = QualityVerdict(
            metric=name,
            figure=figure,
            higher_is_better=metric.higher_is_better,
            baseline=baseline,
            rule=rule,
            hurdle=reach(self._hurdle, baseline, higher_is_better=metric.higher_is_better),
        )
        return {**verdict.to_json(), "fault": verdict.fault}

    def _baseline_figure(self, name: str) -> tuple[float | None, str]:
        """What the simplest model or rule reaches by the metric ``name``, and what that is in words."""
        known = number_in(self._baseline)
        if self._baseline == NONE:
            return None, ""
        if known is not None:
            return known, "as given"
        truth = self._candidate.truth
        if truth is None:
            return None, ""
        metric, positions = METRICS[name], self._positions(truth)
        plain = truth if positions is not None else truth.ravel()
        if self._baseline == CONSTANT:
            answers, rule = constant_answers(metric, plain, positions)
        elif self._candidate.rule is None or metric.needs == SCORES:
            raise ConversionError(
                f"the baseline's answers in {self._baseline!r} cannot be measured by {name}",
                hint="A column holds labels or numbers: give such a --metric, or the baseline's figure itself.",
            )
        else:
            answers, rule = self._candidate.rule, f"column {self._baseline!r} of the sample"
            answers = answers if positions is not None else answers.ravel()
        figure = metric.measure(positions if metric.needs == SCORES and positions is not None else plain, answers)
        return (figure, rule) if math.isfinite(figure) else (None, "")

    def _write_golden(self, given_up: Sequence[str]) -> None:
        """Rows with the answers that the *original* gave: real ones, and one of each other kind. Rows that differ
        (where some flips are allowed) are left out, for the server insists on every golden row."""
        candidate = self._candidate
        rows = self._golden_batch() or self._golden_rows(given_up)
        rows = [row for row in rows if not any(self._compared(output, [row]).over for output in candidate.outputs)]
        if not rows:
            raise GateRefused("parity", "none of the golden rows gets the original's answer")
        golden = {f"input:{name}": array[rows] for name, array in candidate.feeds.items()}
        for name, array in candidate.original.items():
            golden[f"output:{name}"] = array[rows].astype(self._answers[name].dtype)
        save_arrays(candidate.path.parent / "golden.npz", golden)

    def _golden_rows(self, given_up: Sequence[str]) -> list[int]:
        return self._candidate.real.spread(GOLDEN_ROWS) + [
            each.start
            for each in self._candidate.sets[1:]
            if not each.advisory and not each.sizes and not (each.name == MISSING and each.column in given_up)
        ]

    def _golden_batch(self) -> list[int]:
        """Rows that are right only together, as the original was asked; none where rows are independent."""
        if self._is_batchable:
            return []
        return [row for each in self._candidate.sets if each.name == FEW for row in range(each.start, each.stop)]

    def _write_real_rows(self) -> None:
        """What variants of the graph will be judged on: the sample's rows as inputs, with the true answers."""
        candidate = self._candidate
        rows = {f"input:{name}": array[candidate.real.rows] for name, array in candidate.feeds.items()}
        if candidate.truth is not None:
            rows["target"] = candidate.truth
        save_arrays(candidate.path.parent / REAL_ROWS, rows)


def _tolerance(candidate: Candidate, output: OutputPlan, max_difference: float) -> Tolerance:
    if output.is_label:
        return Tolerance((0.0,), 0.0)
    real = candidate.original[output.name][candidate.real.rows]
    return Tolerance.of(real, max_difference, unit_scale=output.unit_scale)


def _check_shape(name: str, answered: Array, original: Array) -> None:
    if answered.shape != original.shape:
        raise _wrong_shape(name, answered.shape, original.shape)


def _wrong_shape(name: str, answered: Sequence[int], original: Sequence[int]) -> GateRefused:
    return GateRefused(
        "parity", f"output {name!r} has shape {list(answered)}; the original answers {list(original)}"
    )


def _given_up_missing(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns whose missing values are refused: the graph does not follow the original there, and the sample has
    no missing value in them, so that nothing is lost that the model was trained for."""
    return sorted({line["column"] for line in table if _may_be_given_up(line) and line["over"]})


def _may_be_given_up(line: Mapping[str, Any]) -> bool:
    return line["set"] == MISSING and not line["in_sample"]


def _signature(model: ModelProto, takes_missing: set[str], batchable: bool) -> Signature:
    inputs = tuple(
        replace(spec, finite=spec.datatype.is_float and spec.name not in takes_missing)
        for spec in map(_spec, model.graph.input)
    )
    return Signature(inputs, tuple(map(_spec, model.graph.output)), batchable)


def _spec(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    if tensor.elem_type not in DATATYPES:
        raise ConversionError(f"{value.name!r} has ONNX type {tensor.elem_type}, which no client can send")
    shape = tuple(size.dim_value if size.HasField("dim_value") else DYNAMIC for size in tensor.shape.dim)
    return TensorSpec(value.name, DATATYPES[tensor.elem_type], shape)


def _incomparable(answers: Mapping[OutputPlan, Array]) -> ConversionError:
    """The error for true answers where a graph's are neither one number a row nor said to be classes."""
    outputs = ", ".join(f"{output.name} {list(array.shape[1:])}" for output, array in answers.items())
    return ConversionError(
        f"the true answers of --target can be compared with nothing that the model answers: {outputs}",
        hint="If the columns of an output are classes, name them in their order: --classes A,B,…; "
        "else leave --target out, and nothing is measured.",
    )


def _likeliest(answers: Iterable[Array], class_values: Sequence[int | str]) -> Array | None:
    """The class with the highest score, where an output has a column for each."""
    for array in answers:
        if array.shape[1:] == (len(class_values),):
            likeliest: Array = np.array(class_values)[array.argmax(axis=1)]
            return likeliest
    return None


def _finite(value: Any) -> Any:
    """``value`` as JSON can carry it: NaN and infinities become texts."""
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
