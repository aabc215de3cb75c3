"""The Dockerfile without Docker: its COPY and RUN lines are carried out in a folder, and what it starts is run.

The lines that install Debian packages and make a user need a root of their own; docs/guides/deploy.md tells how
they were run. The libraries are this environment's, so that nothing has to be downloaded twice.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from rapide.loadtests.bench.contestants import Ports, rapide_is_ready
from rapide.loadtests.bench.processes import ServerProcess
from rapide.server.settings import BY_NAME
from tests import models

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
NEEDS_A_ROOT_OF_ITS_OWN = "apt-get "


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction; continued lines are joined, comments left out."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """Of the exec form, if it is one."""
        listed = re.search(r"\[.*\]$", self.rest)
        found: list[str] = json.loads(listed.group()) if listed else shlex.split(self.rest)
        return found


def read() -> list[list[Instruction]]:
    """The Dockerfile's stages."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    stages: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            if word == "FROM":
                stages.append([])
            stages[-1].append(Instruction(word, rest))
    return stages


BUILD, FINAL = read()


def only(word: str) -> Instruction:
    (found,) = (instruction for instruction in FINAL if instruction.word == word)
    return found


def environment() -> dict[str, str]:
    """The ENV of the image."""
    return dict(word.split("=", 1) for word in only("ENV").words)


def copy_sources(target: Path) -> None:
    """What COPY brings into the build, as far as .dockerignore lets it."""
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for instruction in BUILD:
        if instruction.word != "COPY":
            continue
        *sources, goal = instruction.words
        for source in sources:
            assert source in let_in, f".dockerignore keeps {source} out"
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, target / goal, symlinks=True, ignore=ignored)
            else:
                shutil.copy(ROOT / source, target / goal)


def run_lines(folder: Path, prefix: Path) -> None:
    """The build stage's RUN lines, with /opt/rapide at ``prefix``."""
    settings = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_NO_DEPS": "1",
        "PIP_QUIET": "1",
    }
    commands = [item.rest for item in BUILD if item.word == "RUN" and NEEDS_A_ROOT_OF_ITS_OWN not in item.rest]
    assert commands
    for command in commands:
        text = command.replace("/opt/rapide", str(prefix))
        said = subprocess.run(
            ["sh", "-ec", text], cwd=folder, env=settings, capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, f"{command}\n{said.stdout}{said.stderr}"


@pytest.mark.slow
def test_the_image_is_built_and_serves(tmp_path: Path) -> None:
    sources, prefix = tmp_path / "src", tmp_path / "opt"
    sources.mkdir()
    copy_sources(sources)
    run_lines(sources, prefix)
    assert not (prefix / "bin" / "pip").exists()

    ports = Ports()
    repository = models.repository(tmp_path / "models", {"linear": {1: models.linear()}})
    settings = {
        **environment(),
        "PATH": environment()["PATH"].replace("/opt/rapide", str(prefix)).replace("$PATH", os.environ["PATH"]),
        "PYTHONPATH": sysconfig.get_paths()["purelib"],  # the libraries that were not installed again
        "RAPIDE_MODELS": str(repository),
        "RAPIDE_HOST": "127.0.0.1",
        "RAPIDE_HTTP_PORT": str(ports.http),
        "RAPIDE_GRPC_PORT": str(ports.grpc),
        "RAPIDE_METRICS_PORT": str(ports.metrics),
        "RAPIDE_GRACE_S": "0",
    }
    program, *arguments = [*only("ENTRYPOINT").words, *only("CMD").words]
    installed = prefix / "bin" / program
    with ServerProcess([str(installed), *arguments], tmp_path / "log", settings) as server:
        server.wait_until(lambda: rapide_is_ready(ports))
        for page in ("/", "/docs", "/openapi.json"):  # files beside the code, which a package can forget
            with urllib.request.urlopen(f"http://127.0.0.1:{ports.http}{page}", timeout=10) as answer:
                assert answer.status == 200
        health = only("HEALTHCHECK").words
        assert subprocess.run(health, env=settings, check=False).returncode == 0
        server.stop()
        failed = subprocess.run(health, env=settings, stderr=subprocess.DEVNULL, check=False)
        assert failed.returncode == 1, "a server that is gone is not healthy"


def test_the_image_runs_as_nobody_in_particular() -> None:
    user = only("USER").rest
    assert user.isdigit(), "Kubernetes' runAsNonRoot needs a number"
    assert int(user) >= 10_000
    useradd = next(item.rest for item in FINAL if item.word == "RUN")
    assert f"--uid {user} " in useradd
    order = [instruction.word for instruction in FINAL]
    assert order.index("USER") > order.index("COPY"), "the server cannot change its own program"


def test_every_setting_that_the_image_makes_exists() -> None:
    made = {name for name in environment() if name.startswith("RAPIDE_")}
    assert made <= {spec.variable for spec in BY_NAME.values()}


def test_nothing_of_the_build_stays_behind() -> None:
    for instruction in (*BUILD, *FINAL):
        if "apt-get install" in instruction.rest:
            assert "--no-install-recommends" in instruction.rest
            assert "rm -rf /var/lib/apt/lists/*" in instruction.rest
