"""Trials: a version is loaded in a process of its own, with limits, before a worker does it.

A graph can be whole and within all bounds, and still take the process down that loads it: constants that grow when
they are folded, a loop without end in a golden row, a kernel that crashes. No thread can be stopped, and no
exception caught, that a native library is in. So what nobody has vouched for is loaded elsewhere first: who takes
too long or too much memory, or dies, is broken, and the workers never meet it.

``gates["trial"]`` of a manifest is a publisher's proof that this was done: it names the digests of the files that
were tried. It is as trustworthy as who may write to the repository; ``--trial all`` trusts nobody.

Workers of one server share what was found, by files in the state folder. One tries, the others wait for it. A good
end is remembered as long as the folder lives; a bad one only for those who waited, because another attempt may be
somebody's wish.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rapide.server.errors import BrokenVersion
from rapide.server.repository.files import exclusive_lock
from rapide.server.repository.layout import MODEL_FILE
from rapide.server.repository.snapshot import VersionEntry

GIB = 1024**3
UNPROVEN, ALL, NONE = "unproven", "all", "none"
_GROWTH = 4
"""What loading may take beside the fixed limit, in sizes of the version: the file, the parsed graph, its copy."""
_MAX_ANSWER_BYTES = 1 << 16
_MAX_LOG_BYTES = 1 << 20
_PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "HOME", "TMPDIR")
_FIXED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """``memory_bytes``: beside what the version's size calls for. ``time_s``: of the clock and the processor."""

    memory_bytes: int = 4 * GIB
    time_s: float = 30.0

    def memory_for(self, entry: VersionEntry) -> int:
        return self.memory_bytes + _GROWTH * entry.size_bytes


@dataclass(frozen=True, slots=True)
class TrialReport:
    """A trial that went well."""

    seconds: float
    peak_bytes: int


def try_version(
    entry: VersionEntry, limits: TrialLimits, options: Mapping[str, Any], variant: str = ""
) -> TrialReport:
    """Loads ``entry`` in a child process, with the session ``options`` of a worker. Blocking.

    Raises BrokenVersion, whose message says what happened, unless it loads and answers within ``limits``.
    """
    memory_bytes = limits.memory_for(entry)
    job = {
        "model": entry.model,
        "version": entry.version,
        "path": str(entry.model_path.absolute()),
        "has_manifest": entry.manifest is not None,
        "options": dict(options),
        "variant": variant,
        "memory_bytes": memory_bytes,
        "time_s": limits.time_s,
    }
    with tempfile.TemporaryFile() as log:
        ending = _run(job, limits.time_s, log)
        answer = ending.answer
        if answer is None and _has_no_memory(log):
            answer = {"memory": True}
    if answer is None:
        raise BrokenVersion(f"its trial {ending.why_silent(limits.time_s)}")
    if answer.get("memory"):
        raise BrokenVersion(
            f"its trial needed more than {memory_bytes / GIB:.1f} GiB of memory",
            hint="If the model is only big, raise --trial-memory-bytes.",
        )
    if "fault" in answer:
        raise BrokenVersion(str(answer["fault"]))
    return TrialReport(float(answer["seconds"]), int(answer["peak_bytes"]))


@dataclass(frozen=True, slots=True)
class _Ending:
    """``status`` as of ``Popen``; ``late``: it had to be stopped."""

    answer: dict[str, Any] | None
    status: int
    late: bool

    def why_silent(self, time_s: float) -> str:
        if self.late or self.status == -signal.SIGXCPU:
            return f"took longer than {time_s:g} s and was stopped"
        if self.status < 0:
            return f"was ended by {signal.Signals(-self.status).name} in the middle of the runtime"
        return f"ended with status {self.status} without an answer"


def _run(job: Mapping[str, Any], time_s: float, log: IO[bytes]) -> _Ending:
    reader, writer = os.pipe()
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "rapide.server.trial_child", str(writer)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            env={**{name: os.environ[name] for name in _PASSED_ON if name in os.environ}, **_FIXED},
            start_new_session=True,
        )
    except OSError as error:
        os.close(reader)
        raise BrokenVersion(f"its trial could not be started: {error.strerror}") from error
    finally:
        os.close(writer)
    late = False
    content = b""
    try:
        with contextlib.suppress(BrokenPipeError), child.stdin or contextlib.nullcontext() as stdin:
            if stdin is not None:
                stdin.write(json.dumps(job).encode() + b"\n")
        content, late = _read(reader, time.monotonic() + time_s)
        if not late:
            late = _outlives(child, 1.0) and not content
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return _Ending(_parsed(content), child.returncode, late)


def _read(reader: int, until_s: float) -> tuple[bytes, bool]:
    """What the child wrote until it closed its end, and whether that took too long."""
    os.set_blocking(reader, False)
    content = b""
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while len(content) <= _MAX_ANSWER_BYTES:
            left_s = until_s - time.monotonic()
            if left_s <= 0 or not selector.select(left_s):
                return b"", True
            chunk = os.read(reader, _MAX_ANSWER_BYTES)
            if not chunk:
                break
            content += chunk
    return content, False


def _outlives(child: subprocess.Popen[bytes], patience_s: float) -> bool:
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _parsed(content: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and len(content) <= _MAX_ANSWER_BYTES else None


def _has_no_memory(log: IO[bytes]) -> bool:
    log.seek(0)
    text = log.read(_MAX_LOG_BYTES)
    return any(words in text for words in (b"bad_alloc", b"MemoryError", b"Cannot allocate memory"))


class Trials:
    """Sees to it that a version was tried before this process loads it. Safe on several threads."""

    def __init__(
        self,
        which: str,
        limits: TrialLimits,
        folder: Path | None,
        *,
        attempt: Callable[..., TrialReport] = try_version,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``which``: unproven, all or none. ``folder``: shared by the workers; None: nothing is remembered."""
        self._which = which
        self._limits = limits
        self._folder = folder
        self._attempt = attempt
        self._clock = clock

    def ensure(self, entry: VersionEntry, options: Mapping[str, Any], variant: str = "") -> None:
        """Returns when the version may be loaded here. Blocking, for as long as a trial takes.

        Raises BrokenVersion, whose message says why it may not.
        """
        if self._which == NONE or (self._which == UNPROVEN and is_proven(entry, variant)):
            return
        if self._folder is None:
            self._attempt(entry, self._limits, options, variant)
            return
        asked_s = self._clock()
        path = self._folder / f"trial-{self._key(entry, options, variant)}.json"
        with exclusive_lock(path.with_suffix(".lock")):
            fault = self._remembered(path, asked_s)
            if fault is None:
                fault = self._try(entry, options, variant)
                path.write_text(json.dumps({"fault": fault, "at_s": self._clock()}), encoding="utf-8")
        if fault:
            raise BrokenVersion(fault)

    def _try(self, entry: VersionEntry, options: Mapping[str, Any], variant: str) -> str:
        try:
            self._attempt(entry, self._limits, options, variant)
        except BrokenVersion as error:
            return str(error)
        return ""

    def _remembered(self, path: Path, asked_s: float) -> str | None:
        """The fault that was found, empty for none; None where nothing is known that still counts."""
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return str(known["fault"]) if not known["fault"] or known["at_s"] >= asked_s else None

    def _key(self, entry: VersionEntry, options: Mapping[str, Any], variant: str) -> str:
        """Another file, place, option or limit is another trial."""
        what = [str(entry.model_path), entry.revision, entry.digest, dict(options), variant]
        return hashlib.sha256(json.dumps([*what, repr(self._limits)], default=str).encode()).hexdigest()[:32]


def is_proven(entry: VersionEntry, variant: str = "") -> bool:
    """Whether the publisher says that the file that would be loaded was tried."""
    manifest = entry.manifest
    if manifest is None:
        return False
    trial = manifest.gates.get("trial")
    tried = trial.get("sha256") if isinstance(trial, dict) else None
    file = next((each.file for each in manifest.variants if each.name == variant), MODEL_FILE)
    return isinstance(tried, list) and file in manifest.files and manifest.files[file].sha256 in tried
