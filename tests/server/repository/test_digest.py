from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from rapide.server.errors import BrokenVersion
from rapide.server.repository.digest import digest_file, file_digest_text, verify_version
from rapide.server.repository.local import open_repository
from rapide.server.repository.snapshot import VersionEntry
from tests.server.repository.examples import bare_tree, published


@pytest.fixture
def version(tmp_path: Path) -> VersionEntry:
    published(tmp_path, "car-price")
    return open_repository(tmp_path).scan().models["car-price"].versions[1]


def test_a_digest_is_plain_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc" * 100_000)
    expected = hashlib.sha256(b"abc" * 100_000).hexdigest()
    assert digest_file(path).sha256 == expected
    assert digest_file(path).bytes == 300_000
    assert file_digest_text(path) == f"sha256:{expected}"


def test_what_was_published_passes(version: VersionEntry) -> None:
    verify_version(version)


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_one_flipped_bit_is_found(version: VersionEntry, name: str) -> None:
    path = version.folder / name
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BrokenVersion, match=f"car-price/1: {name} was changed after publishing"):
        verify_version(version)


def test_a_shorter_file_is_found(version: VersionEntry) -> None:
    path = version.folder / "golden.npz"
    path.chmod(0o644)
    path.write_bytes(b"g")
    with pytest.raises(BrokenVersion, match=r"golden\.npz has 1 bytes; 14 were published"):
        verify_version(version)


def test_a_missing_file_is_found(version: VersionEntry) -> None:
    version.folder.chmod(0o755)
    (version.folder / "golden.npz").unlink()
    with pytest.raises(BrokenVersion, match=r"golden\.npz cannot be read: No such file"):
        verify_version(version)


def test_without_a_manifest_nothing_can_be_verified(tmp_path: Path) -> None:
    bare_tree(tmp_path)
    verify_version(open_repository(tmp_path).scan().models["plain"].versions[1])
