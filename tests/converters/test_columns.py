from __future__ import annotations

import math

import pytest

from rapide.converters.columns import Column
from rapide.server.signature import DataType


@pytest.mark.parametrize(
    ("column", "precision", "datatype"),
    [
        (Column("a", "number"), "float32", DataType.FP32),
        (Column("a", "number"), "mixed", DataType.FP64),
        (Column("a", "number"), "float64", DataType.FP64),
        (Column("a", "integer"), "float32", DataType.INT64),
        (Column("a", "boolean"), "float64", DataType.BOOL),
        (Column("a", "text"), "float32", DataType.BYTES),
        (Column("a", "integer", packed_at=2), "float32", DataType.FP32),
        (Column("a", "boolean", packed_at=2), "mixed", DataType.FP64),
    ],
)
def test_datatypes(column: Column, precision: str, datatype: DataType) -> None:
    assert column.datatype(precision) is datatype


def test_what_the_manifest_says() -> None:
    number = Column("size", "number", packed_at=3, takes_missing=True).feature()
    assert (number.input, number.column, number.required) == ("features", 3, False)
    assert math.isnan(number.missing)
    text = Column("make", "text", takes_missing=True, categories=("a",)).feature()
    assert (text.input, text.column, text.missing, text.categories) == ("make", None, "", ("a",))
    assert Column("year", "integer").feature().missing is None


@pytest.mark.parametrize("column", [Column("a", "number", 1, True), Column("b", "text", None, False, ("x", "y"))])
def test_json_and_back(column: Column) -> None:
    assert Column.from_json(column.to_json()) == column
