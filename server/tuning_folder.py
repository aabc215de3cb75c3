"""Where tuning files lie, and which of them this machine and a model's bytes ask for.

    FOLDER/<signature of the processor>/<64 hex digits of the model's digest>.json

A file that cannot be used is told once and costs no model its place: the defaults serve.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rapide.server.errors import SettingsError
from rapide.server.machine import cpu_signature
from rapide.server.repository.digest import file_digest_text
from rapide.server.repository.fields import FieldError
from rapide.server.repository.files import read_regular
from rapide.server.repository.plan import PlannedModel, PlannedVersion, ServingPlan
from rapide.server.tuning_file import ModelTuning, TuningFile

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 16 * 1024 * 1024
AUTO, OFF = "auto", "off"
"""Values of the setting ``tuning`` that are no folders."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """A version that runs as a tuning file says."""

    version: PlannedVersion
    file: TuningFile
    path: Path


class TuningFolder:
    """Finds tuning files. Reads the disk at every call, since files may be written while the server runs."""

    def __init__(self, folder: Path | None, cpu: str, usable_cores: int) -> None:
        """``folder`` None: nothing is tuned."""
        self._folder = None if folder is None else folder / cpu
        self._usable_cores = usable_cores
        self._digests: dict[tuple[str, str], str] = {}
        self._complained: set[str] = set()

    def tuned(self, plan: ServingPlan) -> list[Tuned]:
        """The versions of ``plan`` for which there is a file."""
        found = ((one, self._find(one)) for one in plan.versions)
        return [Tuned(one, *hit) for one, hit in found if hit is not None]

    def workers(self, plan: ServingPlan) -> int | None:
        """The number of workers that every version of ``plan`` was tuned for, or None where they do not agree:
        what is best for one model alone may starve another."""
        tuned = self.tuned(plan)
        counts = {one.file.workers for one in tuned}
        return counts.pop() if len(counts) == 1 and len(tuned) == len(plan.versions) else None

    def apply(self, plan: ServingPlan, workers: int) -> ServingPlan:
        """``plan`` with each version's tuning in it. Threads that were tuned for fewer workers than there are
        would fight for the cores: they are cut to each worker's share."""
        share = max(1, self._usable_cores // max(1, workers))
        texts = {}
        for one in self.tuned(plan):
            tuning = one.file.tuning
            if one.file.workers != workers:
                tuning = replace(tuning, intra_op_threads=min(tuning.intra_op_threads, share))
            texts[one.version] = tuning.to_text()
        return ServingPlan(tuple(_with_texts(model, texts) for model in plan.models))

    def describe(self, plan: ServingPlan) -> list[str]:
        """For the banner: a line for each version of ``plan`` that runs tuned, with where its file lies."""
        return [
            f"{one.version.model}/{one.version.version}: "
            f"{ModelTuning.from_text(one.version.tuning).words}{_age(one.file)} ({one.path})"
            for one in self.tuned(plan)
            if one.version.tuning
        ]

    def path_of(self, digest: str) -> Path | None:
        """Where the file for the model with ``digest`` (``sha256:…``) lies, or would."""
        return None if self._folder is None else self._folder / f"{digest.removeprefix('sha256:')}.json"

    def _find(self, version: PlannedVersion) -> tuple[TuningFile, Path] | None:
        if self._folder is None or not self._folder.is_dir():
            return None
        try:
            digest = version.digest or self._digest_of(version)
            path = self._folder / f"{digest.removeprefix('sha256:')}.json"
            file = TuningFile.from_bytes(read_regular(path, MAX_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, FieldError) as error:
            self._complain(f"{version.model}/{version.version} runs untuned: {path} cannot be used: {error}")
            return None
        if file.digest != digest:
            self._complain(f"{version.model}/{version.version} runs untuned: {path} is for {file.digest}")
            return None
        most = max(file.workers, file.tuning.intra_op_threads, file.tuning.sessions)
        if most > self._usable_cores:  # no tuning on such a machine found that: it is another's, or was edited
            self._complain(
                f"{version.model}/{version.version} runs untuned: {path} asks for {most} workers, threads or "
                f"sessions; expected at most {self._usable_cores}, as many as there are cores"
            )
            return None
        return file, path

    def _digest_of(self, version: PlannedVersion) -> str:
        """Of a file without a manifest: read whole, once for each of its revisions. Raises OSError."""
        key = version.path, version.revision
        if key not in self._digests:
            self._digests[key] = file_digest_text(Path(version.path))
        return self._digests[key]

    def _complain(self, text: str) -> None:
        if text not in self._complained:
            self._complained.add(text)
            logger.warning("%s", text)


UNTUNED: Final = TuningFolder(None, "", 1)


def default_folder(environment: Mapping[str, str]) -> Path:
    """Where tuning files lie unless somebody says otherwise (XDG base directories: state, not configuration, since
    measurements are made again rather than carried to another machine)."""
    state = environment.get("XDG_STATE_HOME") or os.path.join(environment.get("HOME") or "~", ".local", "state")
    return Path(state).expanduser() / "rapide" / "tuning"


def open_tuning(setting: str, usable_cores: int) -> TuningFolder:
    """As the setting ``tuning`` says. Raises SettingsError for a folder that is not there."""
    if setting == OFF:
        return TuningFolder(None, "", usable_cores)
    if setting == AUTO:
        return TuningFolder(default_folder(os.environ), cpu_signature(usable_cores), usable_cores)
    if not Path(setting).is_dir():
        raise SettingsError(
            f"tuning names the folder {setting}, which is not there.",
            hint="Write one with `rapide tune --tuning`, or leave the setting out.",
        )
    return TuningFolder(Path(setting), cpu_signature(usable_cores), usable_cores)


def _age(file: TuningFile) -> str:
    """A doubt: kernels change from release to release."""
    here = version("onnxruntime")
    is_other = file.onnxruntime not in ("", here)
    return f"; tuned with onnxruntime {file.onnxruntime}, this is {here}: tune again" if is_other else ""


def _with_texts(model: PlannedModel, texts: Mapping[PlannedVersion, str]) -> PlannedModel:
    versions: Iterable[PlannedVersion] = (replace(one, tuning=texts.get(one, "")) for one in model.versions)
    return replace(model, versions=tuple(versions))
