"""Locust's users against a real server, for some seconds: what passes, and what does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rapide.loadtests.users.curve import Curve
from rapide.profiles.arrivals import Arrivals
from rapide.profiles.synthetic import synthetic
from tests import models
from tests.serving import Served, serving

pytestmark = pytest.mark.integration
PASSED, MISSED, WRONG_USAGE = 0, 1, 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("locust")
    repository = models.repository(
        folder / "models", {"linear": {1: models.linear()}, "mixed": {1: models.mixed_columns()}}
    )
    with serving(repository, folder / "server.log") as served:
        yield served


def locust(server: Served, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of two seconds."""
    command = [sys.executable, "-m", "rapide.loadtests", "--host", server.http_url, "--grpc", server.grpc]
    more = ["--users", "3", "--spawn-rate", "100", "--run-time", "2s", "--stop-timeout", "5", *arguments]
    return subprocess.run([*command, *more], capture_output=True, text=True, timeout=60, check=False)


def test_all_users_together_meet_an_honest_objective(server: Served) -> None:
    said = locust(server, "--model", "linear", "--slo", "p99<2s,errors<0.1%,requests>10")
    assert said.returncode == PASSED, said.stdout + said.stderr
    assert "All hold" in said.stderr
    for name in ("linear (json)", "linear (binary)", "linear (grpc)"):
        assert name in said.stdout + said.stderr, "every kind of user sent something"


def test_users_follow_a_profile_and_end_with_it(server: Served, tmp_path: Path) -> None:
    """40 requests a second for 4 seconds."""
    path = tmp_path / "profile.json"
    path.write_bytes(synthetic("steady", model="linear", rate_per_s=40, duration_s=4).to_bytes())
    command = [sys.executable, "-m", "rapide.loadtests", "--host", server.http_url, "--model", "linear"]
    more = ["--usage-profile", str(path), "--slo", "errors<=0,requests>80,requests<220", "JsonUser"]
    said = subprocess.run([*command, *more], capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == PASSED, said.stdout + said.stderr


def test_users_come_as_the_profile_had_traffic() -> None:
    instants_s = np.sort(np.r_[np.linspace(0, 0.99, 12), np.linspace(2, 2.9, 100)])
    curve = Curve.of(Arrivals(instants_s, np.ones(112, np.int64)))
    assert [curve.at(time_s) for time_s in (0.0, 0.99, 1.5, 2.1, 3.0)] == [3, 3, 0, 20, None]


def test_an_objective_that_is_missed_is_the_exit_code(server: Served) -> None:
    said = locust(server, "--model", "linear", "--slo", "errors<0.1%,rps>1000000", "GrpcUser")
    assert said.returncode == MISSED, said.stdout + said.stderr
    assert "ok      errors<0.1%" in said.stderr
    assert "MISSED  rps>1000000" in said.stderr


def test_recorded_rows_of_text_and_numbers_are_sent(server: Served, tmp_path: Path) -> None:
    rows = tmp_path / "rows.npz"
    fuels = np.array([["diesel"], ["petrol"], ["coal"], ["electric"]])
    np.savez(rows, fuel=fuels, mileage=np.arange(4, dtype=np.float32).reshape(4, 1))
    said = locust(
        server,
        "--model",
        "mixed",
        "--rows-from",
        str(rows),
        "--rows",
        "2",
        "--user-keys",
        "5",
        "--slo",
        "errors<=0",
    )
    assert said.returncode == PASSED, said.stdout + said.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--slo", "p99<1s"], "--model NAME says which model"),
        (["--model", "linear", "--slo", "p99<1h"], "--slo: 'p99<1h'"),
        (["--model", "nope", "JsonUser"], "there is no model 'nope' here. Models here: linear, mixed."),
        (["--model", "nope", "GrpcUser"], "there is no model 'nope' here. Models here: linear, mixed."),
        (["--model", "linear", "--model-version", "7"], "model 'linear' has no version '7' here."),
        (["--model", "linear", "--host", "http://127.0.0.1:1"], "cannot reach http://127.0.0.1:1: "),
        (["--model", "linear", "--host", "127.0.0.1:1"], "cannot reach 127.0.0.1:1: "),
        (["--model", "linear", "--grpc", "127.0.0.1:1", "GrpcUser"], "cannot reach 127.0.0.1:1 over gRPC: "),
        (["--model", "linear", "--usage-profile", "/nowhere.json"], "/nowhere.json: cannot be read"),
        (["--model", "linear", "--rows-from", "/nowhere.npz"], "No such file or directory: '/nowhere.npz'"),
    ],
)
def test_what_cannot_run_is_said_in_one_line(server: Served, arguments: list[str], words: str) -> None:
    said = locust(server, *arguments)
    assert said.returncode == WRONG_USAGE
    ours = [line for line in said.stderr.splitlines() if line.startswith("rapide: ")]
    assert len(ours) == 1, said.stderr
    assert words in ours[0]
    assert "Traceback" not in said.stdout + said.stderr
    assert "Aggregated" not in said.stdout + said.stderr, "no empty tables"
