"""Tuning files on disk: found by processor and digest, agreed on, and harmless where they are broken."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from rapide.server.errors import SettingsError
from rapide.server.machine import cpu_signature
from rapide.server.repository.plan import PlannedModel, PlannedVersion, ServingPlan
from rapide.server.tuning_file import ModelTuning, TuningFile
from rapide.server.tuning_folder import TuningFolder, default_folder, open_tuning

DIGESTS = {name: f"sha256:{letter * 64}" for name, letter in (("a", "a"), ("b", "b"))}


def plan_of(*names: str) -> ServingPlan:
    return ServingPlan(
        tuple(PlannedModel(name, (PlannedVersion(name, 1, f"/{name}", DIGESTS[name], "r"),), {}) for name in names)
    )


def write(root: Path, name: str, tuning: ModelTuning, workers: int = 2, **more: str) -> Path:
    digest = DIGESTS[name]
    path = root / "cpu" / f"{digest.removeprefix('sha256:')}.json"
    path.parent.mkdir(exist_ok=True)
    file = TuningFile("cpu", more.pop("digest", digest), name, workers, tuning, **more)  # type: ignore[arg-type]
    path.write_bytes(file.to_bytes())
    return path


def folder_of(root: Path, cores: int = 4) -> TuningFolder:
    return TuningFolder(root, "cpu", cores)


def test_each_version_gets_its_own(tmp_path: Path) -> None:
    write(tmp_path, "a", ModelTuning(max_batch_rows=8))
    plan = folder_of(tmp_path).apply(plan_of("a", "b"), workers=2)
    a, b = plan.versions
    assert ModelTuning.from_text(a.tuning) == ModelTuning(max_batch_rows=8)
    assert b.tuning == ""
    assert a.identity != plan_of("a").versions[0].identity, "another tuning must be loaded anew"
    assert ServingPlan.from_json(plan.to_json()) == plan


def test_the_banner_says_what_is_tuned_and_where_it_is_written(tmp_path: Path) -> None:
    path = write(tmp_path, "a", ModelTuning(sessions=2), onnxruntime="1.0.0")
    folder = folder_of(tmp_path)
    (line,) = folder.describe(folder.apply(plan_of("a", "b"), workers=2))
    assert line.startswith("a/1: sessions=2; tuned with onnxruntime 1.0.0, this is ")
    assert line.endswith(f"({path})")


@pytest.mark.parametrize(
    ("workers", "expected"), [({"a": 2}, None), ({"a": 2, "b": 2}, 2), ({"a": 2, "b": 1}, None), ({}, None)]
)
def test_workers_are_tuned_only_where_all_agree(
    tmp_path: Path, workers: dict[str, int], expected: int | None
) -> None:
    for name, count in workers.items():
        write(tmp_path, name, ModelTuning(), count)
    assert folder_of(tmp_path).workers(plan_of("a", "b")) == expected


def test_threads_are_cut_where_there_are_other_workers_than_tuned_for(tmp_path: Path) -> None:
    write(tmp_path, "a", ModelTuning(intra_op_threads=4), workers=1)
    folder = folder_of(tmp_path, cores=4)

    def threads(workers: int) -> int:
        (version,) = folder.apply(plan_of("a"), workers).versions
        return ModelTuning.from_text(version.tuning).intra_op_threads

    assert [threads(workers) for workers in (1, 2, 4, 8)] == [4, 2, 1, 1]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"kind": "rapide-tuning", "schema": 9}', b"\xff"])
def test_a_broken_file_is_told_once_and_the_defaults_serve(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a", ModelTuning()).write_bytes(content)
    folder = folder_of(tmp_path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert folder.apply(plan_of("a"), 2) == plan_of("a")
    (record,) = caplog.records
    assert "a/1 runs untuned" in record.getMessage()


@pytest.mark.parametrize(
    ("workers", "tuning"),
    [(5, ModelTuning()), (1, ModelTuning(intra_op_threads=1_000_000)), (1, ModelTuning(sessions=1_000_000))],
)
def test_a_file_that_asks_for_more_than_there_is_is_not_used(
    workers: int, tuning: ModelTuning, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "a", tuning, workers)
    folder = folder_of(tmp_path, cores=4)
    assert folder.workers(plan_of("a")) is None
    assert folder.tuned(plan_of("a")) == []
    assert "expected at most 4, as many as there are cores" in caplog.text


def test_a_file_for_other_bytes_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "a", ModelTuning(), digest="sha256:00")
    assert folder_of(tmp_path).apply(plan_of("a"), 2) == plan_of("a")
    assert "is for sha256:00" in caplog.text


def test_a_bare_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"graph")
    version = PlannedVersion("m", 1, str(model), None, "r")
    plan = ServingPlan((PlannedModel("m", (version,), {}),))
    folder = folder_of(tmp_path)
    assert folder.apply(plan, 1) == plan
    digest = f"sha256:{hashlib.sha256(b'graph').hexdigest()}"
    path = folder.path_of(digest)
    assert path is not None
    path.parent.mkdir()
    path.write_bytes(TuningFile("cpu", digest, "m", 1, ModelTuning(sessions=4)).to_bytes())
    (tuned,) = folder.apply(plan, 1).versions
    assert ModelTuning.from_text(tuned.tuning).sessions == 4


def test_the_setting_decides_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    name = f"{'a' * 64}.json"
    assert open_tuning("auto", 2).path_of(DIGESTS["a"]) == tmp_path / "rapide/tuning" / cpu_signature(2) / name
    assert open_tuning(str(tmp_path), 2).path_of(DIGESTS["a"]) == tmp_path / cpu_signature(2) / name
    assert open_tuning("off", 2).path_of(DIGESTS["a"]) is None
    assert default_folder({"HOME": "/home/u"}) == Path("/home/u/.local/state/rapide/tuning")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="which is not there"):
        open_tuning(str(tmp_path / "missing"), 2)
