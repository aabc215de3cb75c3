"""Where a benchmark ran: without it a figure means nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sysconfig
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

PACKAGES = (
    "rapide",
    "onnxruntime",
    "numpy",
    "grpcio",
    "protobuf",
    "uvicorn",
    "starlette",
    "httptools",
    "uvloop",
    "orjson",
)
TOOLS = {"h2load": ["h2load", "--version"], "wrk": ["wrk", "--version"]}


def describe() -> dict[str, str | int | float]:
    """The machine, now. ``load_before`` is the one-minute load average: above 0.5 something else was running."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "system": _system(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Everything whose release changes the figures."""
    found = {"python": f"{platform.python_version()} ({_build()})"}
    found.update({name: metadata.version(name) for name in PACKAGES})
    found["rapide"] += f" ({_hot_path()})"
    found.update({name: _tool(command) for name, command in TOOLS.items()})
    return found


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    release = Path("/etc/os-release")
    if release.exists():
        for line in release.read_text().splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip('"')
    return platform.system()


def _build() -> str:
    """Whether this interpreter was built for speed: distributions do, a plain ``make`` does not."""
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return "optimised build" if optimised else "plain build"


def _hot_path() -> str:
    """Whether the server's hot path runs as C, as an ordinary installation makes it where it can (setup.py)."""
    engine = find_spec("rapide.server.engine")
    is_source = engine is None or str(engine.origin).endswith(".py")
    return "interpreted hot path" if is_source else "compiled hot path"


def _tool(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return "not installed"
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    version = re.search(r"\d+\.\d+[\w.-]*", said.stdout + said.stderr)
    return version.group() if version else "of an unknown version"
