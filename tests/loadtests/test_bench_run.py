"""The benchmark itself, as short as it goes: everybody starts, answers rightly and is measured, part by part."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rapide.loadtests.bench.contestants import CONTESTANTS, SERVERS
from rapide.loadtests.bench.processes import ServerProcess, _descendants
from tests.alive import still_alive

pytestmark = pytest.mark.integration


def bench(kept: Path, *options: str, seconds: str = "0.2") -> tuple[dict[str, Any], str]:
    """The results and the page of a run with ``options``."""
    command = [sys.executable, "-m", "rapide.loadtests.bench", "--quick", "--seconds", seconds, *options]
    said = subprocess.run(
        [*command, "--json", str(kept)], capture_output=True, text=True, timeout=110, check=False
    )
    assert said.returncode == 0, said.stderr
    return json.loads(kept.read_text()), said.stdout


@pytest.mark.slow
def test_everybody_is_measured(tmp_path: Path) -> None:
    results, page = bench(tmp_path / "results.json", "--in-flight", "8", "--parts", "start", "closed", "open")
    everywhere = [contestant for contestant in CONTESTANTS if not contestant.only_in_flight]
    assert {entry["contestant"] for entry in results["closed"]} >= {each.name for each in everywhere}
    opened = {contestant.name for contestant in CONTESTANTS if contestant.is_in_open_loop}
    assert {entry["contestant"] for entry in results["open"]} == opened
    assert all(entry["requests_per_s"] > 10 for entry in results["closed"])
    assert all(entry["server_us"] >= 0 for entry in results["closed"])
    assert all(entry["failures"] == 0 for entry in results["open"])
    assert 0 < results["starts"][0]["ready_s"] < 30
    for contestant in everywhere:
        assert f"| {contestant.title} |" in page


@pytest.mark.slow
def test_the_larger_model_two_workers_and_a_crowd_are_measured(tmp_path: Path) -> None:
    results, page = bench(tmp_path / "results.json", "--parts", "larger", "workers", "crowd", seconds="0.5")
    assert [entry["how"] for entry in results["larger"]] == ["bare", "batches", "rows"]
    assert {(entry["model"], entry["workers"]) for entry in results["workers"]} == {
        ("mlp", 1), ("mlp", 2), ("logistic-regression", 1), ("logistic-regression", 2),
    }  # fmt: skip
    assert results["crowd"]["idle_answered_after"] == results["crowd"]["idle"] == 200
    assert "two workers on two cores against one, MLP, requests/s | " in page
    assert "## A crowd" in page


def test_a_server_runs_undisturbed_for_a_while(tmp_path: Path) -> None:
    """Every thread of it, and then none."""
    command = [
        sys.executable,
        "-c",
        "import threading, time; threading.Thread(target=time.sleep, args=(9,)).start()",
    ]
    with ServerProcess(command, tmp_path / "log") as server:
        pid = server.busiest()
        tasks = Path(f"/proc/{pid}/task")
        server.wait_until(lambda: len(list(tasks.iterdir())) == 2)
        try:
            with server.undisturbed():
                assert {os.sched_getscheduler(int(task.name)) for task in tasks.iterdir()} == {os.SCHED_RR}
        except PermissionError:
            pytest.skip("needs the right to real-time scheduling")
        assert {os.sched_getscheduler(int(task.name)) for task in tasks.iterdir()} == {os.SCHED_OTHER}


def test_a_paused_server_takes_no_processor_time_until_it_is_awake(tmp_path: Path) -> None:
    """With all its descendants."""
    forks = "import os, sys; os.fork(); open(sys.argv[1], 'w')\nwhile True: pass"
    with ServerProcess([sys.executable, "-c", forks, str(tmp_path / "ready")], tmp_path / "log") as server:
        server.wait_until((tmp_path / "ready").exists)
        server.pause()
        time.sleep(0.05)
        before_s = server.cpu_s()
        time.sleep(0.2)
        paused_s = server.cpu_s()
        with server.awake():
            time.sleep(0.3)
        awake_s = server.cpu_s()
        server.kill()
    assert paused_s == before_s
    assert awake_s > paused_s + 0.05


def test_a_paused_server_can_be_stopped(tmp_path: Path) -> None:
    with ServerProcess(["sleep", "60"], tmp_path / "log") as server:
        server.pause()
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 5


@pytest.mark.slow
def test_a_run_that_is_told_to_end_leaves_no_paused_server_behind() -> None:
    command = [sys.executable, "-m", "rapide.loadtests.bench", "--quick", "--parts", "closed"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr
        try:
            assert any("closed loops" in line for line in run.stderr)
            started = _descendants(run.pid)
            run.terminate()
            assert run.wait(60) == 128 + signal.SIGTERM
        finally:
            run.kill()
    assert len(started) > len(SERVERS)
    assert still_alive(started) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--parts", "open"], "--parts open needs closed too"),
        (["--parts", "larger", "--larger", "nowhere.onnx"], "nowhere.onnx"),
    ],
)
def test_what_cannot_be_run_is_said_at_once(options: list[str], said: str) -> None:
    command = [sys.executable, "-m", "rapide.loadtests.bench", *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0
    assert said in run.stderr
    assert "Traceback" not in run.stderr
