"""The k best classes: order, ties, NaN, labels, shapes and datatypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.codecs.classification import classify, requested_classes
from rapide.server.errors import InvalidRequest
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES


def array_of(values: Any, datatype: DataType = DataType.FP32) -> Any:
    return np.array(values, dtype=NUMPY_DTYPES[datatype])


def test_best_first_for_each_row() -> None:
    out = classify(array_of([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), DataType.FP32, 2, batched=True)
    assert out.tolist() == [[b"0.7:1", b"0.2:2"], [b"0.5:0", b"0.3:2"]]


def test_labels_follow_where_they_are_known() -> None:
    out = classify(array_of([[0.1, 0.7, 0.2]]), DataType.FP32, 3, batched=True, labels=("cat", "dog"))
    assert out.tolist() == [[b"0.7:1:dog", b"0.2:2", b"0.1:0:cat"]]


def test_equal_values_are_in_index_order_and_nan_is_last() -> None:
    out = classify(array_of([np.nan, 1, 2, 1]), DataType.FP32, 4, batched=False)
    assert out.tolist() == [b"2.0:2", b"1.0:1", b"1.0:3", b"nan:0"]


@pytest.mark.parametrize(
    ("shape", "batched", "wanted"),
    [
        ((2, 3), True, (2, 2)),
        ((2, 1), True, (2, 1)),
        ((2, 2, 2), True, (2, 2)),
        ((2,), True, (2, 1)),
        ((0, 3), True, (0, 2)),
        ((2, 0), True, (2, 0)),
        ((0, 0), True, (0, 0)),
        ((2, 3), False, (2,)),
        ((), False, (1,)),
        ((0,), False, (0,)),
    ],
)
def test_shapes(shape: tuple[int, ...], batched: bool, wanted: tuple[int, ...]) -> None:
    assert classify(np.zeros(shape, dtype=np.float32), DataType.FP32, 2, batched=batched).shape == wanted


@pytest.mark.parametrize(
    ("datatype", "values", "wanted"),
    [
        (DataType.FP64, [0.1, 0.2], [b"0.2:1", b"0.1:0"]),
        (DataType.FP16, [0.5, 0.25], [b"0.5:0", b"0.25:1"]),
        (DataType.BF16, [0.5, 2], [b"2.0:1", b"0.5:0"]),
        (DataType.BOOL, [False, True], [b"1:1", b"0:0"]),
        (DataType.INT8, [-128, 127], [b"127:1", b"-128:0"]),
        (DataType.UINT64, [0, 2**64 - 1], [b"18446744073709551615:1", b"0:0"]),
        (DataType.INT64, [-(2**63), 2**63 - 1], [b"9223372036854775807:1", b"-9223372036854775808:0"]),
    ],
)
def test_every_number_has_an_order(datatype: DataType, values: list[Any], wanted: list[bytes]) -> None:
    assert classify(array_of(values, datatype), datatype, 2, batched=False).tolist() == wanted


def test_bytes_have_none() -> None:
    with pytest.raises(InvalidRequest, match="output 'y' is BYTES; classification needs numbers"):
        classify(np.array([b"a"], dtype=object), DataType.BYTES, 1, batched=False, what="output 'y'")


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20), st.integers(1, 25))
def test_values_read_back_and_fall(values: list[float], most: int) -> None:
    out = classify(array_of(values), DataType.FP32, most, batched=False).tolist()
    read = [(np.float32(value), int(index)) for value, index in (entry.split(b":") for entry in out)]
    assert len(read) == min(most, len(values))
    assert all(np.float32(values[index]) == value for value, index in read)
    assert read == sorted(read, key=lambda entry: (-entry[0], entry[1]))


def test_the_parameter_is_a_count() -> None:
    assert requested_classes({}, "output 'y'") is None
    assert requested_classes({"classification": 3}, "output 'y'") == 3


@pytest.mark.parametrize(
    ("given_value", "text"), [(0, "0"), (-1, "-1"), (True, "true"), (1.5, "1.5"), ("2", "the text '2'")]
)
def test_other_parameters_are_refused(given_value: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        requested_classes({"classification": given_value}, "output 'y'")
    assert error.value.message == f"output 'y': classification must be a whole number of at least 1, got {text}"
