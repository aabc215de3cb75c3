"""What can be learned of a model by running it: rows that it takes, whether rows may be merged, how fast it is.

A file without a manifest promises nothing. Merging rows of different requests is right only if each row's answer
depends on that row alone; that is shown here on made-up rows, and where it cannot be shown the model runs every
request alone: slower, and right.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rapide.server.errors import RapideError
from rapide.server.model.closeness import Tolerance, difference
from rapide.server.model.graph import GraphTensor
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES, Array

RunFunction = Callable[[list[Array]], list[Array]]

_SCALES: Final = (1.0, 10.0, 1000.0, 0.1, 100_000.0, 3.0, 30.0, 300.0)
"""Of each row's floats: ages, prices and probabilities should be met, so that trees take different branches."""
_SCALES_HALF: Final = (1.0, 10.0, 100.0, 0.1, 3.0, 30.0, 0.3, 5.0)
"""The same for FP16 and BF16, which end at 65504 or lose their digits."""
_SIGNED_ROWS: Final = 5
"""The others are positive throughout: many features are, and some models answer all else alike."""
_SEEDS: Final = (20, 21, 22)
"""Tried in turn while the answers tell nothing."""
_SIZES: Final = (3, 8, 1, 16, 32, 64, 128, 224)
"""Tried in turn for dimensions that are dynamic beside the first; images come last."""
_INTEGERS_BELOW: Final = (100, 10, 2, 1)
"""Tried in turn: an index into a small table must be small."""
_SAME: Final = Tolerance(relative=1e-3, absolute=1e-6)
"""Kernels add in another order for another number of rows; a foreign row's influence is far above this."""
_SAME_HALF: Final = Tolerance(relative=2e-2, absolute=1e-3)
_TIMED_RUNS: Final = 30
_TIMED_S: Final = 0.1
"""At most, for each of two batch sizes: a load should not take long."""
_MANY_ROWS: Final = 8
_PROVES_NOTHING: Final = "it answers all made-up rows alike, which proves nothing"


@dataclass(frozen=True, slots=True)
class Sample:
    """Made-up requests of one row each, and their answers: ``rows[i][input]``, ``answers[i][output]``."""

    rows: list[list[Array]]
    answers: list[list[Array]]


@dataclass(frozen=True, slots=True)
class Findings:
    """``doubt``: why rows of different requests must not be merged, in words; empty where they may."""

    sample: Sample | None
    doubt: str
    has_rows: bool = False
    """Whether each output has one row for each row of input, independent or not."""


def probe(run: RunFunction, inputs: Sequence[GraphTensor]) -> Findings:
    """Finds out whether rows may be merged."""
    findings = Findings(None, "it runs on none of the made-up rows")
    for seed in _SEEDS:
        sample = find_sample(run, inputs, seed)
        if sample is None:
            break
        findings = _examine(run, inputs, sample)
        if findings.doubt != _PROVES_NOTHING:
            break
    return findings


def find_sample(run: RunFunction, inputs: Sequence[GraphTensor], seed: int = _SEEDS[0]) -> Sample | None:
    """Rows that the model runs; None if it takes nothing of what was tried."""
    for rows in _candidates(inputs, seed):
        try:
            return Sample(rows, [run(row) for row in rows])
        except RapideError:
            continue
    return None


def _examine(run: RunFunction, inputs: Sequence[GraphTensor], sample: Sample) -> Findings:
    if not inputs:
        return Findings(sample, "it has no input")
    for tensor in inputs:
        if not tensor.has_rows:
            return Findings(sample, f"the first dimension of input {tensor.name!r} is fixed")
        if tensor.dims[0] is not None and tensor.dims[0] in tensor.dims[1:]:
            return Findings(sample, f"the number of rows is also another dimension of input {tensor.name!r}")
    try:
        together = run([np.concatenate(column) for column in zip(*sample.rows, strict=True)])
    except RapideError:
        return Findings(sample, "it fails on several rows at once")
    for index, output in enumerate(together):
        answers = [row[index] for row in sample.answers]
        if output.shape[:1] != (len(answers),) or any(answer.shape[:1] != (1,) for answer in answers):
            return Findings(sample, f"output {index} does not have one row for each row of input")
    return Findings(sample, _doubt_of_answers(sample, together), has_rows=True)


def _doubt_of_answers(sample: Sample, together: list[Array]) -> str:
    varies = False
    for index, output in enumerate(together):
        answers = [row[index] for row in sample.answers]
        for number, (row, answer) in enumerate(zip(sample.rows, answers, strict=True)):
            fault = difference(output[number : number + 1], answer, _tolerance(row, answer))
            if fault:
                return f"a row's answer depends on the other rows (output {index}: {fault})"
        varies = varies or any(bool(np.any(answer != answers[0])) for answer in answers[1:])
    return "" if varies else _PROVES_NOTHING


def measure(run: RunFunction, row: list[Array], *, is_batchable: bool) -> tuple[float, float]:
    """Time of a run of one row, and what each further row adds: medians, in µs of processor time.

    Processor time, because a load happens beside traffic, and waiting for the GIL says nothing of the model.
    """
    run_us = _median_us(run, row)
    if not is_batchable:
        return run_us, 0.0
    many_us = _median_us(run, [np.repeat(array, _MANY_ROWS, axis=0) for array in row])
    return run_us, max(0.0, (many_us - run_us) / (_MANY_ROWS - 1))


def _median_us(run: RunFunction, arrays: list[Array]) -> float:
    run(arrays)  # the first run of a shape allocates
    times: list[float] = []
    end_s = time.monotonic() + _TIMED_S
    while not times or (len(times) < _TIMED_RUNS and time.monotonic() < end_s):
        begun_s = time.thread_time()
        run(arrays)
        times.append(time.thread_time() - begun_s)
    return statistics.median(times) * 1e6


def made_up_row(inputs: Sequence[GraphTensor]) -> list[Array]:
    """The likeliest request of one row, whether it runs or not."""
    return next(_candidates(inputs, _SEEDS[0]))[0]


def _candidates(inputs: Sequence[GraphTensor], seed: int) -> Iterator[list[list[Array]]]:
    """Sets of made-up rows, the likeliest first. The same on every machine."""
    has_sizes = any(not isinstance(size, int) for tensor in inputs for size in tensor.dims[1:])
    has_integers = any(_is_integer(tensor.datatype) for tensor in inputs)
    for below in _INTEGERS_BELOW if has_integers else _INTEGERS_BELOW[:1]:
        for size in _SIZES if has_sizes else _SIZES[:1]:
            random = np.random.default_rng(seed)
            yield [
                [_made_up(tensor, size, below, index, random) for tensor in inputs]
                for index in range(len(_SCALES))
            ]


def _made_up(tensor: GraphTensor, size: int, below: int, index: int, random: np.random.Generator) -> Array:
    """One request's input: one row where rows are dynamic, ``size`` in other dynamic dimensions."""
    shape = tuple(dim if isinstance(dim, int) else size for dim in tensor.dims)
    if tensor.has_rows:
        shape = (1, *shape[1:])
    dtype = NUMPY_DTYPES[tensor.datatype]
    if tensor.datatype is DataType.BOOL:
        return random.integers(0, 2, shape).astype(dtype)
    if tensor.datatype is DataType.BYTES:
        texts = np.empty(shape, dtype)
        texts[...] = np.vectorize(lambda number: b"%d" % number, otypes=[object])(random.integers(0, 10, shape))
        return texts
    if tensor.datatype.is_float:
        scales = _SCALES_HALF if dtype.itemsize == 2 else _SCALES
        floats = random.standard_normal(shape) * scales[index]
        return np.asarray(floats if index < _SIGNED_ROWS else np.abs(floats), dtype)
    return random.integers(0, below, shape).astype(dtype)


def _is_integer(datatype: DataType) -> bool:
    return not datatype.is_float and datatype not in (DataType.BOOL, DataType.BYTES)


def _tolerance(row: list[Array], answer: Array) -> Tolerance:
    """Relative to the row's largest number: where numbers cancel out, small differences of large ones are left."""
    base = _SAME_HALF if answer.dtype.itemsize == 2 else _SAME
    largest = max(_magnitude(array) for array in (*row, answer))
    return Tolerance(base.relative, base.absolute * max(1.0, largest))


def _magnitude(array: Array) -> float:
    if array.dtype.kind not in "fV":
        return 0.0
    magnitudes = np.abs(array.astype(np.float64))
    return float(magnitudes[np.isfinite(magnitudes)].max(initial=0.0))
