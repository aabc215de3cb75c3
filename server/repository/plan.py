"""What should be served: the supervisor makes it from a snapshot, every worker carries it out.

Plain values that survive JSON, since a plan crosses processes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapide.server.errors import BrokenVersion
from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.fields import Fields
from rapide.server.repository.manifest import read_manifest
from rapide.server.repository.policy import VersionPolicy
from rapide.server.repository.snapshot import ModelEntry, RepositorySnapshot, VersionEntry


@dataclass(frozen=True, slots=True)
class PlannedVersion:
    """One version to serve. ``digest``, ``revision`` and ``size_bytes`` are VersionEntry's."""

    model: str
    version: int
    path: str
    """Of ``model.onnx``."""
    digest: str | None
    revision: str
    size_bytes: int = 0
    tuning: str = ""
    """How it runs on this machine (``tuning_file.ModelTuning`` as text); empty as the settings say."""

    @property
    def identity(self) -> str:
        """What is loaded again when it changes: the digest, or without a manifest the revision, and the tuning."""
        return f"{self.digest or self.revision}{self.tuning}"

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "path": self.path,
            "digest": self.digest,
            "revision": self.revision,
            "size_bytes": self.size_bytes,
            "tuning": self.tuning,
        }

    @classmethod
    def read(cls, fields: Fields) -> PlannedVersion:
        return cls(
            model=fields.text("model"),
            version=fields.integer("version", least=1),
            path=fields.text("path"),
            digest=fields.optional_text("digest"),
            revision=fields.text("revision"),
            size_bytes=fields.integer("size_bytes"),
            tuning=fields.text("tuning", ""),
        )

    def open(self) -> VersionEntry:
        """The entry with its manifest read again, in the process that is to load it.

        Raises BrokenVersion where the manifest is unreadable, or no longer the one that was planned.
        """
        path = Path(self.path)
        _check_there(path)
        manifest = read_manifest(path.parent) if self.digest is not None else None
        found = manifest.digest if manifest else None
        if found is None and self.digest is not None:
            raise BrokenVersion(f"{self.model}/{self.version}: its manifest is gone from {path.parent}")
        if found != self.digest:
            raise BrokenVersion(
                f"{self.model}/{self.version} was planned as {self.digest}; its manifest says {found}"
            )
        return VersionEntry(self.model, self.version, path, manifest, self.digest, self.revision, self.size_bytes)


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """One model: its versions (ascending) and what its labels mean.

    A label may mean a version that is not among ``versions`` (deleted, broken): ``labels.shares`` says who
    answers then.
    """

    name: str
    versions: tuple[PlannedVersion, ...]
    labels: Mapping[str, LabelTarget]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "versions": [version.to_json() for version in self.versions],
            "labels": {label: target.to_json() for label, target in self.labels.items()},
        }

    @classmethod
    def read(cls, fields: Fields) -> PlannedModel:
        return cls(
            name=fields.text("name"),
            versions=fields.each("versions", PlannedVersion.read),
            labels={label: LabelTarget.read(target) for label, target in fields.fields("labels").items()},
        )


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """Everything that should be served, models in the order of their names."""

    models: tuple[PlannedModel, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"models": [model.to_json() for model in self.models]}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> ServingPlan:
        """Raises FieldError for what ``to_json`` did not write."""
        return cls(Fields(raw).each("models", PlannedModel.read))

    @property
    def versions(self) -> tuple[PlannedVersion, ...]:
        return tuple(version for model in self.models for version in model.versions)


def plan(
    snapshot: RepositorySnapshot,
    policy: VersionPolicy,
    explicit_models: Collection[str] | None = None,
    overrides: Mapping[str, VersionPolicy] | None = None,
) -> ServingPlan:
    """The plan for ``snapshot``: what ``policy`` chooses of every model, or of ``explicit_models`` only.

    ``overrides`` holds policies of single models. A model of which nothing is chosen is left out, as is an
    explicit name that the snapshot does not have. Equal snapshots give equal plans.
    """
    overrides = overrides or {}
    planned = []
    for name, model in sorted(snapshot.models.items()):
        if explicit_models is None or name in explicit_models:
            versions = overrides.get(name, policy).choose(model)
            if versions:
                planned.append(_planned(model, versions))
    return ServingPlan(tuple(planned))


def _planned(model: ModelEntry, versions: tuple[int, ...]) -> PlannedModel:
    entries = (model.versions[version] for version in versions)
    return PlannedModel(
        name=model.name,
        versions=tuple(
            PlannedVersion(
                entry.model, entry.version, str(entry.model_path), entry.digest, entry.revision, entry.size_bytes
            )
            for entry in entries
        ),
        labels=dict(model.labels),
    )


def _check_there(path: Path) -> None:
    """Raises BrokenVersion, naming the outermost thing that is gone, where nothing is at ``path`` any more."""
    if not path.exists():
        gone = next((folder for folder in reversed(path.parents) if not folder.exists()), path)
        raise BrokenVersion(f"{gone} is gone" + ("" if gone == path else ", and everything in it"))
