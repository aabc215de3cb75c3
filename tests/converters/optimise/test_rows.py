"""The rows that variants are judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rapide.converters.errors import ConversionError
from rapide.converters.optimise.rows import gather
from rapide.server.repository.manifest import Feature, Manifest
from rapide.server.signature import DataType, Signature, TensorSpec
from tests.server.repository.test_manifest import RECORD

SIGNATURE = Signature(
    (TensorSpec("make", DataType.BYTES, (-1, 1)), TensorSpec("numbers", DataType.FP32, (-1, 2))),
    (TensorSpec("price", DataType.FP32, (-1, 1)),),
    True,
)
MANIFEST = Manifest(
    "car-price",
    1,
    "2026-11-20T10:00:00Z",
    {"model.onnx": RECORD},
    SIGNATURE,
    (
        Feature("mileage", "numbers", 1, "number", False, missing=-1.0),
        Feature("make", "make", None, "text", False, missing="none"),
        Feature("year", "numbers", 0, "integer", True),
    ),
)
TABLE = pd.DataFrame(
    {
        "make": ["Ford", None, "VW", "Škoda"] * 3,
        "mileage": [1.0, np.nan, 3.0, 4.0] * 3,
        "year": range(2000, 2012),
        "price": np.arange(12.0),
    }
)


def gathered(folder: Path, rows: Any, target: str = "price") -> Any:
    path = folder / "rows.parquet"
    rows.to_parquet(path)
    return gather(MANIFEST, folder, path, target)


def test_columns_become_inputs_as_the_features_say(tmp_path: Path) -> None:
    rows = gathered(tmp_path, TABLE)
    assert rows.held_out["make"][:3].tolist() == [["Ford"], ["none"], ["VW"]]
    assert rows.held_out["numbers"][:3].tolist() == [[2000, 1], [2001, -1], [2002, 3]]
    assert rows.held_out["numbers"].dtype == np.float32
    assert rows.truth.tolist()[:3] == [0, 1, 2]


def test_calibration_rows_are_never_judged(tmp_path: Path) -> None:
    rows = gathered(tmp_path, TABLE)
    years = [part["numbers"][:, 0].tolist() for part in (rows.held_out, rows.calibration)]
    assert years[1] == [2003, 2007, 2011]
    assert not set(years[0]) & set(years[1])
    assert len(rows.truth) == rows.count == 9


def test_an_optional_column_may_be_absent(tmp_path: Path) -> None:
    rows = gathered(tmp_path, TABLE.drop(columns=["make", "mileage", "price"]))
    assert rows.held_out["make"][0].tolist() == ["none"] or rows.held_out["make"][0].tolist() == [""]
    assert rows.held_out["numbers"][0].tolist() == [2000, -1]
    assert rows.truth is None


def test_a_required_column_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"rows.parquet have no column 'year', which the model needs"):
        gathered(tmp_path, TABLE.drop(columns=["year"]))


def test_no_rows_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="car-price/1 has no golden rows to compare variants on"):
        gather(MANIFEST, tmp_path, None, "")


ARRAYS = {"make": np.array([["Ford"], ["VW"]]), "numbers": np.ones((2, 2))}


@pytest.mark.parametrize("prefix", ["", "input:"])
def test_input_tensors(tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, **{prefix + name: array for name, array in ARRAYS.items()}, target=np.array([1.0, 2.0]))  # type: ignore[arg-type]
    rows = gather(MANIFEST, tmp_path, path, "")
    assert rows.held_out["make"].tolist() == [["Ford"], ["VW"]]
    assert rows.held_out["numbers"].dtype == np.float32
    assert rows.truth is not None
    assert rows.calibration["make"].tolist() == rows.held_out["make"].tolist()  # too few to divide


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"make": ARRAYS["make"]}, "have no array 'numbers'"),
        ({**ARRAYS, "numbers": np.ones((2, 3))}, r"has shape \[2, 3\]; the model takes \[-1, 2\]"),
        ({**ARRAYS, "numbers": np.array([["a", "b"]] * 2)}, "'numbers' of the rows rows.npz is object"),
        ({**ARRAYS, "numbers": np.ones((3, 2))}, r"have \[2, 3\] rows"),
        ({"make": ARRAYS["make"][:0], "numbers": np.ones((0, 2))}, r"have \[0\] rows"),
        ({**ARRAYS, "target": np.ones(5)}, "have 5 true answers for another number of rows"),
    ],
)
def test_input_tensors_that_do_not_fit(tmp_path: Path, arrays: dict[str, Any], complaint: str) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, **arrays)
    with pytest.raises(ConversionError, match=complaint):
        gather(MANIFEST, tmp_path, path, "")


def test_a_pickle_in_arrays_clothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    np.savez(path, make=np.array([{}], object), allow_pickle=True)
    with pytest.raises(ConversionError, match=r"rows.npz cannot be read"):
        gather(MANIFEST, tmp_path, path, "")
