"""The fingerprint that a watcher polls: it changes with everything that matters and with nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rapide.server.errors import Conflict
from rapide.server.repository.labels import parse_changes
from rapide.server.repository.local import LocalRepository, open_repository
from tests.server.repository.examples import bare_tree, model_bytes, published, unlocked, versions

CHANGES: dict[str, Callable[[Path], object]] = {
    "a publish": lambda root: published(root, "car-price"),
    "a first publish": lambda root: published(root, "new-model"),
    "a label": lambda root: LocalRepository(root).set_labels("car-price", parse_changes(["stable=1"]), "ann"),
    "a deleted version": lambda root: shutil.rmtree(unlocked(root / "car-price" / "1")),
    "a deleted model": lambda root: shutil.rmtree(root / "plain"),
    "a deleted bare file": lambda root: (root / "net.onnx").unlink(),
    "a bare file overwritten": lambda root: (root / "net.onnx").write_bytes(model_bytes(b"longer weights")),
    "a bare file exchanged by one of equal length and time": lambda root: exchange(root / "net.onnx"),
    "a file in a tree overwritten": lambda root: bare_tree(root, content=b"longer weights"),
    "external weights overwritten": lambda root: (root / "plain" / "1" / "w" / "part").write_bytes(b"ww"),
    "a published file overwritten": lambda root: unlocked(root / "car-price" / "1" / "model.onnx").write_bytes(
        b""
    ),
    "a link turned round": lambda root: turn_round(root / "alias"),
}


def turn_round(link: Path) -> None:
    link.unlink()
    link.symlink_to("car-price")


def exchange(path: Path) -> None:
    info = path.stat()
    other = path.with_suffix(".tmp")
    other.write_bytes(bytes(info.st_size))
    os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
    other.rename(path)


@pytest.fixture
def watched(tmp_path: Path) -> LocalRepository:
    published(tmp_path, "car-price")
    (bare_tree(tmp_path).parent / "w").mkdir()
    (tmp_path / "plain" / "1" / "w" / "part").write_bytes(b"w")
    (tmp_path / "net.onnx").write_bytes(model_bytes())
    (tmp_path / "alias").symlink_to("plain")
    repository = open_repository(tmp_path)
    repository.scan()
    return repository


@pytest.mark.parametrize("what", CHANGES)
def test_every_change_changes_the_fingerprint(watched: LocalRepository, what: str) -> None:
    before = watched.fingerprint()
    assert watched.fingerprint() == before
    CHANGES[what](watched.path)
    assert watched.fingerprint() != before


def refused_label(root: Path) -> None:
    with pytest.raises(Conflict):
        LocalRepository(root).set_labels("net", parse_changes(["stable=1"]), "ann")


QUIET: dict[str, Callable[[Path], object]] = {
    "a version being staged": lambda root: (root / "car-price" / ".staging-2-1").mkdir(),
    "a lock": lambda root: (root / "car-price" / ".lock").write_text("5"),
    "a reader": lambda root: (root / "net.onnx").read_bytes(),
    "a note beside the models": lambda root: (root / "NOTES.txt").write_text("hello"),
    "a refused label": lambda root: refused_label(root),
}  # fmt: skip


@pytest.mark.parametrize("what", QUIET)
def test_nothing_else_does(watched: LocalRepository, what: str) -> None:
    before = watched.fingerprint()
    QUIET[what](watched.path)
    assert watched.fingerprint() == before


def test_fingerprints_agree_between_processes_and_can_be_kept_in_a_set(watched: LocalRepository) -> None:
    assert open_repository(watched.path).fingerprint() == watched.fingerprint()
    assert len({watched.fingerprint(), watched.fingerprint()}) == 1


def test_a_watcher_that_scans_on_changed_fingerprints_alone_takes_everything(watched: LocalRepository) -> None:
    """The loop that a supervisor runs: bounded, since a file at rest must not keep it busy."""
    bare_tree(watched.path, "plain", 2)
    last, scans = None, 0
    for _ in range(8):
        now = watched.fingerprint()
        if now != last:
            snapshot, last, scans = watched.scan(), now, scans + 1
    assert versions(snapshot)["plain"] == [1, 2]
    assert scans <= 4
