"""What to serve when the repository is not all well: a bad version never takes the place of a good one. Pure.

A version is *broken* once a worker failed to load it; it stays so until its files change or somebody asks for a
rescan. ``healthy`` turns what the repository says into what can be served, in the light of what is being served:

- a broken version is left out, so that the policy chooses the next best;
- where the files of a version that is being served were replaced by broken ones, the loaded one stays;
- a label that moved to a broken version keeps meaning what it meant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.plan import PlannedModel, PlannedVersion, ServingPlan
from rapide.server.repository.snapshot import ModelEntry, Problem, RepositorySnapshot, VersionEntry

Key = tuple[str, int, str]
"""Model, version, revision: other files, another chance."""


@dataclass(frozen=True, slots=True)
class BrokenVersions:
    """The versions that failed to load, and why."""

    reasons: Mapping[Key, str] = field(default_factory=dict)

    def marked(self, version: PlannedVersion, reason: str) -> BrokenVersions:
        return BrokenVersions({**self.reasons, _key(version): reason})

    def forgiven(self, model: str = "") -> BrokenVersions:
        """Without the marks of ``model``; of all models if empty."""
        return BrokenVersions({key: reason for key, reason in self.reasons.items() if model and key[0] != model})

    def problems(self, snapshot: RepositorySnapshot) -> list[Problem]:
        """All that is amiss: what the repository found and does not expect to pass, and the broken versions that
        are still there."""
        current = {
            (entry.model, entry.version, entry.revision)
            for model in snapshot.models.values()
            for entry in model.versions.values()
        }
        broken = [
            Problem(model, version, reason)
            for (model, version, revision), reason in self.reasons.items()
            if (model, version, revision) in current
        ]
        lasting = [problem for problem in snapshot.problems if not problem.transient]
        return sorted([*lasting, *broken], key=lambda found: (found.model, found.version or 0))

    def healthy(self, snapshot: RepositorySnapshot, served: ServingPlan) -> RepositorySnapshot:
        """``snapshot`` without what is broken, and with what is ``served`` in its place."""
        before = {model.name: model for model in served.models}
        models = {
            name: self._model(entry, before.get(name, PlannedModel(name, (), {})))
            for name, entry in snapshot.models.items()
        }
        return RepositorySnapshot(
            {name: model for name, model in models.items() if model.versions}, snapshot.problems
        )

    def _model(self, entry: ModelEntry, before: PlannedModel) -> ModelEntry:
        broken = {
            version
            for version, found in entry.versions.items()
            if (entry.name, version, found.revision) in self.reasons
        }
        versions = {version: found for version, found in entry.versions.items() if version not in broken}
        for served in before.versions:
            if served.version in broken and _key(served) not in self.reasons:
                versions[served.version] = _entry(served)
        labels = {
            label: _target(target, before.labels.get(label), versions, broken)
            for label, target in entry.labels.items()
        }
        return replace(entry, versions=dict(sorted(versions.items())), labels=labels)


def new_versions(plan: ServingPlan, served: ServingPlan) -> list[PlannedVersion]:
    """What ``plan`` loads that is not loaded yet."""
    loaded = {_identity(version) for version in served.versions}
    return [version for version in plan.versions if _identity(version) not in loaded]


def with_one_more(plan: ServingPlan, served: ServingPlan) -> ServingPlan:
    """A step from ``served`` towards ``plan`` that loads one version only: the way to find out which of several
    new versions takes workers down. ``plan`` itself where it loads at most one."""
    new = new_versions(plan, served)
    if len(new) <= 1:
        return plan
    first = new[0]
    goal = next(model for model in plan.models if model.name == first.model)
    models = {model.name: model for model in served.models}
    before = models.get(first.model, PlannedModel(first.model, (), goal.labels))
    others = [version for version in before.versions if version.version != first.version]
    versions = tuple(sorted([*others, first], key=lambda version: version.version))
    models[first.model] = replace(before, versions=versions)
    return ServingPlan(tuple(models[name] for name in sorted(models)))


def _target(
    target: LabelTarget,
    meant: LabelTarget | None,
    versions: Mapping[int, VersionEntry],
    broken: Collection[int],
) -> LabelTarget:
    """``target``, or what the label meant before where ``target`` is broken and that is still there."""
    if target.version in broken and target.version not in versions and meant and meant.version in versions:
        return replace(target, version=meant.version, digest=meant.digest)
    return target


def _key(version: PlannedVersion) -> Key:
    return version.model, version.version, version.revision


def _identity(version: PlannedVersion) -> tuple[str, int, str]:
    return version.model, version.version, version.identity


def _entry(version: PlannedVersion) -> VersionEntry:
    return VersionEntry(
        model=version.model,
        version=version.version,
        model_path=Path(version.path),
        manifest=None,
        digest=version.digest,
        revision=version.revision,
        size_bytes=version.size_bytes,
    )
