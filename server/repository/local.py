"""A repository in a local (or mounted) folder, or a single ``.onnx`` file."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rapide.server.errors import Conflict, InvalidRequest, NotFound, RepositoryError
from rapide.server.repository.activation_log import append, read_log
from rapide.server.repository.activations import Activation, ActivationLog, LabelTarget, labels_at
from rapide.server.repository.digest import file_digest_text
from rapide.server.repository.history import Standing, only_label, standing
from rapide.server.repository.labels import LabelChanges, apply_changes
from rapide.server.repository.layout import ACTIVATIONS_FILE
from rapide.server.repository.listing import Listing, ModelListing, list_repository
from rapide.server.repository.scanner import KIND_FAULTS, Scanner
from rapide.server.repository.snapshot import ModelEntry, RepositorySnapshot
from rapide.server.repository.times import utc_now


@dataclass(frozen=True, slots=True)
class _Found:
    """One model with its history, and why versions that are there cannot be used."""

    model: ModelEntry
    log: ActivationLog
    broken: Mapping[int, str]


class LocalRepository:
    """The models under ``path``. Methods read and write the disk: call them where blocking is fine, one at a time.

    To watch: compare ``fingerprint()`` with the one taken before the last ``scan()``, and scan when it differs.
    """

    def __init__(self, path: Path, *, now: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._now = now
        self._scanner = Scanner()
        self._last: tuple[Listing, RepositorySnapshot] | None = None
        self._scans = 0

    def scan(self) -> RepositorySnapshot:
        """What is there now. Opens manifests and logs that changed; digests nothing.

        Raises RepositoryError if the repository as a whole is gone or unreadable: keep serving what is loaded.
        Anything wrong inside is one of the snapshot's problems.
        """
        listing = self._list()
        snapshot = self._scanner.read(listing)
        self._last = (listing, snapshot)
        self._scans += 1
        return snapshot

    def fingerprint(self) -> Hashable:
        """Equal to an earlier one exactly when a scan would find nothing new. Costs a listing, opens nothing.

        While a file is still coming to rest it differs after every scan. Raises RepositoryError as ``scan`` does.
        """
        unsettled = self._last is not None and any(problem.transient for problem in self._last[1].problems)
        return (self._list(), self._scans if unsettled else 0)

    def labels(self, name: str) -> dict[str, LabelTarget]:
        """What the labels of model ``name`` mean now. Raises NotFound, RepositoryError."""
        return labels_at(self.history(name).entries)

    def history(self, name: str) -> ActivationLog:
        """The activation log of model ``name``, also of one whose versions are all deleted.

        Raises NotFound, RepositoryError.
        """
        return self._find(name).log

    def set_labels(self, name: str, changes: LabelChanges, who: str, why: str = "") -> Activation:
        """Changes labels of model ``name``, durably, and returns the line that was logged.

        Raises NotFound (model, version or label), InvalidRequest (weights), Conflict (no remainder; a broken
        version; a bare file, which has no place for labels), RepositoryError.
        """
        if not changes.set and not changes.removed:
            raise InvalidRequest("no change of a label is given")
        found = self._find(name)
        if not (self.path / name).is_dir():
            raise Conflict(
                f"model {name!r} is a bare file: it has one version and no labels",
                hint=f"Lay it out as {name}/1/model.onnx, or publish it, to label versions.",
            )
        targets = {label: _with_digest(target, found) for label, target in changes.set.items()}
        digested = LabelChanges(targets, changes.removed)

        def decide(log: ActivationLog) -> Activation:
            before = labels_at(log.entries)
            after = apply_changes(before, digested, found.model.versions.keys())
            moved = {label: target for label, target in after.items() if label in targets}
            latest = log.entries[-1].time if log.entries else None
            now = self._now()
            # A clock that was set back must not put this change before the last one.
            return Activation(max(now, latest or now), name, moved, digested.removed, who, why)

        return append(self.path / name, decide)

    def which(self, name: str, at: datetime, label: str | None = None) -> Standing:
        """What the labels of model ``name`` meant at ``at``, and which version answered unlabelled requests.

        With ``label``, that label alone. Raises NotFound for an unknown model, or a label not set at that time.
        """
        found = self._find(name)
        published = {
            version: entry.manifest.created_at if entry.manifest is not None else None
            for version, entry in found.model.versions.items()
        }
        whole = standing(name, found.log.entries, published, at)
        return only_label(whole, label) if label is not None else whole

    def _find(self, name: str) -> _Found:
        """The model called ``name``. Raises NotFound, naming what there is, if it has neither version nor history.

        Reads that model alone, with a scanner of its own, so as not to hurry what the watching one waits for.
        """
        listing = self._list()
        mine = listing._replace(
            models=tuple(model for model in listing.models if model.name == name),
            bare=tuple(bare for bare in listing.bare if bare.name == name),
            oddities=(),
        )
        log = _read_log(mine.models[0]) if mine.models else ActivationLog()
        snapshot = Scanner().read(mine)
        model = snapshot.models.get(name)
        if model is None and not log.entries:
            names = sorted([model.name for model in listing.models] + [bare.name for bare in listing.bare])
            listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
            raise NotFound(f"there is no model {name[:128]!r}", hint=f"Models there are: {listed or 'none'}.")
        model = model or ModelEntry(name, {}, {})
        present = {version.version for folder in mine.models for version in folder.versions}
        broken = {
            problem.version: problem.reason
            for problem in reversed(snapshot.problems)  # the first reason counts: what follows is about labels
            if problem.version in present - model.versions.keys()
        }
        return _Found(model, log, broken)

    def _list(self) -> Listing:
        if self._last is not None and not self.path.exists():
            raise RepositoryError(f"the repository {self.path} has vanished")
        listing = list_repository(self.path)
        if self._last is not None and listing.is_empty:
            before, snapshot = self._last
            # An unmounted volume leaves an empty folder behind: nobody deleted its models.
            if snapshot.models and (listing.device, listing.inode) != (before.device, before.inode):
                raise RepositoryError(f"{self.path} is empty and another folder than before: is it unmounted?")
        return listing


def open_repository(path: Path) -> LocalRepository:
    """The repository at ``path``: a folder of models, a folder of bare ``.onnx`` files, or one such file.

    Raises RepositoryError where there is none.
    """
    list_repository(path)
    return LocalRepository(path)


def _read_log(listing: ModelListing) -> ActivationLog:
    if listing.log is None:
        return ActivationLog()
    if listing.log.kind != "file":
        raise RepositoryError(f"{listing.name}: {ACTIVATIONS_FILE} {KIND_FAULTS[listing.log.kind]}")
    try:
        return read_log(Path(listing.folder))
    except OSError as error:
        raise RepositoryError(f"the labels of {listing.name} cannot be read: {error.strerror}") from error


def _with_digest(target: LabelTarget, found: _Found) -> LabelTarget:
    """Raises Conflict for a version that is there but broken. One that is not there is left to ``apply_changes``,
    which names those that are."""
    entry = found.model.versions.get(target.version)
    if entry is None:
        if target.version in found.broken:
            raise Conflict(f"{found.model.name}/{target.version} cannot be used: {found.broken[target.version]}")
        return target
    try:
        digest = entry.digest or file_digest_text(entry.model_path)
    except OSError as error:
        raise RepositoryError(f"{entry.model}/{entry.version} cannot be read: {error.strerror}") from error
    return replace(target, digest=digest)
