"""Small repositories for tests, a clock that moves only when told to, and strategies for the values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from rapide.server.repository.activations import Activation, LabelTarget
from rapide.server.repository.manifest import FileRecord, Manifest
from rapide.server.repository.publisher import ManifestBuilder, publish
from rapide.server.repository.snapshot import ModelEntry, RepositorySnapshot, VersionEntry
from rapide.server.signature import DataType, Signature, TensorSpec

START = datetime(2024, 11, 20, 10, 0, tzinfo=UTC)
SIGNATURE = Signature(
    inputs=(TensorSpec("x", DataType.FP32, (-1, 4)),),
    outputs=(TensorSpec("y", DataType.FP32, (-1, 1)),),
    batchable=True,
)


class Clock:
    """Stands still until it is moved."""

    def __init__(self, instant: datetime = START) -> None:
        self.instant = instant

    def __call__(self) -> datetime:
        return self.instant

    def move(self, **by: float) -> datetime:
        self.instant += timedelta(**by)
        return self.instant


def model_bytes(content: bytes = b"weights") -> bytes:
    """What has the outline of an ONNX model (under 128 bytes): ir_version 10, a graph."""
    return b"\x08\x0a" + b"\x3a" + bytes([len(content)]) + content


def builder(name: str, **more: Any) -> ManifestBuilder:
    def build(version: int, created: str, files: Mapping[str, FileRecord]) -> Manifest:
        return Manifest(name, version, created, files, SIGNATURE, **more)

    return build


def published(root: Path, name: str, content: bytes = b"weights", **more: Any) -> int:
    files = {"model.onnx": model_bytes(content), "golden.npz": b"golden " + content}
    return publish(root, name, files, builder(name), **more)


def bare_tree(root: Path, name: str = "plain", version: int = 1, content: bytes = b"weights") -> Path:
    """A version without a manifest, written as anybody would."""
    path = root / name / str(version) / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_bytes(content))
    return path


def entry(model: str, version: int, digest: str | None = None) -> VersionEntry:
    path = Path("models", model, str(version), "model.onnx")
    return VersionEntry(model, version, path, None, digest, f"revision-{version}", 100 * version)


def model_entry(name: str, versions: list[int], labels: Mapping[str, LabelTarget] | None = None) -> ModelEntry:
    return ModelEntry(name, {version: entry(name, version) for version in sorted(versions)}, labels or {})


def versions(snapshot: RepositorySnapshot) -> dict[str, list[int]]:
    return {name: list(model.versions) for name, model in snapshot.models.items()}


def problems(snapshot: RepositorySnapshot) -> list[str]:
    return [str(problem) for problem in snapshot.problems]


def unlocked(path: Path) -> Path:
    """``path`` made writable, with its folder."""
    path.parent.chmod(0o755)
    if path.exists() and not path.is_symlink():
        path.chmod(0o755 if path.is_dir() else 0o644)
    return path


VERSIONS = st.integers(1, 6)
LABELS = st.sampled_from(["stable", "canary", "beta", "shadow"])
INSTANTS = st.integers(0, 1000).map(lambda minutes: START + timedelta(minutes=minutes))
TARGETS = st.builds(
    LabelTarget,
    version=VERSIONS,
    weight_percent=st.none() | st.floats(0, 100, allow_nan=False),
    digest=st.none() | st.just("sha256:" + "a" * 64),
)
ACTIVATIONS = st.builds(
    Activation,
    time=INSTANTS,
    model=st.just("car-price"),
    labels=st.dictionaries(LABELS, TARGETS, max_size=3),
    removed=st.lists(LABELS, max_size=2, unique=True).map(tuple),
    who=st.text(st.characters(codec="utf-8"), max_size=20),
    why=st.text(st.characters(codec="utf-8"), max_size=20),
)
LOGS = st.lists(ACTIVATIONS, max_size=12).map(lambda entries: sorted(entries, key=lambda entry: entry.time))
