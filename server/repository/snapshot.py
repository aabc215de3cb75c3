"""What a repository held at one moment: plain values that say nothing about how they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.manifest import Manifest


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """A version that can be tried: its files are there and its manifest, if any, is readable.

    Nothing was digested yet: that is the loader's part (``digest.verify_version``).
    """

    model: str
    version: int
    model_path: Path
    manifest: Manifest | None
    digest: str | None
    """``sha256:…`` of ``model.onnx`` from the manifest; None for a version without one."""
    revision: str
    """Changes whenever a file of the version was replaced or rewritten; says nothing about what it holds.

    A version that failed to load is worth another try when its revision changed.
    """
    size_bytes: int
    """Of all files together."""

    @property
    def folder(self) -> Path:
        return self.model_path.parent

    @property
    def identity(self) -> str:
        """What is loaded again when it changes: the digest, or without a manifest the revision."""
        return self.digest or self.revision


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model with at least one version. ``labels`` may name versions that are not in ``versions``: the log is
    the truth about labels, and the snapshot's problems say what is amiss."""

    name: str
    versions: Mapping[int, VersionEntry]
    """Ascending."""
    labels: Mapping[str, LabelTarget]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the repository that cannot be used, and why. The rest of the repository is unaffected."""

    model: str
    version: int | None
    reason: str
    transient: bool = False
    """Expected to pass by itself: a file that is still being copied."""

    def __str__(self) -> str:
        return f"{self.model}{'' if self.version is None else f'/{self.version}'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class RepositorySnapshot:
    """All models, by name (sorted), and all problems."""

    models: Mapping[str, ModelEntry]
    problems: tuple[Problem, ...] = ()
