from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

from rapide.server.errors import Conflict, RepositoryError
from rapide.server.repository.activation_log import append, read_log
from rapide.server.repository.activations import Activation, ActivationLog, LabelTarget, labels_at
from tests.server.repository.examples import START


def change(version: int, model: str = "car-price") -> Activation:
    return Activation(START, model, {"stable": LabelTarget(version)}, who="ann")


def changed(version: int, _log: ActivationLog) -> Activation:
    return change(version)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "car-price").mkdir()
    return tmp_path / "car-price"


def test_no_log_is_an_empty_log(folder: Path) -> None:
    assert read_log(folder) == ActivationLog()


def test_lines_are_added_and_none_is_touched(folder: Path) -> None:
    path = folder / "activations.jsonl"
    for version in (1, 2, 3):
        before = path.read_bytes() if path.exists() else b""
        append(folder, partial(changed, version))
        assert path.read_bytes().startswith(before)
    assert [entry.labels["stable"].version for entry in read_log(folder).entries] == [1, 2, 3]


def test_a_refused_change_writes_nothing(folder: Path) -> None:
    append(folder, lambda log: change(1))
    before = (folder / "activations.jsonl").read_bytes()

    def refuse(log: ActivationLog) -> Activation:
        raise Conflict(f"after {len(log.entries)} entries")

    with pytest.raises(Conflict, match="after 1 entries"):
        append(folder, refuse)
    assert (folder / "activations.jsonl").read_bytes() == before


@pytest.mark.parametrize("torn", [b"{", b'{"schema": 1, "time"', change(9).to_line()[:-1]])
def test_after_a_torn_line_the_next_one_is_whole(folder: Path, torn: bytes) -> None:
    path = folder / "activations.jsonl"
    path.write_bytes(change(1).to_line() + torn)
    append(folder, lambda log: change(2))
    log = read_log(folder)
    assert log.entries[-1] == change(2)
    assert labels_at(log.entries) == {"stable": LabelTarget(2)}
    assert path.read_bytes().startswith(change(1).to_line() + torn + b"\n")


def test_a_full_disk_leaves_the_log_as_it_was(folder: Path) -> None:
    """A limit on the file's length cuts the write short, as a full disk does."""
    for version in range(1, 5):
        append(folder, partial(changed, version))
    path = folder / "activations.jsonl"
    before = path.read_bytes()
    script = f"""
        import resource, signal
        from pathlib import Path
        from rapide.server.errors import RepositoryError
        from rapide.server.repository.activation_log import append
        from tests.server.repository.test_activation_log import change
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 20}, {resource.RLIM_INFINITY}))
        try:
            append(Path({str(folder)!r}), lambda log: change(9))
        except RepositoryError as error:
            print(error)
    """
    assert "the labels of car-price could not be changed: " in _python(script)
    assert path.read_bytes() == before


@pytest.mark.parametrize("trap", ["folder", "link", "pipe"])
def test_what_is_no_log_is_not_written_to(folder: Path, trap: str) -> None:
    path = folder / "activations.jsonl"
    elsewhere = folder.parent / "elsewhere"
    elsewhere.write_text("precious")
    if trap == "folder":
        path.mkdir()
    elif trap == "link":
        path.symlink_to(elsewhere)
    else:
        os.mkfifo(path)
    with pytest.raises(RepositoryError, match="could not be changed"):
        append(folder, lambda log: change(1))
    assert elsewhere.read_text() == "precious"


def test_concurrent_writers_each_see_the_lines_before_theirs(folder: Path) -> None:
    """Every writer logs one more than the last version that it saw: any lost or mixed line breaks the count."""
    writers, turns = 4, 25
    script = f"""
        from pathlib import Path
        from rapide.server.repository.activation_log import append
        from tests.server.repository.test_activation_log import change
        for _ in range({turns}):
            append(
                Path({str(folder)!r}),
                lambda log: change(log.entries[-1].labels["stable"].version + 1 if log.entries else 1),
            )
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    children = [subprocess.Popen(command) for _ in range(writers)]
    assert [child.wait(60) for child in children] == [0] * writers
    log = read_log(folder)
    assert not log.problems
    assert [entry.labels["stable"].version for entry in log.entries] == list(range(1, writers * turns + 1))


def _python(script: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
