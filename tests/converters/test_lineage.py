from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rapide.converters.lineage import git_commit, lineage, who
from rapide.converters.options import ConvertOptions

FACTS = {"description": {"estimator": "sklearn.Ridge"}, "sample": {"rows": 3, "columns": 2}}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("pass\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_the_commit_and_whether_files_differ_from_it(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "untracked").write_text("")
    assert git_commit(repository) == {"commit": commit, "changed": False}
    (repository / "train.py").write_text("print()\n")
    assert git_commit(repository) == {"commit": commit, "changed": True}


def test_no_commit_outside_of_a_work_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) is None, "nor without git"


def test_files_are_known_by_digest(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    (repository / "model.joblib").write_bytes(b"abc")
    (repository / "rows.csv").write_bytes(b"")
    options = ConvertOptions(
        repository / "model.joblib", repository / "rows.csv", repository, "x", data_origin="a survey"
    )
    made = lineage(options, FACTS, {"python": "3"})
    assert made["source_file"] == {
        "name": "model.joblib",
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "bytes": 3,
    }
    assert made["sample"]["rows"] == 3
    assert made["git"]["commit"] == git(repository, "rev-parse", "HEAD")
    assert (made["estimator"], made["data_origin"], made["converted_by"]) == ("sklearn.Ridge", "a survey", who())
    assert made["versions"] == {"python": "3"}
