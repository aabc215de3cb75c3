"""SHA-256 of files, and the check that a version is still what its publisher recorded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from rapide.server.errors import BrokenVersion
from rapide.server.repository.files import open_regular
from rapide.server.repository.manifest import FileRecord
from rapide.server.repository.snapshot import VersionEntry


def digest_file(path: Path) -> FileRecord:
    """Digest and length of the file at ``path``. Raises OSError."""
    with open_regular(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileRecord(sha256, os.fstat(file.fileno()).st_size)


def file_digest_text(path: Path) -> str:
    """``sha256:…`` of the file at ``path``: what names a version that has no manifest. Raises OSError."""
    return f"sha256:{digest_file(path).sha256}"


def verify_version(entry: VersionEntry) -> None:
    """Raises BrokenVersion, naming the file, unless every file has the recorded length and digest.

    A version without a manifest has nothing recorded and passes. Reads every byte: call it where blocking is fine.
    """
    if entry.manifest is None:
        return
    for name, record in entry.manifest.files.items():
        _verify_file(f"{entry.model}/{entry.version}", entry.folder / name, name, record)


def _verify_file(version: str, path: Path, name: str, record: FileRecord) -> None:
    try:
        found = digest_file(path)
    except OSError as error:
        raise BrokenVersion(f"{version}: {name} cannot be read: {error.strerror}") from error
    if found.bytes != record.bytes:
        raise BrokenVersion(f"{version}: {name} has {found.bytes} bytes; {record.bytes} were published")
    if found.sha256 != record.sha256:
        raise BrokenVersion(
            f"{version}: {name} was changed after publishing (sha256 {found.sha256[:12]}… instead of "
            f"{record.sha256[:12]}…)",
            hint="Restore the file from where it came from, or publish a new version.",
        )
