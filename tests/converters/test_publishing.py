"""What a published version holds, and that the server takes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rapide.converters.convert import Published
from rapide.converters.row_kinds import by_set
from rapide.server.repository.local import LocalRepository
from rapide.server.repository.manifest import read_manifest
from tests.converters.material import converted, floats, two_classes


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    frame = floats()
    return converted(
        tmp_path_factory.mktemp("published"),
        make_pipeline(StandardScaler(), LogisticRegression()),
        frame,
        two_classes(frame),
        classes=("no", "yes"),
        description="A test.",
        label="stable",
        data_origin="generated",
    )


def test_the_manifest_is_read_back(published: Published) -> None:
    assert read_manifest(published.folder) == published.manifest
    manifest = published.manifest
    assert set(manifest.files) == {"model.onnx", "golden.npz", "baseline.json"}
    assert manifest.description == "A test."
    assert manifest.lineage["estimator"] == "sklearn.Pipeline"
    assert manifest.lineage["data_origin"] == "generated"
    assert {"python", "scikit-learn", "skl2onnx", "onnxruntime", "rapide"} <= set(manifest.lineage["versions"])
    assert manifest.quality["target"] == "target"
    assert manifest.quality["rows"] == 120


def test_parity_is_recorded_without_anybodys_row(published: Published) -> None:
    parity = published.manifest.parity
    assert parity["tolerance"]["relative"] == 1e-4
    assert parity["checks"] == by_set(published.chosen.examination["table"])
    assert "where" not in json.dumps(parity)


def test_the_label_means_it(published: Published) -> None:
    labels = LocalRepository(published.folder.parents[1]).labels("subject")
    assert labels["stable"].version == 1
    assert labels["stable"].digest == published.manifest.digest


def test_golden_rows_hold_the_originals_answers(published: Published) -> None:
    with np.load(published.folder / "golden.npz", allow_pickle=False) as golden:
        assert set(golden.files) == {"input:features", "output:label", "output:probabilities"}
        assert golden["input:features"].dtype == np.float32
        assert len(golden["input:features"]) == len(golden["output:label"]) == 16 + 1 + 3, (
            "real rows, a generated one, and one of each column's extremes"
        )
        assert golden["output:probabilities"].dtype == np.float32


def test_the_baseline_names_features_and_predictions(published: Published) -> None:
    baseline = json.loads((published.folder / "baseline.json").read_text())
    assert set(baseline["features"]) == {"width", "height", "depth"}
    assert set(baseline["predictions"]) == {"target", "probability.no", "probability.yes"}
    assert {name for name, _ in baseline["predictions"]["target"]["top"]} == {"no", "yes"}


def test_the_next_version_follows(tmp_path: Path) -> None:
    frame = floats()
    versions = [converted(tmp_path, Ridge(), frame, frame["width"], parent=parent).version for parent in (None, 1)]
    assert versions == [1, 2]
    second = read_manifest(tmp_path / "models" / "subject" / "2")
    assert second is not None
    assert second.parent == 1


def test_the_same_model_has_the_same_digest(tmp_path: Path) -> None:
    frame = floats()
    first, second = (converted(tmp_path, Ridge(), frame, frame["width"]) for _ in range(2))
    assert first.manifest.digest == second.manifest.digest
