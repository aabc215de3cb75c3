"""kill -9 at every step and at any moment: the repository reads clean, and the next writer works."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def killed(mode: str, work: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.server.repository.killed", mode, work, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert run.returncode == 0, run.stderr
    report: dict[str, Any] = json.loads(run.stdout)
    return report


@pytest.mark.parametrize(
    ("work", "outcomes", "least_steps"),
    [
        ("publish", ["2 versions, stable=None", "3 versions, stable=None"], 100),
        ("label", ["2 versions, stable=2", "2 versions, stable=None"], 30),
    ],
)
def test_killed_at_every_step(tmp_path: Path, work: str, outcomes: list[str], least_steps: int) -> None:
    """Before the decisive step nothing has happened, after it everything has; there is no third."""
    report = killed("steps", work, tmp_path)
    assert report["faults"] == []
    assert report["exit"] == 0
    assert report["outcomes"] == outcomes
    assert report["steps"] > least_steps


@pytest.mark.parametrize("work", ["publish", "label"])
def test_killed_at_any_moment(tmp_path: Path, work: str) -> None:
    assert killed("moments", work, tmp_path)["faults"] == []
