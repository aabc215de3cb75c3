"""The fuzz target itself: good seeds, a short run of each target, and that it would notice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import codecs_fuzz

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", codecs_fuzz.TARGETS)
def test_seeds_are_accepted(name: str) -> None:
    for seed in codecs_fuzz.seeds()[name]:
        if b'"b64"' not in seed:  # that one is for the codec without features
            assert codecs_fuzz.try_one(codecs_fuzz.TARGETS[name], seed), seed


@pytest.mark.parametrize("name", codecs_fuzz.TARGETS)
def test_truncated_seeds_are_answered_properly(name: str) -> None:
    for seed in codecs_fuzz.seeds()[name]:
        for length in range(len(seed)):
            codecs_fuzz.try_one(codecs_fuzz.TARGETS[name], seed[:length])


@pytest.mark.parametrize("name", codecs_fuzz.TARGETS)
def test_changed_seeds_are_answered_properly(name: str) -> None:
    assert codecs_fuzz.fuzz(name, Random(20261123), runs=3000) == 3000


def test_it_notices_what_it_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        raise IndexError("list index out of range")

    monkeypatch.setattr(codecs_fuzz, "TARGETS", {"byte_strings": broken})
    with pytest.raises(AssertionError, match=r"target byte_strings on b'.*IndexError"):
        codecs_fuzz.fuzz("byte_strings", Random(1), runs=1)


def test_it_runs_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert codecs_fuzz.main(["byte_strings", "--seconds", "0.05", "--seed", "1"]) == 0
    assert "none of which raised anything but a RapideError" in capsys.readouterr().out


def test_atheris_runs_it_too(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.codecs_fuzz",
        "--atheris",
        str(tmp_path / "corpus"),
        f"-artifact_prefix={tmp_path}/",
        "-runs=3000",
    ]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "DONE" in done.stderr or "Done" in done.stderr
