"""Rows may be merged only where running the model shows that they are independent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rapide.server.model.graph import GraphTensor
from rapide.server.model.probing import find_sample, measure, probe
from rapide.server.model.session import Session, SessionOptions
from rapide.server.signature import DataType
from rapide.server.tensors import Array
from tests import models


def session_of(model: onnx.ModelProto) -> Session:
    return Session(model.SerializeToString(), Path(), has_external_data=False, options=SessionOptions())


def doubt_of(model: onnx.ModelProto) -> str:
    session = session_of(model)
    return probe(session.run, session.inputs).doubt


def batch_statistics() -> onnx.ModelProto:
    """``y = x / max over the batch``: alone, every positive row answers 1."""
    return models.build(
        [helper.make_node("ReduceMax", ["x", "axes"], ["top"]), helper.make_node("Div", ["x", "top"], ["y"])],
        [models.port("x", TensorProto.FLOAT, ("N", 1))],
        [models.port("y", TensorProto.FLOAT, ("N", 1))],
        {"axes": np.array([0], np.int64)},
    )


def square() -> onnx.ModelProto:
    """``y[N,N] = x[N,N]``."""
    return models.identity(shape=("N", "N"))


def dropped_rows() -> onnx.ModelProto:
    """Answers only the first row."""
    return models.build(
        [helper.make_node("Slice", ["x", "start", "end", "axis"], ["y"])],
        [models.port("x", TensorProto.FLOAT, ("N", 2))],
        [models.port("y", TensorProto.FLOAT, ("M", 2))],
        {"start": np.array([0]), "end": np.array([1]), "axis": np.array([0])},
    )


def noise() -> onnx.ModelProto:
    """Adds what no seed repeats."""
    return models.build(
        [helper.make_node("RandomNormalLike", ["x"], ["n"]), helper.make_node("Add", ["x", "n"], ["y"])],
        [models.port("x", TensorProto.FLOAT, ("N", 2))],
        [models.port("y", TensorProto.FLOAT, ("N", 2))],
    )


def no_inputs() -> onnx.ModelProto:
    """Always answers 1."""
    return models.build(
        [helper.make_node("Constant", [], ["y"], value_float=1.0)], [], [models.port("y", TensorProto.FLOAT, ())]
    )


def small_table() -> onnx.ModelProto:
    """Takes only the indices 0 and 1."""
    return models.lookup(rows=2)


def one_size_only() -> onnx.ModelProto:
    """Declares its second dimension as dynamic, but takes only 16."""
    return models.build(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [models.port("x", TensorProto.FLOAT, ("N", "F"))],
        [models.port("y", TensorProto.FLOAT, ("N", 2))],
        {"w": np.ones((16, 2), np.float32)},
    )


@pytest.mark.parametrize(
    "model",
    [
        models.linear(),
        models.classifier(),
        models.text_classifier(),
        models.mixed_columns(),
        models.two_inputs(),
        models.sequence(),
        models.recurrent(),
        models.everything(),
        models.slow(2),
        small_table(),
        one_size_only(),
        *(models.identity(datatype) for datatype in DataType),
    ],
    ids=lambda model: model.graph.node[0].op_type + "-" + model.graph.input[0].name,
)
def test_independent_rows_are_recognised(model: onnx.ModelProto) -> None:
    assert doubt_of(model) == ""


@pytest.mark.parametrize(
    ("model", "doubt"),
    [
        (models.no_batch_dimension(), "the first dimension of input 'x' is fixed"),
        (models.batch_of_one(), "the first dimension of input 'x' is fixed"),
        (models.scalar(), "the first dimension of input 'x' is fixed"),
        (models.cross_row(), "a row's answer depends on the other rows"),
        (models.reversed_rows(), "a row's answer depends on the other rows"),
        (batch_statistics(), "a row's answer depends on the other rows"),
        (models.selection(), "does not have one row for each row"),
        (dropped_rows(), "does not have one row for each row"),
        (noise(), "a row's answer depends on the other rows"),
        (square(), "the number of rows is also another dimension of input 'x'"),
        (models.constant(1.0), "which proves nothing"),
        (models.failing(), "it runs on none of the made-up rows"),
        (no_inputs(), "it has no input"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whoever_is_in_doubt_runs_alone(model: onnx.ModelProto, doubt: str) -> None:
    assert doubt in doubt_of(model)


def test_answers_that_tell_nothing_are_asked_again_for_other_rows() -> None:
    """A nearest-neighbour model may answer all of the first rows alike."""
    runs = 0

    def run(arrays: list[Array]) -> list[Array]:
        nonlocal runs
        runs += 1
        return [np.zeros_like(arrays[0]) if runs < 10 else arrays[0]]

    findings = probe(run, [GraphTensor("x", DataType.FP32, ("N", 2))])
    assert findings.doubt == ""
    assert findings.has_rows


def test_a_sample_is_rows_that_run() -> None:
    session = session_of(small_table())
    sample = find_sample(session.run, session.inputs)
    assert sample is not None
    assert {row[0].shape for row in sample.rows} == {(1,)}
    assert {int(row[0][0]) for row in sample.rows} <= {0, 1}


def test_a_larger_model_takes_longer() -> None:
    small, large = session_of(models.linear()), session_of(models.slow(300))
    row = [np.ones((1, 4), np.float32)]
    small_us, _ = measure(small.run, row, is_batchable=True)
    large_us, row_us = measure(large.run, row, is_batchable=True)
    assert 0 < small_us < large_us
    assert row_us >= 0
    assert measure(small.run, row, is_batchable=False)[1] == 0
