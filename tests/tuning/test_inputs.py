"""What the rows are like that a tuning measures with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from rapide.profiles.histogram import ROWS, Histogram
from rapide.profiles.input_record import InputRecord, no_inputs
from rapide.server.model import SessionOptions, load_model
from rapide.server.repository.local import open_repository
from rapide.server.signature import DYNAMIC, DataType, Signature, TensorSpec
from rapide.tuning import sample_rows
from rapide.tuning.inputs import Inputs, varying
from tests import models


def lengths(*values: int) -> Histogram:
    return Histogram.of(ROWS, np.array(values))


def test_as_long_and_as_often_the_same_as_they_were_recorded() -> None:
    known = InputRecord(200, 60, {"mask[1]": lengths(8, 16, 32), "ids[1]": lengths(8, 16, 32)})
    found = Inputs.of(known)
    assert found == Inputs(0.3, (("ids[1]", 16), ("mask[1]", 16)))
    assert found.words == "ids[1] of 16, mask[1] of 16, 30% of them repeated"
    assert Inputs.from_json(found.to_json()) == found
    assert Inputs.of(no_inputs()) == Inputs()
    assert Inputs().words == ""


def test_the_next_profile_of_the_same_traffic_asks_for_no_other_rows() -> None:
    one, next_one = (
        InputRecord(1000, repeats, {"ids[1]": lengths(longest // 2, longest, 2 * longest)})
        for repeats, longest in ((431, 31), (447, 33))
    )
    assert Inputs.of(one) == Inputs.of(next_one)


@pytest.mark.parametrize("length", [2, 7])
def test_rows_are_as_long_as_is_known(tmp_path: Path, length: int) -> None:
    models.repository(tmp_path, {"m": {1: models.identity(shape=("N", "L", 3))}})
    entry = open_repository(tmp_path).scan().models["m"].versions[1]
    model = load_model(entry, SessionOptions())
    (pool,) = sample_rows.pool_of(entry, model, Inputs(0.0, (("x[1]", length), ("gone[1]", 99))))
    assert pool.shape[1:] == (length, 3)
    assert model.run([pool[:4]])[0].shape == (4, length, 3)


def test_lengths_that_a_model_does_not_take_are_left_alone(tmp_path: Path) -> None:
    """As where a profile knows the sizes of one of two inputs that must be alike."""
    models.repository(tmp_path, {"m": {1: two_alike()}})
    entry = open_repository(tmp_path).scan().models["m"].versions[1]
    model = load_model(entry, SessionOptions())
    inputs = Inputs(0.0, (("a[1]", 7),))
    pools = sample_rows.pool_of(entry, model, inputs)
    assert len({pool.shape for pool in pools}) == 1
    assert not inputs.are_those_of(pools, model.signature)


def two_alike() -> onnx.ModelProto:
    ports = [models.port(name, onnx.TensorProto.FLOAT, ("N", "L")) for name in ("a", "b")]
    return models.build([helper.make_node("Add", ["a", "b"], ["y"])], ports, [models.port("y", 1, ("N", "L"))])


def test_a_row_that_is_too_short_begins_again() -> None:
    signature = Signature((TensorSpec("x", DataType.FP64, (DYNAMIC, DYNAMIC)),), (), batchable=True)
    (stretched,) = Inputs(0.0, (("x[1]", 5),)).stretched([np.array([[1.0, 2.0]])], signature)
    assert stretched.tolist() == [[1, 2, 1, 2, 1]]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_as_many_rows_come_again_shortly_after_as_were_recorded(share: float) -> None:
    (pool,) = Inputs(share).repeated([np.arange(4096)])
    again = [row in pool[max(0, place - 65) : place] for place, row in enumerate(pool)]
    assert np.mean(again) == pytest.approx(share, abs=0.03)
    assert pool.shape == (4096,)


def test_what_one_length_for_all_leaves_out_is_said() -> None:
    record = InputRecord(
        9, 0, {"ids[1]": lengths(4, 4, 4, 16, 16, 16, 60, 64, 64), "mask[1]": lengths(16, 16, 17)}
    )
    (told,) = varying(record)
    assert "ids[1] vary (10 % are below 4, 10 % above 64)" in told
    assert "about their median, 16" in told
