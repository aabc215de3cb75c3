"""An installation without a C compiler succeeds, interpreted. With one: tests/integration/test_dockerfile.py."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_no_compiler_is_no_error(tmp_path: Path) -> None:
    """A build directory of its own: the checkout keeps none of it."""
    command = [sys.executable, "setup.py", "-q", "build", "-b", str(tmp_path), "bdist_wheel", "-d", str(tmp_path)]
    settings = {**os.environ, "CC": "/bin/false", "RAPIDE_COMPILE": ""}
    said = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert "not compiled and will be interpreted" in said.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "rapide/server/engine.py" in names
    assert not [name for name in names if name.endswith(".so")]
