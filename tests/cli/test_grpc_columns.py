"""JSON's values as predict.proto's columns, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from rapide.cli.grpc_columns import to_message, to_rows
from rapide.cli.rows import Given
from rapide.proto import predict_pb2 as pb
from rapide.server.errors import InvalidRequest


@pytest.mark.parametrize(
    ("values", "field", "sent", "missing"),
    [
        (["a", "b"], "strings", ["a", "b"], []),
        (["a", None], "strings", ["a", ""], [1]),
        ([True, None], "booleans", [True, False], [1]),
        ([1, 2], "integers", [1, 2], []),
        ([1, 2.5, None], "floats", [1.0, 2.5, 0.0], [2]),
        ([None], "floats", [0.0], [0]),
        ([[1, 2], [3, 4]], "integers", [1, 2, 3, 4], []),
    ],
)
def test_columns(values: list[Any], field: str, sent: list[Any], missing: list[int]) -> None:
    column = to_message(Given(columns={"x": values}))["x"]

    assert column.WhichOneof("kind") == field
    assert list(getattr(column, field).values) == sent
    assert list(column.missing) == missing
    assert column.values_per_row == (2 if isinstance(values[0], list) else 0)


def test_rows_become_columns_with_gaps() -> None:
    columns = to_message(Given(rows=[{"make": "Ford"}, {"year": 2014}]))

    assert (list(columns["make"].strings.values), list(columns["make"].missing)) == (["Ford", ""], [1])
    assert (list(columns["year"].integers.values), list(columns["year"].missing)) == ([0, 2014], [0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Given(rows=[[1, 2]]), "every value needs its feature's name"),
        (Given(columns={"x": [1, "a"]}), "x mixes values of several kinds"),
        (Given(columns={"x": [True, 1]}), "x mixes values of several kinds"),
        (Given(columns={"x": [[1, 2], [3]]}), "x: all its lists must have the same length"),
    ],
)
def test_values_that_columns_cannot_hold(given: Given, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        to_message(given)


def test_an_answer_as_rows() -> None:
    response = pb.PredictResponse(
        columns={
            "price": pb.Column(floats=pb.Floats(values=[1.5, 2.5]), missing=[1]),
            "embedding": pb.Column(integers=pb.Integers(values=[1, 2, 3, 4]), values_per_row=2),
        }
    )

    rows = to_rows(response)

    assert [row["price"] for row in rows] == [1.5, None]
    assert [row["embedding"] for row in rows] == [[1, 2], [3, 4]]


def answered(values: list[float]) -> list[float]:
    rows = to_rows(pb.PredictResponse(columns={"x": pb.Column(floats=pb.Floats(values=values))}))
    return [row["x"] for row in rows]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([8328.2216796875], [8328.222]),
        ([0.10000000149011612, -0.5, 1.401298464324817e-45, float("inf")], [0.1, -0.5, 1e-45, float("inf")]),
        pytest.param([8328.2216796875, 0.1], [8328.2216796875, 0.1], id="0.1 is FP64: so is its column"),
        pytest.param([123456792.0], [123456792.0], id="whole numbers stay exact"),
        pytest.param([1e300], [1e300], id="beyond FP32"),
    ],
)
def test_numbers_of_single_precision_have_their_own_digits(values: list[float], shown: list[float]) -> None:
    assert answered(values) == shown


@for_all(st.floats(width=32, allow_nan=False).filter(lambda value: not value.is_integer()))
def test_shortened_numbers_are_the_same_number_in_single_precision(value: float) -> None:
    [shown] = answered([value])
    assert np.float32(shown) == np.float32(value)
    assert shown == float(f"{shown:.9g}"), "nine digits are enough"


def test_not_a_number_hides_no_other() -> None:
    assert answered([float("nan"), 8328.2216796875])[1] == 8328.222
