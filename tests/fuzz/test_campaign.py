"""The campaign itself: that it would notice, and its ways to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import campaign
from tests.fuzz.campaign import Target, fuzz, main

ROOT = Path(__file__).resolve().parents[2]


def fails(data: bytes) -> None:
    raise IndexError("list index out of range")


def test_it_notices_an_exception() -> None:
    with pytest.raises(AssertionError, match=r"target broken on b'.*IndexError"):
        fuzz(Target("broken", fails, [b"seed"]), Random(1), runs=1)


def test_it_notices_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "MAX_CPU_S", 0.0)
    with pytest.raises(AssertionError, match=r"target slow took .* s on b'"):
        fuzz(Target("slow", lambda data: sum(range(10_000)), [b"seed"]), Random(1), runs=1)


def test_it_notices_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "MAX_GROWTH_BYTES", 16 << 20)
    kept: list[bytes] = []
    with pytest.raises(AssertionError, match="target leak grew by"):
        fuzz(Target("leak", lambda data: kept.append(b"x" * 10_000), [b"seed"]), Random(1), runs=10_000)


def test_it_runs_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    target = Target("quick", len, [b"seed"], lambda random: random.randbytes(4))
    assert main("…", [target], ["quick", "--seconds", "0.05", "--seed", "1"]) == 0
    assert "none of which did what it must not" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["codecs_fuzz", "http2_fuzz"])
def test_atheris_runs_it_too(module: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    command = [
        sys.executable,
        "-m",
        f"tests.fuzz.{module}",
        "--atheris",
        str(tmp_path / "corpus"),
        f"-artifact_prefix={tmp_path}/",
        "-runs=300",
    ]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "DONE" in done.stderr or "Done" in done.stderr
