"""Constant models: the walking skeleton in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rapide.converters.convert import Published, convert
from rapide.converters.errors import ConversionError
from rapide.converters.options import ConvertOptions
from rapide.server.signature import DataType
from tests.converters.in_process import InProcess
from tests.converters.material import cars
from tests.converters.test_estimators import answers


def published(folder: Path, constant: str, sample: Any = None, **options: Any) -> Published:
    path = None
    if sample is not None:
        path = folder / "rows.parquet"
        sample.to_parquet(path)
    chosen = ConvertOptions(Path(), path, folder / "models", "skeleton", constant=constant, **options)
    return convert(chosen, lambda kind, text: None, sandbox=InProcess())


def test_a_number_needs_nothing_else(tmp_path: Path) -> None:
    found = published(tmp_path, "0.5")
    assert [(each.name, each.kind, each.required) for each in found.manifest.features] == [("x", "number", False)]
    assert found.manifest.lineage["source_file"]["name"] == "model.constant"
    rows = np.zeros((3, 1), np.float32)
    assert answers(found, {"features": rows})["prediction"].tolist() == [[0.5]] * 3


def test_it_takes_what_the_real_model_will_take(tmp_path: Path) -> None:
    found = published(
        tmp_path, "diesel", cars().dropna(), classes=("petrol", "diesel"), target="fuel", baseline="none"
    )
    names = [feature.name for feature in found.manifest.features]
    assert names == ["make", "year", "automatic", "mileage"]
    assert found.manifest.signature.inputs[0].datatype is DataType.BYTES
    predictions = [each.name for each in found.manifest.predictions]
    assert predictions == ["fuel", "probability.diesel", "probability.petrol"]


@pytest.mark.parametrize(
    ("constant", "classes", "message"),
    [("much", (), "'much' is no number.*--classes"), ("maybe", ("no", "yes"), "none of the classes no, yes")],
)
def test_what_is_no_constant(tmp_path: Path, constant: str, classes: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        published(tmp_path, constant, classes=classes)
