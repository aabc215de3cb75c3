"""Where a version came from: who, when, from which commit, with which libraries, from which files."""

from __future__ import annotations

import getpass
import hashlib
import platform
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rapide.converters.options import ConvertOptions
from rapide.server.repository.digest import digest_file
from rapide.server.repository.manifest import FileRecord
from rapide.server.repository.times import format_time, utc_now

_GIT_TIMEOUT_S = 5


def lineage(options: ConvertOptions, facts: Mapping[str, Any], versions: Mapping[str, str]) -> dict[str, Any]:
    """The manifest's ``lineage``, ready for JSON. ``facts``: what the child process said about the original."""
    model = _digest(options.model)
    out: dict[str, Any] = {
        **facts["description"],
        **options.origin,
        "source_file": {"name": options.model.resolve().name, "sha256": model.sha256, "bytes": model.bytes},
        "sample": {**_sample(options.sample), **facts["sample"]},
        "converted_by": who(),
        "converted_at": format_time(utc_now()),
        "converted_on": {"platform": platform.platform(), "machine": platform.machine()},
        "versions": dict(versions),
    }
    commit = git_commit(Path.cwd())
    if commit:
        out["git"] = commit
    if options.data_origin:
        out["data_origin"] = options.data_origin
    return out


def _digest(path: Path) -> FileRecord:
    """Of a file; of a folder the digest of its files' digests and names, and all their bytes."""
    if not path.is_dir():
        return digest_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
    records = {file.relative_to(path).as_posix(): digest_file(file) for file in files}
    lines = "".join(f"{record.sha256}  {name}\n" for name, record in records.items())
    return FileRecord(hashlib.sha256(lines.encode()).hexdigest(), sum(record.bytes for record in records.values()))


def _sample(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {"name": "made up"}
    record = digest_file(path)
    return {"name": path.name, "sha256": record.sha256, "bytes": record.bytes}


def who() -> str:
    """``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def git_commit(folder: Path) -> dict[str, Any] | None:
    """The commit that ``folder`` is at and whether tracked files differ from it; None outside of a work tree."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "changed": bool(changed)}


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here, or a work tree on a dead disk
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
