"""The supervisor and the short commands import this package: it must stay free of what is slow to load."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = ("local", "publisher", "plan", "digest", "history", "labels", "policy")
HEAVY = ("numpy", "onnxruntime", "onnx", "rich", "orjson", "google.protobuf", "asyncio")


@pytest.mark.parametrize("module", MODULES)
def test_nothing_heavy_is_imported(module: str) -> None:
    script = (
        f"import sys, rapide.server.repository.{module}; "
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )  # fmt: skip
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
