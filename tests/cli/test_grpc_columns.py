"""JSON's values as predict.proto's columns, and back."""

from __future__ import annotations

from typing import Any

import pytest

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
