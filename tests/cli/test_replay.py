"""``rapide replay`` as its users call it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rapide.profiles.synthetic import synthetic
from tests import models
from tests.serving import Served, serving

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("replay")
    repository = models.repository(folder / "models", {"linear": {1: models.linear()}})
    with serving(repository, folder / "server.log") as served:
        yield served


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "profile.json"
    path.write_bytes(synthetic("steady", model="linear", rate_per_s=100, duration_s=2).to_bytes())
    return path


def rapide(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rapide", "replay", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_profile_is_replayed_judged_reported_and_compared(server: Served, profile: Path, tmp_path: Path) -> None:
    saved, page = tmp_path / "a.npz", tmp_path / "report.html"
    url = f"grpc://{server.grpc}"
    first = rapide(profile, url, "--slo", "p99<5s,errors<=0", "--save", saved, "--html", page, "--speed", "2x")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "ok      p99<5s" in first.stdout
    assert "<svg" in page.read_text()
    second = rapide(profile, url, "--against", saved, "--speed", "2", "--json", "--slo", "p50<1us")
    assert second.returncode == 1
    document = json.loads(second.stdout)
    assert document["answered"] == document["requests"] == document["against"]["pairs"]
    assert document["duration_s"] == pytest.approx(1.0, abs=0.15)
    assert document["objectives"][0]["holds"] is False


def test_two_hosts_share_a_replay(server: Served, profile: Path, tmp_path: Path) -> None:
    start_at = datetime.now(UTC) + timedelta(seconds=6)
    command = [sys.executable, "-m", "rapide", "replay", str(profile), f"grpc://{server.grpc}"]
    parts = [tmp_path / "a.npz", tmp_path / "b.npz"]
    hosts = [
        subprocess.Popen(
            [*command, "--part", f"{number}/2", "--start-at", f"{start_at:%H:%M:%S.%f}", "--save", str(part)]
        )
        for number, part in enumerate(parts, start=1)
    ]
    assert [host.wait(30) for host in hosts] == [0, 0]
    whole = rapide("merge", *parts, "--json", "--slo", "requests>190")
    assert whole.returncode == 0, whole.stdout + whole.stderr
    document = json.loads(whole.stdout)
    assert document["answered"] == document["requests"]
    assert document["duration_s"] == pytest.approx(2.0, abs=0.2)
    assert len(document["generator_busy"]) == 2


def test_what_a_server_has_recorded_is_replayed_without_a_file(server: Served, profile: Path) -> None:
    assert rapide(profile, f"grpc://{server.grpc}", "--duration", "0.5").returncode == 0
    said = rapide(server.http_url, f"grpc://{server.grpc}", "--duration", "0.5", "--json")
    assert said.returncode == 0, said.stdout + said.stderr
    assert json.loads(said.stdout)["answered"] > 10


@pytest.mark.parametrize("protocol", ["json", "binary"])
def test_a_twin_over_http(server: Served, profile: Path, protocol: str) -> None:
    said = rapide(
        profile, server.http_url, "--protocol", protocol, "--twin", "--duration", 1, "--rate", 300, "--json"
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert json.loads(said.stdout)["answered"] == pytest.approx(300, rel=0.25)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nope"], "the profile does not know model 'nope'"),
        (["--slo", "p99<1h"], "--slo: "),
        (["--speed", "fast"], "--speed: 'fast' is no speed"),
        (["--rate", "5"], "--rate belongs to a twin"),
        (["--against", "/nowhere.npz"], "/nowhere.npz"),
        (["--rows-from", "other=rows.npz"], "'other' is not replayed"),
        (["--rows-from", "/nowhere.npz"], "no request can be made for 'linear'"),
        (["--part", "3/2"], "there is no part 3 of 2"),
        (["--part", "half"], "--part: 'half' is no part"),
        (["--start-at", "noon"], "--start-at: 'noon' is no time"),
        (["--start-at", "2020-01-01T00:00:00Z"], "after the instant at which it was to start"),
        (["grpc://other:8001"], "expected one server, got 2"),
        (["--processes", "0"], "processes must be a number above 0"),
        (["--skip-idle", "-1"], "skip_idle_s must be a number that is not below 0"),
        (["--twin", "--rate", "1e12"], "expected at most 20,000,000 requests"),
    ],
)
def test_what_cannot_be_replayed_is_said(server: Served, profile: Path, arguments: list[str], words: str) -> None:
    said = rapide(profile, f"grpc://{server.grpc}", *arguments)
    assert said.returncode == 1
    assert words in said.stderr
    assert "Traceback" not in said.stderr


def test_models_and_servers_that_are_not_there(server: Served, profile: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(synthetic("steady", model="other", rate_per_s=10, duration_s=2).to_bytes())
    assert "there is no model 'other' here" in rapide(other, f"grpc://{server.grpc}").stderr
    assert "cannot reach" in rapide(profile, "http://127.0.0.1:1").stderr
    assert "cannot be read" in rapide(tmp_path / "none.json", f"grpc://{server.grpc}").stderr
    (tmp_path / "empty.json").write_text("")
    assert "empty file" in rapide(tmp_path / "empty.json", f"grpc://{server.grpc}").stderr


def test_ctrl_c_reports_what_was_measured(server: Served, tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_bytes(synthetic("steady", model="linear", rate_per_s=50, duration_s=60).to_bytes())
    command = [sys.executable, "-m", "rapide", "replay", str(path), f"grpc://{server.grpc}", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    document = json.loads(said)
    assert document["stopped"] == "interrupted"
    assert document["answered"] > 0
    assert document["not_sent"] > 1000
