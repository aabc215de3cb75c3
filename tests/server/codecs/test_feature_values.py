"""One feature into one datatype: kinds, stand-ins, packed columns, dynamic widths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.server.codecs.feature_values import InputPlan, feature_array
from rapide.server.errors import InvalidRequest
from rapide.server.repository.manifest import Feature, Kind
from rapide.server.signature import DataType, TensorSpec
from rapide.server.tensors import NUMPY_DTYPES


def feature(kind: Kind, *, required: bool = True, missing: Any = None) -> Feature:
    return Feature("f", "x", None, kind, required=required, missing=missing)


def read(kind: Kind, datatype: DataType, *values: Any, **options: Any) -> list[Any]:
    array = feature_array(feature(kind, **options), {"f": list(values)}, len(values), datatype)
    assert array.dtype == NUMPY_DTYPES[datatype]
    return array.tolist()


@pytest.mark.parametrize("datatype", [d for d in DataType if d.is_float])
def test_numbers_integers_and_booleans_enter_floats(datatype: DataType) -> None:
    assert read("number", datatype, 1, 2.5) == [1, 2.5]
    assert read("integer", datatype, 1, 2.0) == [1, 2]
    assert read("boolean", datatype, True, False) == [1, 0]


@pytest.mark.parametrize("datatype", [DataType.INT8, DataType.UINT64])
def test_whole_numbers_and_booleans_enter_integers(datatype: DataType) -> None:
    assert read("number", datatype, 1, 2.0) == [1, 2]
    assert read("integer", datatype, 1, 2.0) == [1, 2]
    assert read("boolean", datatype, True, False) == [1, 0]
    with pytest.raises(InvalidRequest, match=r"f: expected a whole number, got 2\.5 in row 1"):
        read("number", datatype, 1, 2.5)


@pytest.mark.parametrize(
    ("kind", "datatype", "missing", "wanted"),
    [
        ("number", DataType.FP32, None, math.nan),
        ("number", DataType.FP32, math.nan, math.nan),
        ("number", DataType.FP32, -999.0, -999),
        ("integer", DataType.FP32, math.nan, math.nan),
        ("integer", DataType.INT64, -1.0, -1),
        ("boolean", DataType.FP32, None, math.nan),
        ("boolean", DataType.BOOL, 1.0, True),
        ("boolean", DataType.INT8, -1.0, -1),
        ("text", DataType.BYTES, None, b""),
        ("text", DataType.BYTES, "none", b"none"),
    ],
)
def test_stand_ins(kind: Kind, datatype: DataType, missing: Any, wanted: Any) -> None:
    InputPlan.made(TensorSpec("x", datatype, (-1,)), [feature(kind, required=False, missing=missing)])
    found = read(kind, datatype, None, required=False, missing=missing)
    np.testing.assert_equal(found, [wanted])


@given(st.lists(st.none() | st.floats(allow_infinity=False), max_size=20))
def test_missing_is_missing_wherever_it_stands(values: list[float | None]) -> None:
    found = read("number", DataType.FP64, *values, required=False, missing=-7.0)
    assert found == [-7.0 if value is None or math.isnan(value) else value for value in values]


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, -1), (1,), (5, 1)])
def test_a_features_own_tensor_has_the_models_rank(shape: tuple[int, ...]) -> None:
    plan = InputPlan.made(TensorSpec("x", DataType.FP32, shape), [feature("number")])
    assert plan.tensor({"f": [1, 2, 3]}, 3).array.shape == ((3,) if len(shape) == 1 else (3, 1))


@pytest.mark.parametrize("width", [2, -1])
def test_packed_columns_stand_where_the_manifest_puts_them(width: int) -> None:
    features = [Feature("b", "x", 1, "number", True), Feature("a", "x", 0, "number", True)]
    plan = InputPlan.made(TensorSpec("x", DataType.FP32, (-1, width)), features)
    array = plan.tensor({"a": [1, 2], "b": [3, 4]}, 2).array
    assert array.tolist() == [[1, 3], [2, 4]]
    assert array.flags.c_contiguous


def test_texts_may_be_packed_too() -> None:
    features = [Feature(name, "x", column, "text", True) for column, name in enumerate("ab")]
    plan = InputPlan.made(TensorSpec("x", DataType.BYTES, (-1, 2)), features)
    assert plan.tensor({"a": ["p", "q"], "b": ["r", "s"]}, 2).array.tolist() == [[b"p", b"r"], [b"q", b"s"]]
