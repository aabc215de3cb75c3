"""Outputs to predictions: columns, classes, kinds and shapes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from rapide.server.codecs.predictions import prediction_column
from rapide.server.errors import Internal
from rapide.server.repository.manifest import Kind, Prediction
from rapide.server.signature import DataType
from rapide.server.tensors import OutputTensor


def column(array: Any, datatype: DataType = DataType.FP32, kind: Kind = "number", **more: Any) -> Any:
    prediction = Prediction("p", "y", more.pop("column", None), kind, **more)
    return prediction_column(prediction, {"y": OutputTensor("y", datatype, array)})


@pytest.mark.parametrize(
    ("array", "index", "wanted"),
    [
        (np.float32([1, 2]), None, [1, 2]),
        (np.float32([[1], [2]]), None, [1, 2]),
        (np.float32([[1, 3], [2, 4]]), 1, [3, 4]),
        (np.float32([[1, 3], [2, 4]]), None, [[1, 3], [2, 4]]),
        (np.float32(5), None, [5]),
        (np.zeros((0, 1), dtype=np.float32), None, []),
        (np.zeros((0, 3), dtype=np.float32), 2, []),
    ],
)
def test_each_row_has_its_value(array: Any, index: int | None, wanted: list[Any]) -> None:
    assert column(array, column=index).values.tolist() == wanted


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.int64([1, 0, 2, -1]), DataType.INT64),
        (np.int64([[1], [0], [2], [-1]]), DataType.INT64),
        (np.float32([1, 0, 2, -1]), DataType.FP32),
        (np.array([1, 0, 2, -1], dtype=ml_dtypes.bfloat16), DataType.BF16),
    ],
)
def test_labels_are_shown_as_class_names(array: Any, datatype: DataType) -> None:
    found = column(array, datatype, "integer", classes=("no", "yes"))
    assert (found.kind, found.values.tolist()) == ("text", ["yes", "no", "2", "-1"])


def test_a_label_that_is_no_number_has_no_name() -> None:
    found = column(np.float32([np.nan, 1, 2.5, 12345678]), kind="integer", classes=("no", "yes"))
    assert found.values.tolist() == ["nan", "yes", "2.5", "12345678"]


def test_text_labels_are_names_already() -> None:
    array = np.array([b"yes", b"\xff"], dtype=object)
    assert column(array, DataType.BYTES, "text", classes=("no", "yes")).values.tolist() == ["yes", b"\xff"]
    assert column(array, DataType.BYTES, "text").values.tolist() == ["yes", b"\xff"]


@pytest.mark.parametrize(
    ("array", "kind", "wanted"),
    [
        (np.float32([1, 2]), "integer", [1, 2]),
        (np.int64([0, 1]), "boolean", [False, True]),
        (np.array([False, True]), "boolean", [False, True]),
        (np.int32([1, 2]), "integer", [1, 2]),
        (np.uint8([1, 2]), "integer", [1, 2]),
        (np.float32([1.5, 2]), "integer", [1.5, 2.0]),
    ],
)
def test_kinds(array: Any, kind: Kind, wanted: list[Any]) -> None:
    found = column(array, kind=kind).values.tolist()
    assert found == wanted
    assert list(map(type, found)) == list(map(type, wanted))


def test_what_is_not_finite_stays_as_it_is() -> None:
    np.testing.assert_equal(column(np.float32([np.nan, 1]), kind="integer").values.tolist(), [np.nan, 1.0])


def test_a_model_that_answers_otherwise_is_our_fault() -> None:
    with pytest.raises(Internal, match="no column 2 for 'p'"):
        column(np.float32([[1, 2]]), column=2)
    with pytest.raises(Internal, match="no output for the prediction 'p'"):
        prediction_column(Prediction("p", "y", None, "number"), {})
