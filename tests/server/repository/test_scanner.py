"""What a scan makes of a folder: whole, bare, broken, hostile, changing."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rapide.server.repository.labels import parse_changes
from rapide.server.repository.local import open_repository
from rapide.server.repository.snapshot import RepositorySnapshot
from tests.server.repository.examples import bare_tree, model_bytes, problems, published, unlocked, versions

# What may be opened


def test_an_empty_repository(tmp_path: Path) -> None:
    assert open_repository(tmp_path).scan() == RepositorySnapshot({})


def test_a_repository_of_everything(tmp_path: Path) -> None:
    published(tmp_path, "car-price", b"one")
    published(tmp_path, "car-price", b"two")
    bare_tree(tmp_path, "plain", 3)
    (tmp_path / "bare.onnx").write_bytes(model_bytes())
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / ".git").mkdir()
    snapshot = open_repository(tmp_path).scan()
    assert problems(snapshot) == []
    assert versions(snapshot) == {"bare": [1], "car-price": [1, 2], "plain": [3]}
    assert list(snapshot.models) == sorted(snapshot.models)
    car_price, plain = snapshot.models["car-price"].versions[2], snapshot.models["plain"].versions[3]
    assert car_price.manifest is not None
    assert car_price.digest == car_price.identity == car_price.manifest.digest
    assert (plain.manifest, plain.digest, plain.identity) == (None, None, plain.revision)
    assert plain.model_path == tmp_path / "plain" / "3" / "model.onnx"


def test_a_bare_file_with_external_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_bytes())
    (tmp_path / "net.onnx.data").write_bytes(b"w" * 100)
    folder = open_repository(tmp_path)
    (before,) = folder.scan().models["net"].versions.values()
    assert (before.model, before.version, before.model_path) == ("net", 1, path)
    assert before.size_bytes == path.stat().st_size + 100
    (tmp_path / "net.onnx.data").write_bytes(b"w" * 99)
    folder.scan()
    assert folder.scan().models["net"].versions[1].revision != before.revision
    assert versions(open_repository(path).scan()) == {"net": [1]}


# What is wrong inside: one problem each, and the rest unharmed


def manifest_change(change: dict[str, Any]) -> Callable[[Path], object]:
    def write(version: Path) -> None:
        path = unlocked(version / "manifest.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    return write


def replaced(name: str, make: Callable[[Path], object]) -> Callable[[Path], object]:
    def write(version: Path) -> None:
        path = unlocked(version / name)
        path.unlink(missing_ok=True)
        make(path)

    return write


def manifest(make: Callable[[Path], object]) -> Callable[[Path], object]:
    return replaced("manifest.json", make)


def model(make: Callable[[Path], object]) -> Callable[[Path], object]:
    return replaced("model.onnx", make)


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


RECORD = {"sha256": "a" * 64, "bytes": 3}
UPWARDS = {"model.onnx": RECORD, "../../x": RECORD}
ABSOLUTE = {"model.onnx": RECORD, "/etc/passwd": RECORD}
SMALLER = {"model.onnx": {"sha256": "a" * 64, "bytes": 7}, "w.bin": RECORD}
BROKEN_VERSIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "garbage manifest": (manifest(lambda p: p.write_bytes(b"\xff{")), "manifest.json cannot be used"),
    "empty manifest": (manifest(Path.touch), "manifest.json cannot be used: it is not JSON"),
    "list as manifest": (manifest(lambda p: p.write_text("[]")), "expected a JSON object, found a list"),
    "deep manifest": (manifest(lambda p: p.write_text("[" * 99_999)), "nests too deeply"),
    "huge manifest": (manifest(huge), "manifest.json cannot be read: it is longer than"),
    "manifest folder": (manifest(Path.mkdir), "manifest.json is a folder, not a file"),
    "manifest pipe": (manifest(os.mkfifo), "manifest.json is no regular file"),
    "manifest link out": (manifest(lambda p: p.symlink_to("/etc/passwd")), "is a link that leads out of the"),
    "manifest link to itself": (manifest(lambda p: p.symlink_to(p.name)), "manifest.json is missing"),
    "dangling manifest": (manifest(lambda p: p.symlink_to("nothing")), "manifest.json is missing"),
    "later schema": (manifest_change({"schema": 2}), "upgrade it"),
    "wrong types": (manifest_change({"features": 3}), "'features' must be a list"),
    "wrong signature": (manifest_change({"signature": {"inputs": [[]]}}), "'signature'"),
    "other model": (manifest_change({"model": "bike-price"}), "was written for bike-price/1"),
    "other version": (manifest_change({"version": 2}), "was written for car-price/2"),
    "path upwards": (manifest_change({"files": UPWARDS}), "no plain path inside the version's folder"),
    "absolute path": (manifest_change({"files": ABSOLUTE}), "no plain path inside the version's folder"),
    "file not there": (manifest_change({"files": SMALLER}), r"w\.bin is missing"),
    "model missing": (lambda v: unlocked(v / "model.onnx").unlink(), r"model\.onnx is missing"),
    "model shorter": (lambda v: unlocked(v / "model.onnx").write_bytes(b"x"), "has 1 bytes, 7 were published"),
    "model link out": (model(lambda p: p.symlink_to("/etc/passwd")), r"model\.onnx is a link that leads out"),
    "model pipe": (model(os.mkfifo), r"model\.onnx is no regular file"),
    "model folder": (model(Path.mkdir), r"model\.onnx is a folder, not a file"),
}


@pytest.mark.parametrize("what", BROKEN_VERSIONS)
def test_a_broken_version_is_a_problem_and_the_others_serve(tmp_path: Path, what: str) -> None:
    published(tmp_path, "car-price", b"one")
    published(tmp_path, "car-price", b"two")
    published(tmp_path, "diabetes")
    damage, reason = BROKEN_VERSIONS[what]
    damage(tmp_path / "car-price" / "1")
    snapshot = open_repository(tmp_path).scan()
    assert versions(snapshot) == {"car-price": [2], "diabetes": [1]}
    (problem,) = snapshot.problems
    assert (problem.model, problem.version) == ("car-price", 1)
    assert re.search(reason, problem.reason), problem.reason


STRANGE_FOLDERS: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a name that no model has": (
        lambda root: bare_tree(root, "my model"),
        ["'my model': the folder's name cannot name a model"],
    ),
    "a name in a broken encoding": (
        lambda root: bare_tree(root, "caf\udce9"),
        ["'caf\\udce9': the folder's name cannot name a model"],
    ),
    "a bare file that no model is called": (
        lambda root: (root / "a\nb.onnx").write_bytes(model_bytes()),
        ["'a\\nb': the file's name cannot name a model"],
    ),
    "a file and a folder of one name": (
        lambda root: (root / "good.onnx").write_bytes(model_bytes()),
        ["good: the file good.onnx is hidden by the folder of the same name"],
    ),
    "a model without versions": (
        lambda root: bare_tree(root, "m/v1").rename(root / "m" / "model.onnx"),
        ["m: it has no version: expected <version>/model.onnx (such as 1/model.onnx), found model.onnx"],
    ),
    "a version with a leading zero": (
        lambda root: bare_tree(root, "m/007"),
        ["m: 007 is no version: expected 1, 2, 3, … without leading zeros"],
    ),
    "a version without a model": (
        lambda root: bare_tree(root, "m").rename(root / "m" / "1" / "net.onnx"),
        ["m/1: model.onnx is missing"],
    ),
    "a version that is a file": (
        lambda root: bare_tree(root, "m", 2).parent.with_name("1").write_text("x"),
        ["m/1: it is no folder"],
    ),
    "a model that is a link out": (
        lambda root: (root / "m").symlink_to("/etc"),
        ["m: it is a link that leads out of the repository"],
    ),
    "a version that is a link out": (
        lambda root: bare_tree(root, "m", 2).parent.with_name("1").symlink_to("/etc"),
        ["m/1: it is a link that leads out of the repository"],
    ),
    "a bare file that is a link out": (
        lambda root: (root / "m.onnx").symlink_to("/etc/passwd"),
        ["m.onnx: it is a link that leads out of the repository"],
    ),
    "an empty bare file": (lambda root: (root / "m.onnx").touch(), ["m/1: m.onnx: the file is empty"]),
    "a bare file that is no model": (
        lambda root: (root / "m.onnx").write_text("version https://git-lfs"),
        ["m/1: m.onnx: the file is no ONNX model"],
    ),
    "a folder that links to itself": (
        lambda root: bare_tree(root, "m").with_name("loop").symlink_to("."),
        [],
    ),
    "a link to a neighbour": (lambda root: (root / "alias").symlink_to("good"), []),
    "an empty folder": (lambda root: (root / "m").mkdir(), []),
    "a folder of hidden things": (lambda root: (root / "m" / ".staging-1-1").mkdir(parents=True), []),
}


@pytest.mark.parametrize("what", STRANGE_FOLDERS)
def test_strange_neighbours_are_named_and_harm_nobody(tmp_path: Path, what: str) -> None:
    bare_tree(tmp_path, "good")
    make, expected = STRANGE_FOLDERS[what]
    make(tmp_path)
    snapshot = open_repository(tmp_path).scan()
    assert problems(snapshot) == expected
    assert versions(snapshot)["good"] == [1]
    assert json.dumps(problems(snapshot), ensure_ascii=False).encode()


def appended(content: bytes) -> Callable[[Path], object]:
    return lambda log: log.write_bytes(log.read_bytes() + content)


def instead(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def write(log: Path) -> None:
        log.unlink()
        make(log)

    return write


def of_another_model(log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b'"model": "car-price"', b'"model": "m"'))


STRANGE_LOGS: dict[str, tuple[Callable[[Path], object], str, bool]] = {
    "torn": (appended(b'{"sch'), "line 2 is passed over: it was not written to its end", True),
    "garbled": (appended(b"\xff\n"), "line 2 is passed over: it is not ", True),
    "of another model": (of_another_model, "line 1 is passed over: it is about model 'm'", False),
    "a folder": (instead(Path.mkdir), "it is a folder, not a file", False),
    "a pipe": (instead(os.mkfifo), "it is no regular file", False),
    "a link out": (instead(lambda log: log.symlink_to("/etc/passwd")), "it is a link that leads out", False),
    "dangling": (instead(lambda log: log.symlink_to("nothing")), "it is missing", False),
}


@pytest.mark.parametrize("what", STRANGE_LOGS)
def test_a_damaged_log_is_a_problem(tmp_path: Path, what: str) -> None:
    published(tmp_path, "car-price", b"one")
    published(tmp_path, "car-price", b"two")
    open_repository(tmp_path).set_labels("car-price", parse_changes(["stable=1"]), "ann")
    damage, reason, is_labelled = STRANGE_LOGS[what]
    damage(tmp_path / "car-price" / "activations.jsonl")
    snapshot = open_repository(tmp_path).scan()
    assert versions(snapshot) == {"car-price": [1, 2]}
    assert ("stable" in snapshot.models["car-price"].labels) == is_labelled
    (problem,) = problems(snapshot)
    assert problem.startswith(f"car-price: activations.jsonl: {reason}")


def test_a_label_that_dangles(tmp_path: Path) -> None:
    published(tmp_path, "car-price", b"one")
    published(tmp_path, "car-price", b"two")
    repository = open_repository(tmp_path)
    repository.set_labels("car-price", parse_changes(["stable=1"]), "ann")
    shutil.rmtree(unlocked(tmp_path / "car-price" / "1"))
    snapshot = open_repository(tmp_path).scan()
    assert problems(snapshot) == [
        "car-price/1: label 'stable' means this version, which is not here or cannot be used"
    ]
    assert snapshot.models["car-price"].labels["stable"].version == 1


def test_a_label_whose_version_was_exchanged(tmp_path: Path) -> None:
    published(tmp_path, "car-price", b"one")
    open_repository(tmp_path).set_labels("car-price", parse_changes(["stable=1"]), "ann")
    shutil.rmtree(unlocked(tmp_path / "car-price" / "1"))
    published(tmp_path, "car-price", b"other", version=1)
    (problem,) = problems(open_repository(tmp_path).scan())
    assert problem.startswith("car-price/1: label 'stable' was given to sha256:")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    bare_tree(tmp_path, "good")
    bare_tree(tmp_path, "secret")
    (tmp_path / "secret").chmod(0)
    snapshot = open_repository(tmp_path).scan()
    (tmp_path / "secret").chmod(0o755)
    assert versions(snapshot) == {"good": [1]}
    assert problems(snapshot) == ["secret: the folder cannot be read: Permission denied"]


def test_files_without_number_are_a_problem_not_a_burden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rapide.server.repository.listing.MAX_FILES", 5)
    path = bare_tree(tmp_path)
    for number in range(6):
        path.with_name(f"part-{number}").touch()
    assert problems(open_repository(tmp_path).scan()) == ["plain/1: it holds more than 5 files"]


def test_a_link_inside_a_version_is_not_walked(tmp_path: Path) -> None:
    path = bare_tree(tmp_path)
    path.with_name("loop").symlink_to(".")
    (version,) = open_repository(tmp_path).scan().models["plain"].versions.values()
    assert version.size_bytes == path.stat().st_size
