"""The rows that a tuning asks servers with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rapide.loadtests.payloads import Input, recorded_payloads
from rapide.server.model import Model, SessionOptions, load_model
from rapide.server.repository.local import open_repository
from rapide.server.repository.snapshot import VersionEntry
from rapide.tuning import sample_rows
from rapide.tuning.errors import TuningError
from tests import models


def loaded(root: Path, name: str) -> tuple[VersionEntry, Model]:
    entry = open_repository(root).scan().models[name].versions[1]
    return entry, load_model(entry, SessionOptions())


def test_a_short_pool_of_wide_rows_is_enough_for_a_large_request(tmp_path: Path) -> None:
    """As of images: so many numbers in a row that the pool holds 64 rows, and a request has more."""
    models.repository(tmp_path, {"wide": {1: models.identity(shape=("N", 150_000))}})
    entry, model = loaded(tmp_path, "wide")
    pool = sample_rows.pool_of(entry, model)
    assert len(pool[0]) == 64
    sample_rows.save(pool, model.signature, tmp_path / "rows.npz", least_rows=100)
    payload = next(recorded_payloads("wide", "", [Input("x", "FP32", (-1, 150_000))], 100, tmp_path / "rows.npz"))
    assert payload.rows == 100
    assert np.array_equal(payload.arrays[0][64:], pool[0][:36])


def test_a_model_that_takes_no_known_row_is_told(tmp_path: Path) -> None:
    models.repository(tmp_path, {"m": {1: models.failing()}})
    with pytest.raises(TuningError, match=r"no row is known that m/1 takes\. Publish it with golden rows"):
        sample_rows.pool_of(*loaded(tmp_path, "m"))
