"""What lies in a repository, by name and stamp, without opening a file: the raw material of scan and fingerprint.

A listing is a tuple of tuples: two are equal exactly when nothing was published, labelled, deleted or rewritten
in between. Hidden files and folders (locks, versions being staged) are not in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from rapide.server.errors import RepositoryError
from rapide.server.repository.layout import (
    ACTIVATIONS_FILE,
    BARE_SUFFIX,
    MAX_FILES,
    MAX_NESTING,
    is_model_name,
    parse_version,
)

StampKind = Literal["file", "folder", "other", "escapes", "missing"]


class Stamp(NamedTuple):
    """One name in a folder. The numbers change with every rewrite, replacement or change of length."""

    name: str
    kind: StampKind
    inode: int = 0
    size_bytes: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0


class VersionListing(NamedTuple):
    version: int
    folder: str
    files: tuple[Stamp, ...]
    fault: str = ""
    """Why ``files`` could not be listed."""


class ModelListing(NamedTuple):
    name: str
    folder: str
    log: Stamp | None
    versions: tuple[VersionListing, ...]
    oddities: tuple[str, ...] = ()
    fault: str = ""
    """Why the folder could not be listed."""


class BareListing(NamedTuple):
    """A bare ``.onnx`` file with the files that start with its name (external weights)."""

    name: str
    path: str
    files: tuple[Stamp, ...]


class Listing(NamedTuple):
    device: int
    inode: int
    models: tuple[ModelListing, ...]
    bare: tuple[BareListing, ...]
    oddities: tuple[tuple[str, str], ...] = ()
    """(what, why) for what lies beside the models and cannot be one."""

    @property
    def is_empty(self) -> bool:
        return not self.models and not self.bare


def list_repository(path: Path) -> Listing:
    """Lists the folder of models, or the single ``.onnx`` file, at ``path``.

    Raises RepositoryError when it is gone or cannot be read; what is wrong inside is in the listing.
    """
    try:
        info = path.stat()
        if stat.S_ISDIR(info.st_mode):
            return _list_folder(path, info)
    except FileNotFoundError:
        raise RepositoryError(
            f"there is no repository at {path}", hint=f"Name a folder of models, or an {BARE_SUFFIX} file."
        ) from None
    except OSError as error:
        raise RepositoryError(f"the repository {path} cannot be read: {error.strerror}") from error
    if stat.S_ISREG(info.st_mode) and path.suffix == BARE_SUFFIX:
        return Listing(info.st_dev, info.st_ino, (), (_list_bare(path, info),))
    raise RepositoryError(
        f"{path} is neither a folder of models nor an {BARE_SUFFIX} file",
        hint="Convert a trained model first: rapide convert model.joblib --name my-model --to models/",
    )


def shown(name: str) -> str:
    """A file's name as it may safely be printed: control characters and broken encodings escaped."""
    return name if is_model_name(name) else ascii(name[:160])


def _list_folder(path: Path, info: os.stat_result) -> Listing:
    root = os.path.realpath(path)
    models: list[ModelListing] = []
    bare: list[Stamp] = []
    oddities: list[tuple[str, str]] = []
    for entry in _visible(str(path)):
        stamp = _stamp(entry, root)
        if stamp.kind == "folder":
            model = _list_model(entry.name, entry.path, root)
            if is_model_name(entry.name):
                models.append(model)
            elif model.versions:
                oddities.append((shown(entry.name), "the folder's name cannot name a model"))
        elif stamp.kind == "file":
            bare.append(stamp)
        elif stamp.kind == "escapes":
            oddities.append((shown(entry.name), "it is a link that leads out of the repository"))
    return Listing(info.st_dev, info.st_ino, tuple(models), *_pick_bare(path, bare, models, oddities))


def _pick_bare(
    path: Path, files: list[Stamp], models: list[ModelListing], oddities: list[tuple[str, str]]
) -> tuple[tuple[BareListing, ...], tuple[tuple[str, str], ...]]:
    """The bare models among ``files``, and ``oddities`` with what cannot be one."""
    taken = {model.name for model in models}
    picked = []
    for stamp in files:
        name, suffix = os.path.splitext(stamp.name)
        if suffix != BARE_SUFFIX:
            continue
        if not is_model_name(name):
            oddities.append((shown(name), "the file's name cannot name a model"))
        elif name in taken:
            oddities.append((name, f"the file {stamp.name} is hidden by the folder of the same name"))
        else:
            parts = tuple(file for file in files if file.name.startswith(stamp.name))
            picked.append(BareListing(name, str(path / stamp.name), parts))
    return tuple(picked), tuple(oddities)


def _list_bare(path: Path, info: os.stat_result) -> BareListing:
    if not is_model_name(path.stem):
        raise RepositoryError(
            f"the file's name {shown(path.stem)} cannot name a model",
            hint="Rename it: letters, digits, '.', '_' and '-', starting with a letter or digit.",
        )
    return BareListing(path.stem, str(path), (_stamp_of(path.name, info),))


def _list_model(name: str, folder: str, root: str) -> ModelListing:
    log: Stamp | None = None
    versions: list[VersionListing] = []
    oddities: list[str] = []
    strangers: list[str] = []
    try:
        for entry in _visible(folder):
            version = parse_version(entry.name)
            if entry.name == ACTIVATIONS_FILE:
                log = _stamp(entry, root)
            elif version is not None:
                versions.append(_list_version(version, entry, root))
            elif entry.name.isascii() and entry.name.isdigit():
                oddities.append(f"{shown(entry.name)} is no version: expected 1, 2, 3, … without leading zeros")
            else:
                strangers.append(entry.name)
    except OSError as error:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):  # deleted while we looked
            return ModelListing(name, folder, None, ())
        return ModelListing(name, folder, None, (), fault=f"the folder cannot be read: {error.strerror}")
    if not versions and not oddities and strangers:
        oddities.append(_no_versions(strangers))
    versions.sort()
    return ModelListing(name, folder, log, tuple(versions), tuple(oddities))


def _no_versions(strangers: list[str]) -> str:
    found = [name for name in strangers if name.endswith(BARE_SUFFIX)] or strangers
    return f"it has no version: expected <version>/model.onnx (such as 1/model.onnx), found {shown(found[0])}"


def _list_version(version: int, entry: os.DirEntry[str], root: str) -> VersionListing:
    stamp = _stamp(entry, root)
    if stamp.kind != "folder":
        fault = "it is a link that leads out of the repository" if stamp.kind == "escapes" else "it is no folder"
        return VersionListing(version, entry.path, (), fault)
    files: list[Stamp] = []
    try:
        for file in _files(entry.path, "", root, MAX_NESTING):
            files.append(file)
            if len(files) > MAX_FILES:
                return VersionListing(version, entry.path, (), f"it holds more than {MAX_FILES} files")
    except OSError as error:
        return VersionListing(version, entry.path, (), f"the folder cannot be read: {error.strerror}")
    return VersionListing(version, entry.path, tuple(files))


def _files(folder: str, prefix: str, root: str, depth: int) -> Iterator[Stamp]:
    for entry in _visible(folder):
        stamp = _stamp(entry, root, prefix)
        yield stamp
        if stamp.kind == "folder" and depth and not entry.is_symlink():
            yield from _files(entry.path, f"{stamp.name}/", root, depth - 1)


def _visible(folder: str) -> Iterable[os.DirEntry[str]]:
    """The entries of ``folder`` that are not hidden, by name: listings must not depend on the disk's order."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=_NAME)


_NAME: Callable[[os.DirEntry[str]], str] = lambda entry: entry.name  # noqa: E731 - typed once, used in every sort


def _stamp(entry: os.DirEntry[str], root: str, prefix: str = "") -> Stamp:
    name = prefix + entry.name
    try:
        if entry.is_symlink() and not os.path.realpath(entry.path).startswith(root + os.sep):
            return Stamp(name, "escapes")
        return _stamp_of(name, entry.stat())
    except OSError:  # deleted while we looked, or a dangling link
        return Stamp(name, "missing")


def _stamp_of(name: str, info: os.stat_result) -> Stamp:
    kind: StampKind = "file" if stat.S_ISREG(info.st_mode) else "folder" if stat.S_ISDIR(info.st_mode) else "other"
    if kind == "folder":  # its times change with hidden files in it, which mean nothing
        return Stamp(name, kind)
    return Stamp(name, kind, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
