"""Calls by feature name: rows and columns, missing values, precise refusals; when tensors are meant instead."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rapide.server.codecs.columns import Form, PredictCall
from rapide.server.codecs.named import predict_codec
from rapide.server.codecs.tensor_columns import TensorCodec
from rapide.server.errors import BrokenVersion, InvalidRequest
from rapide.server.repository.manifest import Feature, Prediction
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import InferRequest, bind
from tests.server.codecs.car_price import FEATURES, PREDICTIONS, SIGNATURE, response, row, without

CODEC = predict_codec(SIGNATURE, FEATURES, PREDICTIONS)


def rows(*given: Any) -> InferRequest:
    return CODEC.request(PredictCall(Form.ROWS, list(given)))[0]


def columns(**given: Any) -> InferRequest:
    return CODEC.request(PredictCall(Form.COLUMNS, given))[0]


def arrays(request: InferRequest) -> dict[str, Any]:
    bind(request, SIGNATURE)  # whatever a codec makes fits the model
    return {tensor.name: tensor.array.tolist() for tensor in request.inputs}


TWO_ROWS = {
    "make": [[b"Ford"], [b"Opel"]],
    "numbers": [[1500.5, 2, 2015], [10, 1, 1999]],
    "doors": [[5], [3]],
    "automatic": [True, False],
}
SECOND = {"make": "Opel", "mileage": 10, "year": 1999, "owners": 1, "doors": 3, "automatic": False}


def test_rows_fill_the_tensors() -> None:
    assert arrays(rows(row(), SECOND)) == TWO_ROWS


def test_columns_fill_the_tensors() -> None:
    first, second = row(), SECOND
    assert arrays(columns(**{name: [first[name], second[name]] for name in first})) == TWO_ROWS


def test_one_row_may_be_given_as_plain_values() -> None:
    assert arrays(columns(**row())) == arrays(rows(row()))


def test_no_rows_at_all() -> None:
    empty = {"make": [], "numbers": [], "doors": [], "automatic": []}
    assert arrays(rows()) == empty
    assert arrays(columns(**{name: [] for name in row()})) == empty


def test_an_unseen_category_is_the_models_business() -> None:
    assert arrays(rows(row(make="Trabant")))["make"] == [[b"Trabant"]]


@pytest.mark.parametrize("value", [None, math.nan])
def test_missing_values_become_what_the_model_was_trained_with(value: Any) -> None:
    found = arrays(rows(row(make=None, owners=value, doors=value)))
    assert found["make"] == [[b"unknown"]]
    assert math.isnan(found["numbers"][0][1])
    assert found["doors"] == [[-1]]


def test_a_feature_that_may_be_missing_may_be_left_out() -> None:
    needed = {"mileage": 1, "year": 2, "automatic": True}
    found = arrays(rows(needed, row()))
    assert found["make"] == [[b"unknown"], [b"Ford"]]
    assert found["doors"] == [[-1], [5]]
    assert arrays(columns(**needed))["make"] == [[b"unknown"]]


def test_whole_numbers_may_be_written_as_floats() -> None:
    found = arrays(rows(row(doors=4.0, year=2015.0)))
    assert found["doors"] == [[4]]
    assert found["numbers"][0][2] == 2015


REFUSED: dict[str, tuple[list[Any] | dict[str, Any], str]] = {
    "typo": ([row(milage=1)], "there is no feature 'milage'; did you mean 'mileage'?"),
    "unknown": (
        [row(colour=1)],
        "there is no feature 'colour'; the model takes 'make', 'mileage', 'year', 'owners', 'doors', 'automatic'",
    ),
    "unknowns": ([row(milage=1), row(yaer=1)], "there are no features 'milage', 'yaer'; did you mean 'mileage'?"),
    "missing-feature": ([without("mileage")], "missing the required feature 'mileage'"),
    "missing-features": ([{"make": "Ford"}], "missing the required features 'mileage', 'year', 'automatic'"),
    "missing-column": ({"make": ["Ford"]}, "missing the required features 'mileage', 'year', 'automatic'"),
    "no-columns": ({}, "missing the required features 'mileage', 'year', 'automatic'"),
    "missing-in-row": ([row(), without("mileage")], "mileage is required; row 1 has none"),
    "null": ([row(), row(mileage=None)], "mileage is required; row 1 has none"),
    "nan": ([row(mileage=math.nan)], "mileage is required; row 0 has none"),
    "text-for-number": (
        [row(), row(), row(), row(mileage="abc")],
        "mileage: expected a number, got the text 'abc' in row 3",
    ),
    "true-for-number": ([row(mileage=True)], "mileage: expected a number, got true in row 0"),
    "list-for-number": ([row(mileage=[1])], "mileage: expected a number, got a list in row 0"),
    "number-for-text": ([row(make=5)], "make: expected a text, got 5 in row 0"),
    "fraction": ([row(doors=2.5)], "doors: expected a whole number, got 2.5 in row 0"),
    "fraction-in-float": ([row(), row(year=2.5)], "year: expected a whole number, got 2.5 in row 1"),
    "infinite-doors": ([row(doors=math.inf)], "doors: expected a whole number, got inf in row 0"),
    "number-for-boolean": ([row(automatic=1)], "automatic: expected true or false, got 1 in row 0"),
    "too-large": ([row(mileage=1e39)], "mileage: expected a number between ±3.403e38, got 1e+39 in row 0"),
    "too-large-integer": (
        [row(doors=2**63)],
        f"doors: expected a whole number from {-(2**63)} to {2**63 - 1}, got {2**63} in row 0",
    ),
    "surrogate": (
        [row(make="\ud800")],
        "make: expected a text of Unicode characters, got the text '\\ud800' in row 0",
    ),
    "row-list": ([row(), [1, 2]], "row 1 must be an object of named features, got a list"),
    "row-number": ([row(), 5], "row 1 must be an object of named features, got 5"),
    "lengths": (
        {name: [value] for name, value in row().items()} | {"mileage": [1, 2]},
        "mileage has 2 rows but make has 1; all features must have the same number",
    ),
    "value-among-lists": (
        {name: [value] for name, value in row().items()} | {"mileage": 5},
        "mileage: expected a list with a value for each row, got 5",
    ),
    "bare-rows": (
        [[1, 2]],
        "instances has no names, but the model has 4 inputs: 'make', 'numbers', 'doors', 'automatic'; "
        "name them in an object for each row",
    ),
}


@pytest.mark.parametrize(("given", "text"), REFUSED.values(), ids=REFUSED)
def test_refusals_speak_of_features_rows_and_values(given: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        CODEC.request(PredictCall(Form.ROWS if isinstance(given, list) else Form.COLUMNS, given))
    assert error.value.message == text


def test_rows_must_be_a_list() -> None:
    with pytest.raises(InvalidRequest, match="instances must be a list with one entry for each row, got 5"):
        CODEC.request(PredictCall(Form.ROWS, 5))


# ---- answers -------------------------------------------------------------------------------------------------


def test_answers_are_named_predictions() -> None:
    _, read = CODEC.request(PredictCall(Form.ROWS, [row(), row()]))
    answer = read(response())
    assert answer.named
    assert {name: (column.kind, column.values.tolist()) for name, column in answer.columns.items()} == {
        "price": ("number", np.float32([100.1, 101.1]).tolist()),
        "deal": ("text", ["good", "poor"]),
        "probability.good": ("number", np.float32([0.75, 0.1]).tolist()),
        "remark": ("text", ["row 0", "row 1"]),
    }


def test_without_predictions_the_outputs_go_by_their_own_names() -> None:
    _, read = predict_codec(SIGNATURE, FEATURES).request(PredictCall(Form.ROWS, [row()]))
    answer = read(response())
    assert answer.named
    assert list(answer.columns) == ["price", "label", "probabilities", "remark"]


# ---- tensors, although there are features ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (Form.COLUMNS, {"make": [["a"]], "numbers": [[1, 2, 3]], "doors": [[4]], "automatic": [True]}),
        (Form.ROWS, [{"make": ["a"], "numbers": [1, 2, 3], "doors": [4], "automatic": True}]),
    ],
)
def test_the_inputs_names_mean_tensors(form: Form, value: Any) -> None:
    request, read = CODEC.request(PredictCall(form, value))
    assert arrays(request) == {"make": [[b"a"]], "numbers": [[1, 2, 3]], "doors": [[4]], "automatic": [True]}
    assert not read(response()).named


def test_lists_as_values_mean_tensors_even_where_every_name_is_a_features_too() -> None:
    signature = Signature((TensorSpec("x", DataType.FP32, (-1, 1)),), SIGNATURE.outputs, batchable=True)
    codec = predict_codec(signature, [Feature("x", "x", None, "number", required=True)])
    for form, value, named in [
        (Form.ROWS, [{"x": [1]}], False),
        (Form.ROWS, [{"x": 1}], True),
        (Form.COLUMNS, {"x": [[1]]}, False),
        (Form.COLUMNS, {"x": [1]}, True),
        (Form.ROWS, [[1]], False),
    ]:
        request, read = codec.request(PredictCall(form, value))
        assert request.inputs[0].array.tolist() == [[1]]
        assert read(response(1)).named is named


# ---- manifests that contradict themselves ----------------------------------------------------------------------


def test_a_model_without_features_is_read_by_its_tensors() -> None:
    assert predict_codec(SIGNATURE) == TensorCodec(SIGNATURE)


def changed(name: str, **changes: Any) -> list[Feature]:
    return [replace(feature, **changes) if feature.name == name else feature for feature in FEATURES]


@pytest.mark.parametrize(
    ("features", "text"),
    [
        (changed("make", input="nowhere"), "the manifest puts feature 'make' into an input that is not there"),
        (changed("make", kind="number"), "the manifest's feature 'make' is a number, but its input is BYTES"),
        (changed("doors", kind="text"), "the manifest's feature 'doors' is a text, but its input is INT64"),
        (
            changed("automatic", kind="number"),
            "the manifest's feature 'automatic' is a number, but its input is BOOL",
        ),
        (
            changed("doors", missing=None),
            "the manifest's feature 'doors' may be missing, but records nothing that an input of INT64 could hold",
        ),
        (
            changed("doors", missing=math.nan),
            "the manifest's feature 'doors' may be missing, but records nothing that an input of INT64 could hold",
        ),
        (
            changed("owners", column=0),
            "the manifest's features do not fill input 'numbers' of shape [-1, 3]: they name its columns [0,",
        ),
        (
            changed("owners", column=None),
            "the manifest's features do not fill input 'numbers' of shape [-1, 3]: they name its columns [-1",
        ),
        (
            FEATURES[1:],
            "the manifest's features do not fill input 'make' of shape [-1, 1]: they name its columns []",
        ),
    ],
)
def test_features_that_cannot_fill_the_inputs_break_the_version(features: list[Feature], text: str) -> None:
    with pytest.raises(BrokenVersion) as error:
        predict_codec(SIGNATURE, features, PREDICTIONS)
    assert error.value.message.startswith(text)


def test_predictions_from_nowhere_break_the_version() -> None:
    with pytest.raises(BrokenVersion, match="the manifest reads 'p' from an output that is not there"):
        predict_codec(SIGNATURE, FEATURES, [Prediction("p", "nowhere", None, "number")])
