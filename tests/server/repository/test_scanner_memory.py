"""What one scan remembers for the next: what was good stays, what changes must come to rest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rapide.server.errors import RepositoryError
from rapide.server.repository.labels import parse_changes
from rapide.server.repository.listing import ModelListing, list_repository
from rapide.server.repository.local import open_repository
from rapide.server.repository.scanner import Scanner
from rapide.server.repository.snapshot import RepositorySnapshot
from tests.server.repository.examples import bare_tree, model_bytes, problems, published, unlocked, versions
from tests.server.repository.test_scanner import BROKEN_VERSIONS

# What was good stays until its folder is gone


@pytest.mark.parametrize("what", BROKEN_VERSIONS)
def test_damage_in_place_is_reported_and_takes_nothing_away(tmp_path: Path, what: str) -> None:
    published(tmp_path, "car-price")
    repository = open_repository(tmp_path)
    before = repository.scan()
    damage, _ = BROKEN_VERSIONS[what]
    damage(tmp_path / "car-price" / "1")
    for _ in range(3):
        after = repository.scan()
        assert after.models == before.models
        assert [(problem.model, problem.version) for problem in after.problems] == [("car-price", 1)]


def test_a_manifest_that_is_deleted_does_not_make_the_version_anonymous(tmp_path: Path) -> None:
    published(tmp_path, "car-price")
    repository = open_repository(tmp_path)
    before = repository.scan()
    unlocked(tmp_path / "car-price" / "1" / "manifest.json").unlink()
    after = repository.scan()
    assert after.models == before.models
    assert problems(after) == ["car-price/1: manifest.json is missing"]


def test_repaired_damage_is_forgotten(tmp_path: Path) -> None:
    published(tmp_path, "car-price")
    repository = open_repository(tmp_path)
    repository.scan()
    path = unlocked(tmp_path / "car-price" / "1" / "manifest.json")
    content = path.read_bytes()
    path.write_bytes(b"{")
    assert repository.scan().problems
    path.write_bytes(content)
    after = repository.scan()
    assert after.problems == ()
    assert after.models["car-price"].versions[1].digest is not None


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda log: log.write_bytes(b""), lambda log: log.write_bytes(b"\n" * 500)]
)
def test_labels_survive_a_log_that_lost_its_lines(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    published(tmp_path, "car-price", b"one")
    published(tmp_path, "car-price", b"two")
    repository = open_repository(tmp_path)
    repository.set_labels("car-price", parse_changes(["stable=1"]), "ann")
    before = repository.scan()
    damage(tmp_path / "car-price" / "activations.jsonl")
    for _ in range(3):
        after = repository.scan()
        assert after.models == before.models
        assert problems(after) == [
            "car-price: activations.jsonl: its last lines are gone; labels stay as they were"
        ]
    repository.set_labels("car-price", parse_changes(["stable=2"]), "ann")
    repaired = repository.scan()
    assert repaired.problems == ()
    assert repaired.models["car-price"].labels["stable"].version == 2


def test_a_folder_that_cannot_be_listed_keeps_what_was_in_it(tmp_path: Path) -> None:
    """As when a network file system answers EIO for a while: it is the listing that fails."""
    published(tmp_path, "car-price", b"one")
    published(tmp_path, "car-price", b"two")
    (tmp_path / "net.onnx").write_bytes(model_bytes())
    open_repository(tmp_path).set_labels("car-price", parse_changes(["stable=1"]), "ann")
    scanner, good = Scanner(), list_repository(tmp_path)
    before = scanner.read(good)
    ill = tuple(
        ModelListing(name, str(tmp_path / name), None, (), fault="EIO") for name in ("car-price", "net", "new")
    )
    for _ in range(2):
        after = scanner.read(good._replace(models=ill, bare=()))
        assert after.models == before.models
        assert problems(after) == ["car-price: EIO", "net: EIO", "new: EIO"]
    assert scanner.read(good) == before


def test_what_is_deleted_is_gone(tmp_path: Path) -> None:
    published(tmp_path, "car-price", b"one")
    published(tmp_path, "car-price", b"two")
    bare_tree(tmp_path, "plain")
    (tmp_path / "bare.onnx").write_bytes(model_bytes())
    repository = open_repository(tmp_path)
    repository.scan()
    shutil.rmtree(unlocked(tmp_path / "car-price" / "1"))
    shutil.rmtree(tmp_path / "plain")
    (tmp_path / "bare.onnx").unlink()
    after = repository.scan()
    assert versions(after) == {"car-price": [2]}
    assert problems(after) == []


def test_a_vanished_repository_says_so_and_comes_back(tmp_path: Path) -> None:
    root = tmp_path / "models"
    bare_tree(root)
    repository = open_repository(root)
    before = repository.scan()
    root.rename(tmp_path / "elsewhere")
    for ask in (repository.scan, repository.fingerprint):
        with pytest.raises(RepositoryError, match="models has vanished"):
            ask()
    root.write_text("a file now")
    with pytest.raises(RepositoryError, match="neither a folder of models nor"):
        repository.scan()
    root.unlink()
    (tmp_path / "elsewhere").rename(root)
    assert repository.scan() == before


def test_an_empty_folder_in_the_place_of_the_repository_is_taken_for_an_unmounted_volume(tmp_path: Path) -> None:
    root = tmp_path / "models"
    bare_tree(root)
    repository = open_repository(root)
    repository.scan()
    root.rename(tmp_path / "volume")
    root.mkdir()
    for ask in (repository.scan, repository.fingerprint):
        with pytest.raises(RepositoryError, match="is it unmounted"):
            ask()


def test_the_last_model_may_be_deleted(tmp_path: Path) -> None:
    bare_tree(tmp_path)
    repository = open_repository(tmp_path)
    repository.scan()
    shutil.rmtree(tmp_path / "plain")
    assert repository.scan() == RepositorySnapshot({})


# What changes


def test_a_new_bare_version_is_taken_when_two_scans_found_it_unchanged(tmp_path: Path) -> None:
    bare_tree(tmp_path, "plain", 1)
    repository = open_repository(tmp_path)
    repository.scan()
    path = bare_tree(tmp_path, "plain", 2)
    content = path.read_bytes()
    path.write_bytes(content[:4])
    for length in (5, 6, len(content)):
        snapshot = repository.scan()
        assert versions(snapshot) == {"plain": [1]}
        assert [(problem.version, problem.transient) for problem in snapshot.problems] == [(2, True)]
        path.write_bytes(content[:length])
    assert versions(repository.scan()) == {"plain": [1]}
    settled = repository.scan()
    assert versions(settled) == {"plain": [1, 2]}
    assert settled.problems == ()


def test_a_copy_that_stalls_is_not_taken_for_whole(tmp_path: Path) -> None:
    bare_tree(tmp_path, "plain", 1)
    repository = open_repository(tmp_path)
    repository.scan()
    path = bare_tree(tmp_path, "plain", 2)
    path.write_bytes(path.read_bytes()[:6])
    repository.scan()
    for _ in range(2):
        snapshot = repository.scan()
        assert versions(snapshot) == {"plain": [1]}
        assert problems(snapshot) == ["plain/2: model.onnx: the file ends in the middle of the model"]


def test_a_half_copied_file_at_the_first_scan_is_not_taken(tmp_path: Path) -> None:
    path = bare_tree(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:6])
    repository = open_repository(tmp_path)
    assert problems(repository.scan()) == ["plain/1: model.onnx: the file ends in the middle of the model"]
    path.write_bytes(content)
    assert versions(repository.scan()) == {}
    assert versions(repository.scan()) == {"plain": [1]}


def test_a_bare_file_overwritten_in_place_keeps_its_old_entry_until_the_new_one_is_at_rest(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_bytes(b"old"))
    repository = open_repository(tmp_path)
    old = repository.scan().models["net"].versions[1]
    path.write_bytes(model_bytes(b"newer")[:3])
    assert repository.scan().models["net"].versions[1] == old
    path.write_bytes(model_bytes(b"newer"))
    assert repository.scan().models["net"].versions[1] == old
    new = repository.scan().models["net"].versions[1]
    assert new.identity != old.identity


def test_a_published_version_needs_no_second_look(tmp_path: Path) -> None:
    published(tmp_path, "car-price")
    repository = open_repository(tmp_path)
    repository.scan()
    published(tmp_path, "car-price")
    assert versions(repository.scan()) == {"car-price": [1, 2]}


def test_labelling_does_not_hurry_what_comes_to_rest(tmp_path: Path) -> None:
    bare_tree(tmp_path, "plain", 1)
    repository = open_repository(tmp_path)
    repository.scan()
    bare_tree(tmp_path, "plain", 2)
    repository.labels("plain")
    assert versions(repository.scan()) == {"plain": [1]}


def test_unchanged_versions_are_not_read_again(tmp_path: Path) -> None:
    """The second of two scans gives the same objects: nothing was opened or parsed."""
    for number in range(20):
        published(tmp_path, f"model-{number}")
    repository = open_repository(tmp_path)
    first, second = repository.scan(), repository.scan()
    for name, model in first.models.items():
        assert second.models[name].versions[1] is model.versions[1]


def test_scanning_digests_nothing(tmp_path: Path) -> None:
    """64 GB of holes: read to its end it would outlast the test's time limit many times over."""
    published(tmp_path, "car-price")
    version = tmp_path / "car-price" / "1"
    os.truncate(unlocked(version / "model.onnx"), 1 << 36)
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["files"]["model.onnx"]["bytes"] = 1 << 36
    unlocked(version / "manifest.json").write_text(json.dumps(manifest))
    snapshot = open_repository(tmp_path).scan()
    assert snapshot.problems == ()
    assert snapshot.models["car-price"].versions[1].size_bytes > 1 << 36
