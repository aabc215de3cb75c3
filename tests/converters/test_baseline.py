from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from rapide.converters.baseline import BINS, TOP_CATEGORIES, baseline
from rapide.converters.columns import Column
from rapide.converters.sources.contract import Output
from rapide.server.repository.manifest import Prediction


def of(values: object, kind: str) -> dict:
    frame = pd.DataFrame({"column": values})
    return baseline(frame, [Column("column", kind)], {}, [])["features"]["column"]


def test_numbers_are_counted_between_their_quantiles() -> None:
    statistics = of(np.arange(100.0), "number")
    assert statistics["edges"] == pytest.approx([9.9, 19.8, 29.7, 39.6, 49.5, 59.4, 69.3, 79.2, 89.1])
    assert statistics["counts"] == [10] * BINS
    assert {name: statistics[name] for name in ("count", "missing", "min", "max", "mean")} == {
        "count": 100,
        "missing": 0,
        "min": 0.0,
        "max": 99.0,
        "mean": 49.5,
    }


def test_missing_and_infinite_numbers_are_counted_apart() -> None:
    statistics = of([1.0, np.nan, np.inf, 3.0], "number")
    assert (statistics["count"], statistics["missing"], statistics["max"]) == (4, 2, 3.0)
    assert sum(statistics["counts"]) == 2


def test_numbers_near_the_end_of_all_are_no_infinities() -> None:
    statistics = of([-1.7e308, 1.7e308, 1.6e308], "number")
    assert json.loads(json.dumps(statistics, allow_nan=False))["std"] == np.finfo(np.float64).max


@pytest.mark.parametrize("values", [[np.nan, np.nan], [5.0, 5.0, 5.0], [0.0, 0.0, 0.0, 1.0]])
def test_few_different_numbers(values: list[float]) -> None:
    statistics = of(values, "number")
    if "edges" in statistics:
        assert sorted(set(statistics["edges"])) == statistics["edges"], "edges ascend strictly"
        assert len(statistics["counts"]) == len(statistics["edges"]) + 1
        assert sum(statistics["counts"]) == len(values)
    json.dumps(statistics, allow_nan=False)


def test_texts_by_frequency_then_name() -> None:
    statistics = of(["b", "a", "b", None, "c"], "text")
    assert statistics == {
        "kind": "text",
        "count": 5,
        "missing": 1,
        "distinct": 3,
        "top": [["b", 2], ["a", 1], ["c", 1]],
        "other": 0,
    }


def test_rare_texts_are_summed_up() -> None:
    statistics = of([f"name {index:03}" for index in range(TOP_CATEGORIES + 5)], "text")
    assert (len(statistics["top"]), statistics["distinct"], statistics["other"]) == (20, 25, 5)


def test_answers_by_the_names_of_the_manifest() -> None:
    outputs = [
        Output("label", True, (Prediction("diagnosis", "label", None, "text", ("bad", "good")),)),
        Output("probabilities", False, (Prediction("probability.good", "probabilities", 1, "number"),)),
    ]
    answers = {"label": np.array([0, 1, 1]), "probabilities": np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])}
    predictions = baseline(pd.DataFrame({"a": [1.0]}), [], answers, outputs)["predictions"]
    assert predictions["diagnosis"]["top"] == [["good", 2], ["bad", 1]]
    assert predictions["probability.good"]["max"] == 0.8
