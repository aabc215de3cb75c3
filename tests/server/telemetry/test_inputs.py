"""Inputs are looked at in windows: repeats and sizes are counted, and nothing of them is kept."""

from __future__ import annotations

import bisect
from pathlib import Path

import numpy as np
import pytest

from rapide.server.signature import DYNAMIC, DataType, Signature, TensorSpec
from rapide.server.telemetry import bins
from rapide.server.telemetry.inputs import Axis, Repeats, dynamic_axes, size_bin
from rapide.server.telemetry.version_block import AXES, FOLD_EVERY
from rapide.server.tensors import Array
from tests.server.telemetry.records import telemetry, totals


def row(*values: float) -> list[Array]:
    return [np.array([values], dtype=np.float32)]


def test_repeats() -> None:
    repeats = Repeats()
    assert [repeats.has(row(value)) for value in (1, 2, 1, 3, 2)] == [False, False, True, False, True]
    repeats.forget()
    assert not repeats.has(row(1))


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays[0].__setitem__((0, 0), 7),
        lambda arrays: arrays[0].__setitem__((-1, -1), 7),
        lambda arrays: arrays.append(np.zeros(1)),
        lambda arrays: arrays.reverse(),
    ],
)
@pytest.mark.parametrize("columns", [3, 100_000])
def test_what_differs_is_no_repeat(change: object, columns: int) -> None:
    def arrays() -> list[Array]:
        return [np.arange(columns, dtype=np.float32).reshape(1, -1), np.ones((1, 2), np.int64)]

    repeats = Repeats()
    assert not repeats.has(arrays())
    other = arrays()
    change(other)  # type: ignore[operator]
    assert not repeats.has(other)
    assert repeats.has(arrays())


def test_texts_are_compared_too() -> None:
    repeats = Repeats()
    texts = [np.array([[b"red"], [b"blue"]], dtype=object)]
    assert [repeats.has(texts), repeats.has(texts)] == [False, True]
    assert not repeats.has([np.array([[b"red"], [b"green"]], dtype=object)])


def test_what_is_remembered_is_bounded() -> None:
    repeats = Repeats()
    for value in range(10_000):
        assert not repeats.has(row(value))
    assert len(repeats._marks) == 4096


@pytest.mark.parametrize("size", [0, 1, 63, 64, 79, 80, 81, 1000, 65_535, 65_536, 65_537, 10**9])
def test_a_size_has_the_bin_that_a_search_would_give(size: int) -> None:
    assert size_bin(size) == bisect.bisect_left(bins.ROW_EDGES, size)


def signature(*shapes: tuple[int, ...], batchable: bool = True) -> Signature:
    inputs = [TensorSpec(f"x{index}", DataType.FP32, shape) for index, shape in enumerate(shapes)]
    return Signature(tuple(inputs), (), batchable)


def test_dynamic_axes() -> None:
    found = dynamic_axes(signature((DYNAMIC, DYNAMIC, 3), (DYNAMIC, 5), (DYNAMIC, 2, DYNAMIC)))
    assert found == (Axis("x0[1]", 0, 1), Axis("x2[2]", 2, 2))
    assert dynamic_axes(signature((DYNAMIC, 4), batchable=False)) == (Axis("x0[0]", 0, 0),)
    assert len(dynamic_axes(signature((DYNAMIC,) * 9))) == AXES


def test_the_recorder_counts_what_it_looks_at(tmp_path: Path) -> None:
    """Two workers, one of them replaced: counts add up and go on."""
    for lives, slot in enumerate((0, 1, 0), start=1):
        source = telemetry(tmp_path, slot)
        recorder = source.recorder("cars", "2")
        recorder.watch([Axis("ids[1]", 0, 1)])
        for length in (3, 3, 70, 100_000):
            recorder.look([np.zeros((1, length), np.uint8)])
        looked = totals(source).looked
        assert looked.requests == 4 * lives
        source.close()
    assert (looked.requests, looked.repeats) == (12, 3)
    assert looked.sizes["ids[1]"][[3, size_bin(70), len(bins.ROW_EDGES)]].tolist() == [6, 3, 3]
    assert looked.sums == {"ids[1]": 3 * 100_076}


def test_what_cannot_be_looked_at_costs_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    recorder.look([np.array([[[1]], [["no", "bytes"]]], dtype=object)])
    assert "looking at inputs of cars version 2 failed" in caplog.text
    assert not recorder.looks


def test_another_model_under_the_same_name_starts_its_sizes_anew() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for name in ("old[1]", "new[1]"):
        recorder.watch([Axis(name, 0, 1)])
        recorder.look(row(1, 2, 3))
    looked = totals(source).looked
    assert looked.sums == {"new[1]": 3}


def test_one_window_in_sixteen_is_looked_at() -> None:
    recorder = telemetry().recorder("cars", "2")
    seen = []
    for index in range(33 * FOLD_EVERY):
        if recorder.looks:
            seen.append(index // FOLD_EVERY)
        recorder.arrival(float(index), 1)
    assert sorted(set(seen)) == [0, 16, 32]
    assert len(seen) == 3 * FOLD_EVERY


def test_repeats_are_those_within_a_window() -> None:
    source = telemetry()
    recorder = source.recorder("cars", "2")
    for index in range(17 * FOLD_EVERY):
        if recorder.looks:
            recorder.look(row(index % FOLD_EVERY))
        recorder.arrival(1.0 + index, 1)
    looked = totals(source).looked
    assert (looked.requests, looked.repeats) == (2 * FOLD_EVERY, 0)
