"""Loads a version as a worker would, to find out whether that goes well. In a process of its own, with limits."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rapide.server.errors import BrokenVersion, RapideError
from rapide.server.model.loading import Model, load_model
from rapide.server.model.probing import made_up_row
from rapide.server.model.session import SessionOptions
from rapide.server.repository.manifest import read_manifest
from rapide.server.repository.snapshot import VersionEntry

_MEMORY = ("bad_alloc", "Failed to allocate memory", "Unable to allocate", "failed to allocate")
"""The runtime's and numpy's words for "no more memory"."""


def try_version(job: dict[str, Any]) -> dict[str, Any]:
    """``{"seconds", "peak_bytes"}``, or ``{"fault": why not}``. Raises MemoryError."""
    begun_s = time.monotonic()
    try:
        model = load_model(_entry(job), SessionOptions(**job["options"]), str(job["variant"]))
        _run_once(model)
    except BrokenVersion as error:
        if _is_about_memory(str(error)):
            raise MemoryError from error
        return {"fault": str(error)}
    return {"seconds": round(time.monotonic() - begun_s, 3), "peak_bytes": _peak_bytes()}


def _entry(job: dict[str, Any]) -> VersionEntry:
    path = Path(job["path"])
    manifest = read_manifest(path.parent) if job["has_manifest"] else None
    return VersionEntry(
        model=str(job["model"]),
        version=int(job["version"]),
        model_path=path,
        manifest=manifest,
        digest=None if manifest is None else manifest.digest,
        revision="",
        size_bytes=0,
    )


def _run_once(model: Model) -> None:
    """Loading already ran a model on rows that it takes. One that took none may have wanted too much memory."""
    if model.sample_row:
        return
    try:
        model.session.run(made_up_row(model.session.inputs))
    except RapideError as error:
        if _is_about_memory(str(error.__cause__)):
            raise MemoryError from error


def _is_about_memory(text: str) -> bool:
    return any(words in text for words in _MEMORY)


def _peak_bytes() -> int:
    """The most that this process held; ``getrusage`` would count what its parent held when it was started."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024
