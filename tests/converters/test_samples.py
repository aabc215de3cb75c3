from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rapide.converters.columns import Column
from rapide.converters.errors import ConversionError
from rapide.converters.feeds import make_feeds
from rapide.converters.samples import column_kind, notes_on_texts, numbers, read_sample, texts


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param([1.5, np.nan], "number", id="floats"),
        pytest.param(np.array([1.5], np.float32), "number", id="single floats"),
        pytest.param([1, 2], "integer", id="integers"),
        pytest.param(np.array([1], np.uint8), "integer", id="unsigned"),
        pytest.param([True, False], "boolean", id="booleans"),
        pytest.param(["a", None], "text", id="texts"),
        pytest.param(pd.Series(["a", None], dtype=object), "text", id="texts as objects"),
        pytest.param(pd.Series([None, None], dtype=object), "text", id="nothing at all"),
        pytest.param(pd.Categorical(["a", "b"]), "text", id="categories"),
        pytest.param(pd.Categorical([1, 2]), "integer", id="whole categories"),
        pytest.param(pd.array([1, 2], dtype="Int64"), "integer", id="nullable integers"),
        pytest.param(pd.array([1, None], dtype="Int64"), "number", id="integers with holes"),
        pytest.param(pd.array([True, None], dtype="boolean"), "number", id="booleans with holes"),
    ],
)
def test_kinds(values: Any, kind: str) -> None:
    assert column_kind(pd.Series(values, name="column")) == kind


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param([pd.Timestamp("2026-01-01")], "holds datetime64 values", id="dates"),
        pytest.param([["a"], ["b"]], "holds mixed values", id="lists"),
        pytest.param([True, None], "A boolean column with missing values", id="boolean objects"),
        pytest.param([1, "a"], "mixed-integer values .* Store it as texts", id="a mixture"),
    ],
)
def test_kinds_that_no_tensor_carries(values: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        column_kind(pd.Series(values, name="column"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_both_formats_hold_the_same(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"name": ["a", None], "size": [1.5, np.nan], "count": [1, 2]})
    path = tmp_path / f"rows{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    read = read_sample(path)
    assert [column_kind(read[name]) for name in read.columns] == ["text", "number", "integer"]
    assert texts(read["name"], "").tolist() == ["a", ""]
    np.testing.assert_array_equal(numbers(read["size"], np.dtype(np.float32)), np.array([1.5, np.nan], np.float32))


def test_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"a": [1], "b": [2]}).to_parquet(path)
    (tmp_path / "rows.csv").write_text("a,a\n1,2\n")
    assert read_sample(tmp_path / "rows.csv").columns.tolist() == ["a", "a.1"], "pandas tells them apart"


def test_holes_need_a_float() -> None:
    with pytest.raises(ConversionError, match="'size' has missing values, which int64 cannot hold"):
        numbers(pd.Series([1.0, np.nan], name="size"), np.dtype(np.int64))


def test_feeds_of_a_mixed_table() -> None:
    frame = pd.DataFrame(
        {"make": ["Ford", None], "year": [2000, 2001], "new": [True, False], "size": [0.1, np.nan]}
    )
    columns = [
        Column("make", "text"),
        Column("year", "integer"),
        Column("new", "boolean"),
        Column("size", "number"),
    ]
    feeds = make_feeds(frame, columns, "mixed")
    assert {name: (array.dtype, array.shape) for name, array in feeds.items()} == {
        "make": (np.dtype(object), (2, 1)),
        "year": (np.dtype(np.int64), (2, 1)),
        "new": (np.dtype(np.bool_), (2, 1)),
        "size": (np.dtype(np.float64), (2, 1)),
    }
    assert feeds["make"].ravel().tolist() == ["Ford", ""]
    assert make_feeds(frame, columns, "float32")["size"].dtype == np.float32


def test_feeds_of_a_packed_table() -> None:
    frame = pd.DataFrame({"a": [0.1, 0.2], "b": [1, 2]})
    columns = [Column("a", "number", 0), Column("b", "integer", 1)]
    feeds = make_feeds(frame, columns, "float32")
    np.testing.assert_array_equal(feeds["features"], np.array([[0.1, 1], [0.2, 2]], np.float32))
    assert feeds["features"].flags.c_contiguous


def test_what_is_missing_and_what_is_empty_are_one_to_a_graph() -> None:
    frame = pd.DataFrame({"both": ["", None, "a"], "missing": [None, "b", "c"], "empty": ["", "b", "c"]})
    (note,) = notes_on_texts(frame)
    assert "'both' holds both empty and missing texts" in note


@pytest.mark.parametrize("lines", ["1,2,\n3,4,\n", "7,1,2\n8,3,4\n"], ids=["a comma at the end", "no name"])
def test_lines_that_are_longer_than_the_first(tmp_path: Path, lines: str) -> None:
    """Every value would belong to another column than where it stands."""
    (tmp_path / "rows.csv").write_text(f"a,b\n{lines}")
    with pytest.raises(ConversionError, match="its lines have more values than the first line has names"):
        read_sample(tmp_path / "rows.csv")
