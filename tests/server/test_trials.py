"""Versions are tried in a process with limits: what a model does there ends there, in words, in bounded time."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rapide.server.errors import BrokenVersion
from rapide.server.model.session import SessionOptions
from rapide.server.repository.manifest import FileRecord, Manifest
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.signature import Signature
from rapide.server.trials import ALL, GIB, NONE, UNPROVEN, TrialLimits, TrialReport, Trials, is_proven, try_version
from tests import models
from tests.hostile_models import ATTACKS, IN_THE_RUNTIME, Attack

OPTIONS = dataclasses.asdict(SessionOptions())
LIMITS = TrialLimits(memory_bytes=2 * GIB, time_s=4.0)
START_S = 10.0
"""Of a process on a busy machine, beside the limit."""


def entry_of(path: Path, revision: str = "r", manifest: Manifest | None = None) -> VersionEntry:
    return VersionEntry(
        "m", 1, path, manifest, manifest.digest if manifest else None, revision, path.stat().st_size
    )


@pytest.fixture
def wholesome(tmp_path: Path) -> VersionEntry:
    return entry_of(models.save(models.linear(), tmp_path / "m" / "1" / "model.onnx"))


def test_a_good_model_is_loaded_and_measured(wholesome: VersionEntry) -> None:
    report = try_version(wholesome, LIMITS, OPTIONS)
    assert 0 < report.seconds < LIMITS.time_s
    assert 10e6 < report.peak_bytes < GIB


@pytest.mark.parametrize("attack", [*IN_THE_RUNTIME, *ATTACKS[:1]], ids=lambda attack: attack.name)
def test_what_a_hostile_model_does_ends_there(tmp_path: Path, attack: Attack) -> None:
    attack.write(tmp_path)
    begun_s = time.monotonic()
    with pytest.raises(BrokenVersion, match=attack.says):
        try_version(entry_of(tmp_path / "model.onnx"), LIMITS, OPTIONS)
    assert time.monotonic() - begun_s < LIMITS.time_s + START_S


def test_a_model_that_is_gone(tmp_path: Path) -> None:
    entry = VersionEntry("m", 1, tmp_path / "model.onnx", None, None, "r", 0)
    with pytest.raises(BrokenVersion, match=r"model\.onnx cannot be read"):
        try_version(entry, LIMITS, OPTIONS)


class Attempts:
    """A stand-in for ``try_version`` that counts, and fails while there are ``faults`` left."""

    def __init__(self, faults: list[str] | None = None, takes_s: float = 0.0) -> None:
        self.faults = faults or []
        self.count = 0
        self._takes_s = takes_s

    def __call__(
        self, entry: VersionEntry, limits: TrialLimits, options: Mapping[str, Any], variant: str
    ) -> TrialReport:
        self.count += 1
        time.sleep(self._takes_s)
        if self.faults:
            raise BrokenVersion(self.faults.pop())
        return TrialReport(0.1, 1)


class Clock:
    """Tells ``now_s``, which tests move."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        self.now_s += 1
        return self.now_s


def trials(folder: Path | None, attempts: Attempts, which: str = UNPROVEN) -> Trials:
    return Trials(which, LIMITS, folder, attempt=attempts, clock=Clock())


def test_a_good_end_is_remembered_for_the_same_file(tmp_path: Path, wholesome: VersionEntry) -> None:
    attempts = Attempts()
    for _ in range(2):  # two workers, or the same again
        trials(tmp_path, attempts).ensure(wholesome, OPTIONS)
    assert attempts.count == 1
    trials(tmp_path, attempts).ensure(dataclasses.replace(wholesome, revision="rewritten"), OPTIONS)
    trials(tmp_path, attempts).ensure(wholesome, {**OPTIONS, "graph_level": "off"})
    trials(tmp_path, attempts).ensure(wholesome, OPTIONS, "int8")
    assert attempts.count == 4


def test_a_bad_end_is_not_for_who_asks_later(tmp_path: Path, wholesome: VersionEntry) -> None:
    attempts = Attempts(faults=["it crashed"])
    asked = trials(tmp_path, attempts)
    with pytest.raises(BrokenVersion, match="it crashed"):
        asked.ensure(wholesome, OPTIONS)
    asked.ensure(wholesome, OPTIONS)
    assert attempts.count == 2


def test_who_waited_gets_the_answer_that_the_others_got(tmp_path: Path, wholesome: VersionEntry) -> None:
    attempts = Attempts(faults=["it crashed", "and again"], takes_s=0.5)
    asked = Trials(UNPROVEN, LIMITS, tmp_path, attempt=attempts)
    faults = []

    def ask() -> None:
        with pytest.raises(BrokenVersion) as error:
            asked.ensure(wholesome, OPTIONS)
        faults.append(error.value.message)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == ["and again"] * 4
    assert attempts.count == 1


def test_without_a_folder_nothing_is_remembered(wholesome: VersionEntry) -> None:
    attempts = Attempts()
    for _ in range(2):
        trials(None, attempts).ensure(wholesome, OPTIONS)
    assert attempts.count == 2


def manifest_of(path: Path, gates: dict[str, Any]) -> Manifest:
    content = path.read_bytes()
    record = FileRecord(hashlib.sha256(content).hexdigest(), len(content))
    return Manifest(
        model="m",
        version=1,
        created="2026-11-20T10:00:00Z",
        files={"model.onnx": record},
        signature=Signature((), (), batchable=False),
        gates=gates,
    )


@pytest.mark.parametrize(
    ("gates", "proven"),
    [
        ({"trial": {"sha256": ["SELF"]}}, True),
        ({"trial": {"sha256": ["another"]}}, False),
        ({"trial": {"sha256": "SELF"}}, False),
        ({"trial": "passed"}, False),
        ({}, False),
    ],
)
def test_a_proof_is_of_the_very_file(wholesome: VersionEntry, gates: dict[str, Any], proven: bool) -> None:
    sha256 = hashlib.sha256(wholesome.model_path.read_bytes()).hexdigest()
    trial = gates.get("trial")
    if isinstance(trial, dict) and isinstance(trial["sha256"], list):
        gates = {"trial": {"sha256": [sha256 if each == "SELF" else each for each in trial["sha256"]]}}
    entry = entry_of(wholesome.model_path, manifest=manifest_of(wholesome.model_path, gates))
    assert is_proven(entry) is proven
    for which, count in ((UNPROVEN, int(not proven)), (ALL, 1), (NONE, 0)):
        attempts = Attempts()
        trials(None, attempts, which).ensure(entry, OPTIONS)
        assert attempts.count == count
