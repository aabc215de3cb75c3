"""From a published version to a new one, with real training, quantisers and the real runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.ensemble import RandomForestClassifier

from rapide.converters.errors import ConversionError
from rapide.converters.limits import Limits
from rapide.converters.optimise.optimise import Optimised, optimise
from rapide.converters.optimise.options import OptimiseOptions
from rapide.converters.sandbox import Sandbox, SandboxMaker
from rapide.server.errors import NotFound
from rapide.server.model import SessionOptions, load_model
from rapide.server.repository.manifest import Manifest
from rapide.server.trials import is_proven
from tests import models
from tests.converters.in_process import InProcess, trial_in_process
from tests.converters.material import converted
from tests.versions import entry_of, publish_version


def run(folder: Path, *, sandbox: SandboxMaker | None = None, name: str = "subject", **options: Any) -> Optimised:
    chosen = OptimiseOptions(folder / "models", name, **{"sizes": {1: 1.0, 16: 1.0}, **options})
    return optimise(chosen, lambda kind, text: None, sandbox=sandbox or InProcess(), trial=trial_in_process)


def verdicts(optimised: Optimised) -> dict[str, str]:
    return {each.name: each.verdict.reason for each in optimised.tried if each.verdict}


def test_a_kept_variant_is_served_by_name(repository: Path, digits: tuple[Any, Any]) -> None:
    done = run(repository, rows=repository / "rows.parquet", only=("int8",), keep=("int8",))
    assert done.version is not None
    assert done.manifest is not None
    entry = entry_of(repository / "models", "subject", done.version)
    manifest = entry.manifest
    assert manifest is not None
    assert manifest.parent == 1
    assert {variant.name for variant in manifest.variants} == {"int8", "original"}
    assert manifest.lineage["optimised"]["from"]["version"] == 1
    x = digits[0].to_numpy(np.float32)[1::2]
    answers = {name: load_model(entry, SessionOptions(), name).run([x])[0] for name in ("int8", "original")}
    assert np.mean(answers["int8"] == answers["original"]) > 0.99
    graph = onnx.load_model(entry.folder / _variant(manifest, "int8").file)
    assert "MatMulInteger" in {node.op_type for node in graph.graph.node}


def _variant(manifest: Manifest, name: str) -> Any:
    return next(variant for variant in manifest.variants if variant.name == name)


def test_what_was_measured_is_in_the_manifest(repository: Path) -> None:
    done = run(repository, rows=repository / "rows.parquet", only=("int8",), keep=("int8",))
    assert done.manifest is not None
    int8, original = (_variant(done.manifest, name) for name in ("int8", "original"))
    assert int8.bytes < original.bytes / 2
    assert int8.latency_us.keys() == original.latency_us.keys() == {1, 16}
    assert min(*int8.latency_us.values(), int8.load_ms, original.load_ms) > 0
    assert int8.quality["accuracy"] > 0.9
    assert int8.tolerance["absolute"] > 0
    assert not original.tolerance
    assert done.manifest.quality["measured_on"] == "the rows given to rapide optimise (rows.parquet)"


def test_a_version_that_was_optimised_is_no_starting_point(repository: Path) -> None:
    done = run(repository, rows=repository / "rows.parquet", only=("int8",), keep=("int8",))
    assert done.parent.version == 1  # the newest that was not optimised itself
    with pytest.raises(ConversionError, match="was made by rapide optimise from version 1"):
        run(repository, version=done.version)


def test_too_great_a_loss_publishes_nothing(repository: Path) -> None:
    limits = {"metric": 0.0, "flips": 0.0, "probability": 0.0, "spread": 0.0, "cosine": 0.0}
    done = run(repository, only=("int8",), keep=("int8",), max_loss=limits)
    assert done.version is None
    assert "too far from the original: probabilities loses" in verdicts(done)["int8"]
    assert "only the version's" in done.notes[-1]


def test_trees_are_told_that_int8_is_not_for_them(tmp_path: Path, digits: tuple[Any, Any]) -> None:
    features, target = digits
    converted(tmp_path, RandomForestClassifier(5, max_depth=4, random_state=0), features[:200], target[:200])
    done = run(tmp_path, only=("int8",))
    assert done.version is None
    assert verdicts(done)["int8"].startswith("the runtime has no int8 kernel for trees")


def test_the_same_in_real_child_processes(repository: Path) -> None:
    steps: list[str] = []
    chosen = OptimiseOptions(
        repository / "models", "subject", rows=repository / "rows.parquet", only=("int8",), keep=("int8",)
    )
    done = optimise(chosen, lambda kind, text: steps.append(text), sandbox=Sandbox)
    assert done.version is not None
    assert {"reading the rows", "trying original", "trying int8", "publishing"} <= set(steps)
    assert done.tried[0].trial["memory_bytes"] > 100_000
    entry = entry_of(repository / "models", "subject", done.version)
    assert {is_proven(entry, name) for name in ("", "int8", "original")} == {True}


def test_a_child_that_is_out_of_memory_ends_it(repository: Path) -> None:
    with pytest.raises(ConversionError, match=r"needed more than 0\.\d+ GiB of memory"):
        run(repository, sandbox=Sandbox, limits=Limits(memory_bytes=150 * 2**20))


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"name": "nobody"}, NotFound, "there is no model 'nobody'"),
        ({"version": 77}, NotFound, "subject has no version 77"),
        ({"only": ("int7",)}, ConversionError, "there is no recipe 'int7'"),
        ({"rows": Path("absent.parquet")}, ConversionError, r"the sample absent.parquet cannot be read"),
    ],
)
def test_what_cannot_be_started(
    repository: Path, options: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        run(repository, **options)


def test_a_bare_file_has_nothing_to_be_held_to(tmp_path: Path) -> None:
    models.repository(tmp_path / "models", {"subject": {1: models.linear()}})
    with pytest.raises(ConversionError, match="subject/1 has no manifest"):
        run(tmp_path)


def test_a_version_without_golden_rows_needs_rows(tmp_path: Path) -> None:
    publish_version(tmp_path / "models", "subject", models.linear())
    with pytest.raises(ConversionError, match="has no golden rows to compare variants on"):
        run(tmp_path)
    np.savez(tmp_path / "rows.npz", x=np.eye(4, dtype=np.float32))
    assert run(tmp_path, rows=tmp_path / "rows.npz", only=("clean",)).version is None
