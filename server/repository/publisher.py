"""Publishing: a version appears whole, or not at all.

The files are written into a hidden folder beside the versions, made durable and read-only there, and then renamed
to the version's number. The rename is the only step that anybody can see, and the file system does it in one go:
whoever is killed before it has published nothing, whoever is killed after it has published everything.
What a dead publisher left behind is swept by the next one.

Publishers of one model take turns: each holds the model's lock, which the kernel frees when its holder dies. The
lock file remembers the highest number ever used, since a number must not come back with other content after its
version was deleted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from rapide.server.errors import Conflict, InvalidRequest, RepositoryError
from rapide.server.repository.files import exclusive_lock, open_regular, sync_folder
from rapide.server.repository.layout import (
    LOCK_FILE,
    MANIFEST_FILE,
    MAX_FILES,
    MAX_NESTING,
    MODEL_FILE,
    STAGING_PREFIX,
    check_model_name,
    is_safe_relative,
    parse_version,
)
from rapide.server.repository.manifest import FileRecord, Manifest
from rapide.server.repository.times import format_time, utc_now

ManifestBuilder = Callable[[int, str, Mapping[str, FileRecord]], Manifest]
"""Makes the manifest from the version's number, the moment of publishing and the records of its files."""
_CHUNK_BYTES = 1 << 20


def publish(
    repository: Path,
    name: str,
    files: Mapping[str, Path | bytes],
    build_manifest: ManifestBuilder,
    *,
    version: int | None = None,
    now: Callable[[], datetime] = utc_now,
) -> int:
    """Publishes ``files`` (name inside the version → where to copy it from, or its content) as a version.

    Returns its number: ``version`` if given, else the next after the highest that was ever used. The repository
    is made if need be. Raises InvalidRequest for names or contents that cannot be published, Conflict if
    ``version`` exists already, RepositoryError if the disk refuses; whatever ``build_manifest`` raises is passed
    on. After any of these the repository holds what it held.
    """
    _check_files(check_model_name(name), files)
    model_folder = repository / name
    try:
        _make_folder(repository)
        _make_folder(model_folder)
        _check_inside(repository, model_folder)
        with exclusive_lock(model_folder / LOCK_FILE) as lock:
            _sweep(model_folder)
            number = _choose_version(model_folder, version, _highest_used(lock))
            staging = model_folder / f"{STAGING_PREFIX}{number}-{os.getpid()}"
            try:
                staging.mkdir()
                records = {file: _write(staging / file, source) for file, source in files.items()}
                manifest = build_manifest(number, format_time(now()), records)
                _write(staging / MANIFEST_FILE, _manifest_bytes(manifest, name, number, records))
                _seal(staging)
                _remember(lock, number)
                _reveal(staging, model_folder / str(number))
            finally:
                _sweep(model_folder)
    except OSError as error:
        raise RepositoryError(
            f"{name} could not be published into {repository}: {error.strerror or error}",
            hint="Nothing was changed.",
        ) from error
    return number


def _check_files(name: str, files: Mapping[str, Path | bytes]) -> None:
    if MODEL_FILE not in files:
        raise InvalidRequest(f"{name}: a version needs a {MODEL_FILE}")
    if len(files) >= MAX_FILES:
        raise InvalidRequest(f"{name}: a version holds fewer than {MAX_FILES} files, not {len(files)}")
    for file in files:
        is_deep = file.count("/") > MAX_NESTING
        hidden = any(part.startswith(".") for part in file.split("/"))
        if not is_safe_relative(file) or hidden or is_deep or file == MANIFEST_FILE:
            raise InvalidRequest(f"{name}: {file[:160]!r} cannot be the name of a version's file")


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)


def _check_inside(repository: Path, model_folder: Path) -> None:
    if not model_folder.resolve().is_relative_to(repository.resolve()):
        raise RepositoryError(
            f"{model_folder} is a link that leads out of the repository",
            hint="Mount the other place there instead: what lies outside is never served.",
        )


def _choose_version(model_folder: Path, wanted: int | None, highest_used: int) -> int:
    taken = {version for entry in model_folder.iterdir() if (version := parse_version(entry.name)) is not None}
    number = max(taken | {highest_used}) + 1 if wanted is None else wanted
    if parse_version(str(number)) is None:
        raise InvalidRequest(f"version {number} is no positive integer of at most 18 digits")
    if number in taken:
        raise _exists(model_folder.name, number)
    return number


def _highest_used(lock: int) -> int:
    """The number in the lock file; 0 where there is none that can be read."""
    return parse_version(os.pread(lock, 32, 0).decode("ascii", "replace").strip()) or 0


def _remember(lock: int, number: int) -> None:
    """Written before the version is visible: whoever is killed in between leaves a gap, never a number twice."""
    highest = max(number, _highest_used(lock))
    os.pwrite(lock, f"{highest:<20}\n".encode(), 0)
    os.fsync(lock)


def _write(path: Path, source: Path | bytes) -> FileRecord:
    """Copies ``source`` to ``path``, durably and read-only. The record is of the bytes as they were written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sha256 = hashlib.sha256()
    size_bytes = 0
    with _open_source(source) as reader, path.open("xb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            sha256.update(chunk)
            size_bytes += len(chunk)
            writer.write(chunk)
        writer.flush()
        os.fchmod(writer.fileno(), 0o444)
        os.fsync(writer.fileno())
    return FileRecord(sha256.hexdigest(), size_bytes)


def _open_source(source: Path | bytes) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else open_regular(source)


def _manifest_bytes(manifest: Manifest, name: str, number: int, records: Mapping[str, FileRecord]) -> bytes:
    if (manifest.model, manifest.version) != (name, number) or dict(manifest.files) != dict(records):
        raise InvalidRequest(f"the manifest made for {name}/{number} is of another version or other files")
    try:
        content = manifest.to_bytes()
        Manifest.from_bytes(content)
    except ValueError as error:  # FieldError, or what JSON cannot carry: NaN, an array
        raise InvalidRequest(f"the manifest made for {name}/{number} could not be read back: {error}") from error
    return content


def _seal(staging: Path) -> None:
    """Makes every folder durable and read-only, inner ones first."""
    for folder, _, _ in os.walk(staging, topdown=False):
        os.chmod(folder, 0o555)  # noqa: S103 - the server may run as another user; nobody writes
        sync_folder(Path(folder))


def _reveal(staging: Path, target: Path) -> None:
    try:
        staging.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # put there by hand, past the lock
            raise _exists(target.parent.name, int(target.name)) from error
        raise
    try:
        sync_folder(target.parent)
    except OSError as error:
        raise RepositoryError(
            f"{target} is published, but the disk failed to confirm it: {error.strerror}"
        ) from error


def _sweep(model_folder: Path) -> None:
    """Removes what publishers left that died or failed. The lock is held: none of them is alive."""
    for folder in model_folder.glob(f"{STAGING_PREFIX}*"):
        if folder.is_symlink() or not folder.is_dir():  # no publisher's: never follow it anywhere
            folder.unlink()
            continue
        for inner, _, _ in os.walk(folder):
            os.chmod(inner, stat.S_IRWXU)
        shutil.rmtree(folder)


def _exists(name: str, version: int) -> Conflict:
    return Conflict(
        f"{name}/{version} exists already: a published version never changes",
        hint="Publish without a number to get the next one.",
    )
