"""``rapide tune`` and its neighbours where the disk is full, and told to end while they work."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rapide.profiles.synthetic import synthetic
from tests import models
from tests.serving import Served, serving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``idle`` is never asked."""
    published = {"m": {1: models.linear()}, "idle": {1: models.linear()}}
    return models.repository(tmp_path_factory.mktemp("models"), published)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "profile.json"
    path.write_bytes(synthetic("steady", model="m", rate_per_s=200, duration_s=4).to_bytes())
    return path


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A small disk with a few bytes of room."""
    folder = tmp_path / "full"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("nobody may mount here")
    try:
        (folder / "filling").write_bytes(bytes(12_288))
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def rapide(*arguments: object, longest_file: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """``longest_file``: longer ones are refused, as a full disk refuses; 0 is no limit."""
    limit: Callable[[], None] | None = None
    if longest_file:
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (longest_file, longest_file))  # noqa: E731
    return subprocess.run(
        [sys.executable, "-m", "rapide", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
        preexec_fn=limit,
    )


def tuning(root: Path, profile: Path, folder: Path) -> list[str]:
    return ["tune", str(root), "m", "--profile", str(profile), "--slo", "p99<50ms", "--tuning", str(folder)]


def test_no_room_for_what_was_learnt(root: Path, profile: Path, full: Path) -> None:
    found = rapide(*tuning(root, profile, full), "--quick")
    assert found.returncode == 1
    assert "learnt.json cannot be written: No space left on device" in found.stderr
    assert "Make room there, or name another folder with --tuning" in found.stderr
    assert not list(full.rglob(".*")), "no half of a file stays"


def test_no_room_among_the_temporary_files(root: Path, profile: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    found = rapide(*tuning(root, profile, tmp_path), "--quick", longest_file=20_000, TMPDIR=str(work))
    assert found.returncode == 1
    assert f"{work}, for temporary files, cannot be written to: File too large" in found.stderr
    assert "TMPDIR=" in found.stderr
    assert not list(work.iterdir())


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(root, tmp_path_factory.mktemp("server") / "log", "--tuning", "off") as served:
        yield served


def test_a_profile_without_a_request_is_refused(server: Served, root: Path, tmp_path: Path) -> None:
    saved = tmp_path / "p.json"
    assert rapide("profile", server.metrics_url.removesuffix("/metrics"), "--save", saved).returncode == 0
    found = rapide("tune", root, "idle", "--profile", saved, "--slo", "p99<5ms", "--tuning", tmp_path)
    assert found.returncode == 1
    assert "expected at least 1 recorded arrival to replay, got 0" in found.stderr


def test_no_room_for_a_profile_or_its_page(server: Served, tmp_path: Path) -> None:
    url = server.metrics_url.removesuffix("/metrics")
    for option, name in (("--save", "p.json"), ("--html", "p.html")):
        found = rapide("profile", url, option, tmp_path / name, longest_file=100)
        assert found.returncode == 1
        assert f"{name} was not written: " in found.stderr
        assert "File too large" in found.stderr
    assert not list(tmp_path.iterdir())
    missing = rapide("profile", url, "--save", tmp_path / "no" / "p.json")
    assert "there is no folder" in missing.stderr


def test_no_room_for_what_a_replay_found_hides_nothing_of_it(
    server: Served, profile: Path, tmp_path: Path
) -> None:
    arguments = ("replay", profile, f"grpc://{server.grpc}", "--speed", "4x", "--json")
    kept = ("--save", tmp_path / "a.npz", "--html", tmp_path / "a.html")
    found = rapide(*arguments, *kept, longest_file=15_000)  # enough for the figures of 800 requests, and no more
    assert found.returncode == 1
    assert json.loads(found.stdout)["answered"] > 700
    assert "a.html was not written" in found.stderr
    assert "File too large" in found.stderr
    assert not (tmp_path / "a.html").exists()
    assert not list(tmp_path.glob(".*"))
    none = rapide(*arguments, longest_file=5000)
    assert none.returncode == 1
    assert "no room for" in none.stderr
    assert "TMPDIR=" in none.stderr


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where one tuning leaves what it measured, and the next one goes on from there."""
    return tmp_path_factory.mktemp("kept")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_end_in_the_midst_of_a_replay(
    number: signal.Signals, code: int, root: Path, profile: Path, kept: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, "-m", "rapide", *tuning(root, profile, kept), "--quick"]
    process = subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(work)}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        until_s = time.monotonic() + 60
        while not _generators(process.pid) and time.monotonic() < until_s:
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code, said
    assert "what was measured is kept in" in said
    assert json.loads(next(kept.glob("*/*.learnt.json")).read_text())["curves"]
    assert not list(work.iterdir())
    assert not [words for words in _processes().values() if str(work) in words[1]]


def _processes() -> dict[int, tuple[int, str]]:
    """Living processes: their parent and command line."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # one that has ended
            continue
        found[int(entry.name)] = (parent, words)
    return found


def _generators(pid: int) -> list[int]:
    return [child for child, (parent, words) in _processes().items() if parent == pid and "replay.sender" in words]
