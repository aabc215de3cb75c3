"""The benchmark itself, as short as it goes: everybody starts, answers rightly and is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rapide.loadtests.bench.contestants import CONTESTANTS

pytestmark = pytest.mark.integration


def test_everybody_is_measured(tmp_path: Path) -> None:
    kept = tmp_path / "results.json"
    command = [sys.executable, "-m", "rapide.loadtests.bench", "--quick", "--seconds", "0.2", "--in-flight", "8"]
    said = subprocess.run(
        [*command, "--json", str(kept)], capture_output=True, text=True, timeout=110, check=False
    )
    assert said.returncode == 0, said.stderr
    results = json.loads(kept.read_text())
    names = {contestant.name for contestant in CONTESTANTS}
    assert {entry["contestant"] for entry in results["closed"]} == names
    assert {entry["contestant"] for entry in results["open"]} == names
    assert all(entry["requests_per_s"] > 10 for entry in results["closed"])
    assert all(entry["failures"] == 0 for entry in results["open"])
    assert 0 < results["starts"][0]["ready_s"] < 30
    for contestant in CONTESTANTS:
        assert f"| {contestant.title} |" in said.stdout
