from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rapide.server.errors import Conflict, InvalidRequest, RepositoryError
from rapide.server.repository.digest import verify_version
from rapide.server.repository.local import open_repository
from rapide.server.repository.manifest import FileRecord, Manifest
from rapide.server.repository.publisher import publish
from tests.server.repository.examples import Clock, builder, model_bytes, published

MODEL = {"model.onnx": model_bytes()}


def tree(root: Path) -> list[str]:
    """Everything that anybody can see, hidden names left out."""
    found = (path.relative_to(root) for path in root.rglob("*"))
    return sorted(str(path) for path in found if not any(part.startswith(".") for part in path.parts))


def test_a_version_in_full(tmp_path: Path) -> None:
    source = tmp_path / "elsewhere.onnx"
    source.write_bytes(model_bytes())
    root = tmp_path / "new" / "models"
    files: dict[str, Path | bytes] = {
        "model.onnx": source,
        "weights/part.bin": b"w" * 3_000_000,
        "baseline.json": b"{}",
    }
    assert publish(root, "car-price", files, builder("car-price", description="d"), now=Clock()) == 1
    assert tree(root / "car-price") == [
        "1", "1/baseline.json", "1/manifest.json", "1/model.onnx", "1/weights", "1/weights/part.bin",
    ]  # fmt: skip
    snapshot = open_repository(root).scan()
    assert not snapshot.problems
    version = snapshot.models["car-price"].versions[1]
    verify_version(version)
    assert version.manifest is not None
    assert version.manifest.created == "2024-11-20T10:00:00Z"
    assert version.manifest.files.keys() == files.keys()
    assert version.digest == version.manifest.digest
    assert version.size_bytes == sum(path.stat().st_size for path in version.folder.rglob("*") if path.is_file())


def test_nobody_can_write_to_a_version(tmp_path: Path) -> None:
    publish(tmp_path, "car-price", {**MODEL, "weights/part.bin": b"w"}, builder("car-price"))
    for path in [tmp_path / "car-price" / "1", *(tmp_path / "car-price" / "1").rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o222, path


def test_numbers_count_up_and_never_come_back(tmp_path: Path) -> None:
    assert [published(tmp_path, "car-price", bytes([65 + n])) for n in range(3)] == [1, 2, 3]
    assert published(tmp_path, "other") == 1
    folder = tmp_path / "car-price" / "3"
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    assert published(tmp_path, "car-price") == 4
    assert published(tmp_path, "car-price", version=9) == 9
    assert published(tmp_path, "car-price") == 10


def test_an_existing_version_is_refused(tmp_path: Path) -> None:
    published(tmp_path, "car-price", b"first")
    before = (tmp_path / "car-price" / "1" / "model.onnx").read_bytes()
    with pytest.raises(Conflict, match="car-price/1 exists already: a published version never changes"):
        published(tmp_path, "car-price", b"second", version=1)
    assert (tmp_path / "car-price" / "1" / "model.onnx").read_bytes() == before


@pytest.mark.parametrize("stranger", ["folder", "file"])
def test_a_number_that_somebody_takes_meanwhile_is_not_overwritten(tmp_path: Path, stranger: str) -> None:
    """Past the lock: a version copied by hand between the choice of the number and the rename."""
    theirs = tmp_path / "car-price" / "1"

    def build(version: int, created: str, files: Mapping[str, FileRecord]) -> Manifest:
        if stranger == "folder":
            theirs.mkdir()
            (theirs / "model.onnx").write_bytes(b"theirs")
        else:
            theirs.write_bytes(b"theirs")
        return builder("car-price")(version, created, files)

    with pytest.raises(Conflict, match="car-price/1 exists already"):
        publish(tmp_path, "car-price", MODEL, build)
    assert (theirs / "model.onnx" if stranger == "folder" else theirs).read_bytes() == b"theirs"
    assert [path.name for path in (tmp_path / "car-price").glob(".staging-*")] == []


@pytest.mark.parametrize(
    ("name", "files", "complaint"),
    [
        ("../evil", MODEL, "cannot name a model"),
        ("m", {}, "a version needs a model.onnx"),
        ("m", {**MODEL, "../x": b""}, "cannot be the name of a version's file"),
        ("m", {**MODEL, "/etc/x": b""}, "cannot be the name of a version's file"),
        ("m", {**MODEL, ".hidden": b""}, "cannot be the name of a version's file"),
        ("m", {**MODEL, "a/.hidden": b""}, "cannot be the name of a version's file"),
        ("m", {**MODEL, "a/b/c/d/e/f": b""}, "cannot be the name of a version's file"),
        ("m", {**MODEL, "a\x1b[2J": b""}, "cannot be the name of a version's file"),
        ("m", {**MODEL, **{str(n): b"" for n in range(9_999)}}, "fewer than 10000 files, not 10000"),
        ("m", {**MODEL, "manifest.json": b""}, "cannot be the name of a version's file"),
    ],
)
def test_what_cannot_be_published(tmp_path: Path, name: str, files: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(InvalidRequest, match=complaint):
        publish(tmp_path / "models", name, files, builder(name))
    assert tree(tmp_path) == []


@pytest.mark.parametrize("number", [0, -1, 10**18])
def test_numbers_that_no_version_has(tmp_path: Path, number: int) -> None:
    with pytest.raises(InvalidRequest, match="is no positive integer"):
        published(tmp_path, "m", version=number)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": "other"}, "is of another version or other files"),
        ({"version": 7}, "is of another version or other files"),
        ({"files": {}}, "is of another version or other files"),
        ({"quality": {"r2": float("nan")}}, "could not be read back"),
        ({"created": "today"}, "could not be read back: 'created' must be a time"),
        ({"description": "\ud800"}, "could not be read back"),
    ],
)
def test_a_manifest_that_would_not_do(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    def build(version: int, created: str, files: Mapping[str, FileRecord]) -> Manifest:
        return replace(builder("m")(version, created, files), **change)

    with pytest.raises(InvalidRequest, match=complaint):
        publish(tmp_path, "m", MODEL, build)
    assert tree(tmp_path) == ["m"]
    assert published(tmp_path, "m") == 1


def test_an_error_of_the_builder_is_passed_on_and_nothing_appears(tmp_path: Path) -> None:
    def build(version: int, created: str, files: Mapping[str, FileRecord]) -> Manifest:
        raise ZeroDivisionError("quality below the hurdle")

    with pytest.raises(ZeroDivisionError, match="below the hurdle"):
        publish(tmp_path, "m", MODEL, build)
    assert tree(tmp_path) == ["m"]
    assert [path.name for path in (tmp_path / "m").iterdir()] == [".lock"]


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        RepositoryError, match=r"m could not be published into .*: No such file.*Nothing was changed"
    ):
        publish(tmp_path, "m", {"model.onnx": tmp_path / "absent.onnx"}, builder("m"))
    assert tree(tmp_path) == ["m"]


def test_a_full_disk(tmp_path: Path) -> None:
    """A limit on the length of files refuses the write, as a full disk does."""
    published(tmp_path, "m")
    script = f"""
        import resource, signal
        from pathlib import Path
        from rapide.server.errors import RepositoryError
        from rapide.server.repository.publisher import publish
        from tests.server.repository.examples import builder, model_bytes
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            files = {{"model.onnx": model_bytes(), "big": bytes(200_000)}}
            publish(Path({str(tmp_path)!r}), "m", files, builder("m"))
        except RepositoryError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "m could not be published" in run.stdout
    assert "Nothing was changed." in run.stdout
    assert tree(tmp_path / "m") == ["1", "1/golden.npz", "1/manifest.json", "1/model.onnx"]
    assert published(tmp_path, "m") == 2


def test_everything_is_durable_before_it_can_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file and folder of the version is fsynced before the rename, its new name afterwards."""
    synced: list[int] = []
    seen_at: list[int] = []
    fsync, rename = os.fsync, Path.rename

    def recording_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    def recording_rename(self: Path, target: Path) -> Path:
        seen_at.append(len(synced))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(Path, "rename", recording_rename)
    publish(tmp_path, "m", {**MODEL, "weights/part.bin": b"w"}, builder("m"))
    version = tmp_path / "m" / "1"
    before, after = set(synced[: seen_at[0]]), set(synced[seen_at[0] :])
    assert {path.stat().st_ino for path in [version, *version.rglob("*")]} <= before
    assert (tmp_path / "m").stat().st_ino in after


@pytest.mark.parametrize("process", [12345, os.getpid()], ids=["another", "ours"])
def test_what_a_dead_publisher_left_is_swept(tmp_path: Path, process: int) -> None:
    """Also of one that had our process id: in containers they come back."""
    left = tmp_path / "m" / f".staging-1-{process}"
    left.mkdir(parents=True)
    (left / "model.onnx").write_bytes(b"half")
    left.chmod(0o555)
    assert open_repository(tmp_path).scan().problems == ()
    assert published(tmp_path, "m") == 1
    assert not left.exists()


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_only_looks_left_behind_is_not_followed(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside" / "inner"
    outside.mkdir(parents=True)
    outside.chmod(0o755)
    trap = tmp_path / "models" / "m" / ".staging-x"
    trap.parent.mkdir(parents=True)
    if kind == "link":
        trap.symlink_to(outside.parent)
    else:
        trap.touch()
    assert published(tmp_path / "models", "m") == 1
    assert not trap.is_symlink()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755


def test_a_model_that_is_a_link_out_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m").symlink_to(tmp_path / "outside")
    with pytest.raises(RepositoryError, match="is a link that leads out of the repository"):
        published(tmp_path / "models", "m")
    assert tree(tmp_path / "outside") == []


def test_the_deepest_file_that_is_published_is_found_again(tmp_path: Path) -> None:
    publish(tmp_path, "m", {**MODEL, "a/b/c/d/e": b"w"}, builder("m"))
    assert open_repository(tmp_path).scan().problems == ()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\xff\xff", b"99999999999999999999999999999999999"])
def test_a_lock_file_with_anything_in_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / ".lock").write_bytes(content)
    assert published(tmp_path, "m") == 1


def test_concurrent_publishers_get_a_number_each(tmp_path: Path) -> None:
    publishers, turns = 4, 8
    script = f"""
        from pathlib import Path
        from tests.server.repository.examples import published
        for turn in range({turns}):
            published(Path({str(tmp_path)!r}), "m", bytes([65 + turn]))
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    children = [subprocess.Popen(command) for _ in range(publishers)]
    assert [child.wait(60) for child in children] == [0] * publishers
    snapshot = open_repository(tmp_path).scan()
    assert not snapshot.problems
    assert list(snapshot.models["m"].versions) == list(range(1, publishers * turns + 1))
    for version in snapshot.models["m"].versions.values():
        verify_version(version)
