"""``scripts/demo --check``, as a newcomer runs it, but with the packages of this environment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import astuple
from pathlib import Path

import pytest

from demo.server import HOST, NotServing, Server, free_ports
from tests.alive import still_alive
from tests.integration.server_process import children_of
from tests.models import linear, repository

ROOT = Path(__file__).parents[2]
RAPIDE = Path(sys.executable).with_name("rapide")


@pytest.mark.integration
@pytest.mark.slow
def test_the_demonstration_checks_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "demo", "--check", "--folder", tmp_path],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("→") == 8, "two calls for each of the four models"
    assert "Every call got the answer of the original model" in done.stdout
    manifests = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("models/*/*/manifest.json"))]
    assert [(each["model"], each["version"]) for each in manifests] == [
        ("breast-cancer", 1),
        ("car-price", 1),
        ("car-price", 2),
        ("diabetes", 1),
        ("digits", 1),
    ]
    cars = manifests[1]
    assert "GENERATED" in cars["description"]
    assert "no real cars" in cars["lineage"]["data_origin"]


@pytest.mark.integration
@pytest.mark.slow
def test_one_that_is_told_to_end_takes_its_server_along(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "demo", "--folder", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert any("Press Ctrl-C to stop." in line for line in demo.stdout)
        servers = children_of(demo.pid)
        demo.terminate()
        assert demo.wait(60) == 128 + signal.SIGTERM
    assert servers
    assert still_alive(servers) == []


@pytest.mark.integration
def test_the_server_is_ready_inside_and_stopped_in_order_after(tmp_path: Path) -> None:
    models = repository(tmp_path / "models", {"subject": {1: linear()}})
    ports = free_ports()
    with Server(RAPIDE, models, ports, tmp_path / "serve.log"):
        with urllib.request.urlopen(f"http://{HOST}:{ports.http}/v2/models/subject") as answer:
            assert json.load(answer)["name"] == "subject"
        assert set(astuple(free_ports())).isdisjoint(astuple(ports)), "the same ports are not offered again"
    assert "stopped" in (tmp_path / "serve.log").read_text()


@pytest.mark.integration
def test_a_server_that_does_not_start_is_told_with_its_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(NotServing, match=r"did not become ready(.|\n)*nowhere"),
        Server(RAPIDE, tmp_path / "nowhere", free_ports(), tmp_path / "serve.log"),
    ):
        pytest.fail("it serves what is not there")
