"""From a listing to a snapshot: reads manifests and logs, and remembers what it read.

Two rules need the memory:

- *What was good stays until its folder is gone.* A manifest that turns unreadable, a log that lost lines or a
  disk that does not answer is a problem to report, not a reason to stop serving what is already loaded.
- *A file without a manifest must come to rest.* Nothing says how long it is going to be. So after the first scan
  a new or rewritten one is taken only when two scans in a row found it unchanged.

What did not change is not read again, so that scanning a thousand models costs little more than listing them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rapide.server.errors import BrokenVersion
from rapide.server.repository.activation_log import read_log
from rapide.server.repository.activations import ActivationLog, LabelTarget, labels_at
from rapide.server.repository.layout import ACTIVATIONS_FILE, BARE_VERSION, MANIFEST_FILE, MODEL_FILE
from rapide.server.repository.listing import BareListing, Listing, ModelListing, Stamp, StampKind, VersionListing
from rapide.server.repository.manifest import Manifest, read_manifest
from rapide.server.repository.onnx_outline import outline_fault
from rapide.server.repository.snapshot import ModelEntry, Problem, RepositorySnapshot, VersionEntry

Files = tuple[Stamp, ...]


class _Unsettled(Exception):
    """A file without a manifest changed since the last scan."""


@dataclass(frozen=True, slots=True)
class _Version:
    """What a scan made of one version."""

    files: Files
    entry: VersionEntry | None
    fault: str = ""
    unsettled: bool = False


@dataclass(frozen=True, slots=True)
class _Log:
    """What a scan made of one model's log."""

    stamp: Stamp | None = None
    log: ActivationLog = field(default_factory=ActivationLog)
    fault: str = ""


@dataclass(slots=True)
class _Memory:
    """What one scan leaves to the next: models and logs by model, versions by path of their model file."""

    models: dict[str, ModelEntry] = field(default_factory=dict)
    logs: dict[str, _Log] = field(default_factory=dict)
    versions: dict[Path, _Version] = field(default_factory=dict)


class Scanner:
    """Turns the listings of one repository into snapshots. One scan at a time: it is not thread-safe."""

    def __init__(self) -> None:
        self._memory: _Memory | None = None

    def read(self, listing: Listing) -> RepositorySnapshot:
        scan = _Scan(self._memory)
        snapshot = scan.run(listing)
        self._memory = scan.now
        return snapshot


class _Scan:
    """One scan: what was known ``before`` (None: nothing, it is the first), what is known ``now``."""

    def __init__(self, before: _Memory | None) -> None:
        self._is_first = before is None
        self._before = before or _Memory()
        self._problems: list[Problem] = []
        self.now = _Memory()

    def run(self, listing: Listing) -> RepositorySnapshot:
        self._problems.extend(Problem(what, None, why) for what, why in listing.oddities)
        for bare in listing.bare:
            self._bare(bare)
        for model in listing.models:
            self._model(model)
        return RepositorySnapshot(dict(sorted(self.now.models.items())), tuple(self._problems))

    def _bare(self, bare: BareListing) -> None:
        path = Path(bare.path)
        version = self._version(bare.name, VersionListing(BARE_VERSION, "", bare.files), path)
        if version.entry is not None:
            self.now.models[bare.name] = ModelEntry(bare.name, {BARE_VERSION: version.entry}, {})

    def _model(self, listing: ModelListing) -> None:
        self._problems.extend(Problem(listing.name, None, oddity) for oddity in listing.oddities)
        if listing.fault:
            self._problems.append(Problem(listing.name, None, listing.fault))
            self._keep(listing.name)
            return
        versions = {}
        for version in listing.versions:
            known = self._version(listing.name, version, Path(version.folder, MODEL_FILE))
            if known.entry is not None:
                versions[version.version] = known.entry
        labels = self._labels(listing, versions)
        if versions:
            self.now.models[listing.name] = ModelEntry(listing.name, versions, labels)

    def _keep(self, name: str) -> None:
        """Carries over everything about a model whose folder cannot be listed at the moment."""
        model = self._before.models.get(name)
        if model is not None:
            self.now.models[name] = model
            if name in self._before.logs:  # not there if it was a bare file until now
                self.now.logs[name] = self._before.logs[name]
            for entry in model.versions.values():
                self.now.versions[entry.model_path] = self._before.versions[entry.model_path]

    def _version(self, model: str, listing: VersionListing, path: Path) -> _Version:
        before = self._before.versions.get(path)
        unchanged = before is not None and before.files == listing.files
        if before is not None and unchanged and not before.fault:
            known = before
        else:
            last_good = before.entry if before is not None else None
            try:
                had_manifest = last_good is not None and last_good.manifest is not None
                at_rest = unchanged or self._is_first
                entry = _read_version(model, listing, path, had_manifest=had_manifest, at_rest=at_rest)
                known = _Version(listing.files, entry)
            except BrokenVersion as error:
                known = _Version(listing.files, last_good, error.message)
            except _Unsettled:
                reason = "the file is new or changing; it is taken when the next scan finds it unchanged"
                known = _Version(listing.files, last_good, reason, unsettled=True)
        if known.fault:
            self._problems.append(Problem(model, listing.version, known.fault, transient=known.unsettled))
        self.now.versions[path] = known
        return known

    def _labels(self, listing: ModelListing, versions: Mapping[int, VersionEntry]) -> dict[str, LabelTarget]:
        before = self._before.logs.get(listing.name, _Log())
        known = before if before.stamp == listing.log and not before.fault else _read_log(listing, before)
        self.now.logs[listing.name] = known
        labels = labels_at(known.log.entries)
        faults = [*known.log.problems, *([known.fault] if known.fault else [])]
        self._problems.extend(Problem(listing.name, None, f"{ACTIVATIONS_FILE}: {fault}") for fault in faults)
        for label, target in labels.items():
            fault = _label_fault(label, target, versions.get(target.version))
            if fault:
                self._problems.append(Problem(listing.name, target.version, fault))
        return labels


def _read_version(
    model: str, listing: VersionListing, path: Path, *, had_manifest: bool, at_rest: bool
) -> VersionEntry:
    """Raises BrokenVersion for what cannot be served, _Unsettled for what may still be written to."""
    if listing.fault:
        raise BrokenVersion(listing.fault)
    stamps = {stamp.name: stamp for stamp in listing.files}
    manifest = None
    if had_manifest or MANIFEST_FILE in stamps:
        _check_regular(stamps, MANIFEST_FILE)
        manifest = read_manifest(path.parent)
    if manifest is not None:
        _check_manifest(manifest, model, listing.version, stamps)
    else:
        _check_bare(path, stamps, at_rest=at_rest)
    return VersionEntry(
        model=model,
        version=listing.version,
        model_path=path,
        manifest=manifest,
        digest=manifest.digest if manifest is not None else None,
        revision=_revision(listing.files),
        size_bytes=sum(stamp.size_bytes for stamp in listing.files),
    )


def _check_manifest(manifest: Manifest, model: str, version: int, stamps: Mapping[str, Stamp]) -> None:
    if (manifest.model, manifest.version) != (model, version):
        raise BrokenVersion(
            f"its manifest was written for {manifest.model}/{manifest.version}: "
            "published versions are not renamed or copied by hand"
        )
    for name, record in manifest.files.items():
        found = _check_regular(stamps, name)
        if found.size_bytes != record.bytes:
            raise BrokenVersion(
                f"{name} has {found.size_bytes} bytes, {record.bytes} were published: "
                "damaged or still being copied"
            )


def _check_bare(path: Path, stamps: Mapping[str, Stamp], *, at_rest: bool) -> None:
    _check_regular(stamps, path.name)
    if not at_rest:
        raise _Unsettled
    try:
        fault = outline_fault(path)
    except OSError as error:
        raise BrokenVersion(f"{path.name} cannot be read: {error.strerror}") from error
    if fault:
        raise BrokenVersion(f"{path.name}: {fault}")


def _check_regular(stamps: Mapping[str, Stamp], name: str) -> Stamp:
    stamp = stamps.get(name)
    if stamp is None or stamp.kind != "file":
        raise BrokenVersion(f"{name} {KIND_FAULTS[stamp.kind if stamp else 'missing']}")
    return stamp


KIND_FAULTS: Mapping[StampKind, str] = {
    "missing": "is missing",
    "folder": "is a folder, not a file",
    "other": "is no regular file",
    "escapes": "is a link that leads out of the repository",
}
"""What is wrong with a name that should be a file."""


def _revision(files: Files) -> str:
    return hashlib.blake2b(repr(files).encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()


def _read_log(listing: ModelListing, before: _Log) -> _Log:
    if listing.log is not None and listing.log.kind != "file":
        return _Log(listing.log, before.log, f"it {KIND_FAULTS[listing.log.kind]}")
    try:
        log = read_log(Path(listing.folder)) if listing.log is not None else ActivationLog()
    except OSError as error:
        return _Log(listing.log, before.log, f"it cannot be read: {error.strerror}")
    if before.log.entries and (not log.entries or log.entries[-1].time < before.log.entries[-1].time):
        return _Log(listing.log, before.log, "its last lines are gone; labels stay as they were")
    return _Log(listing.log, log)


def _label_fault(label: str, target: LabelTarget, entry: VersionEntry | None) -> str:
    if entry is None:
        return f"label {label!r} means this version, which is not here or cannot be used"
    if target.digest and entry.digest and target.digest != entry.digest:
        return f"label {label!r} was given to {target.digest[:19]}…, but the version is now {entry.digest[:19]}…"
    return ""
