"""The last gate: the version, as it would be published, is loaded by the server's own loader, in a process with
limits, and answers its golden rows there. The proof is recorded, so that servers need not do it again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rapide.converters.errors import GateRefused
from rapide.server.errors import BrokenVersion
from rapide.server.repository.digest import digest_file
from rapide.server.repository.layout import MANIFEST_FILE, MODEL_FILE
from rapide.server.repository.manifest import FileRecord, Manifest
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.repository.times import format_time, utc_now
from rapide.server.trials import TrialLimits, TrialReport

GATE = "trial"
Trial = Callable[[VersionEntry, TrialLimits, Mapping[str, Any], str], TrialReport]
"""``server.trials.try_version``, or a stand-in."""
Build = Callable[[int, str, Mapping[str, FileRecord]], Manifest]


def pass_trial(files: Mapping[str, Path], build: Build, trial: Trial, folder: Path) -> dict[str, Any]:
    """What the manifest's ``gates["trial"]`` says of a version of ``files`` with the manifest of ``build``: the
    most that one of its variants took, if it has some.

    ``folder``: where to put it together. Raises GateRefused, with the figure and the limit.
    """
    limits = TrialLimits()
    with tempfile.TemporaryDirectory(prefix="trial-", dir=folder) as name:
        place = Path(name)
        for file, source in files.items():
            (place / file).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, place / file)
        records = {file: digest_file(place / file) for file in files}
        manifest = build(1, format_time(utc_now()), records)
        (place / MANIFEST_FILE).write_bytes(manifest.to_bytes())
        size_bytes = sum(record.bytes for record in records.values())
        entry = VersionEntry(manifest.model, 1, place / MODEL_FILE, manifest, manifest.digest, "", size_bytes)
        forms = {variant.name: variant.file for variant in manifest.variants} or {"": MODEL_FILE}
        try:
            reports = [trial(entry, limits, {}, name) for name in forms]
        except BrokenVersion as error:
            raise GateRefused(
                GATE,
                f"a server could not serve it: {error.message}. Nothing was published.",
                hint="It was loaded as a server does it, in a process with limits.",
            ) from error
    return {
        "sha256": [records[file].sha256 for file in forms.values()],
        "seconds": max(report.seconds for report in reports),
        "max_seconds": limits.time_s,
        "peak_bytes": max(report.peak_bytes for report in reports),
        "max_bytes": limits.memory_for(entry),
    }
