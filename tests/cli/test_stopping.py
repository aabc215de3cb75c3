"""A real command, told to end while it works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression

from rapide.cli.stopping import EXIT_TERMINATED, cleared_away
from tests.converters.material import floats, saved, two_classes


def test_sigterm_leaves_no_folder_and_no_process_behind(tmp_path: Path) -> None:
    frame = floats()
    model, sample = saved(tmp_path, LogisticRegression(), frame, two_classes(frame))
    work = tmp_path / "work"
    work.mkdir()
    command = [
        *(sys.executable, "-m", "rapide", "convert", str(model), "--name", "subject"),
        *("--sample", str(sample), "--to", str(tmp_path / "models")),
    ]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(work)}, stderr=subprocess.DEVNULL) as process:
        deadline_s = time.monotonic() + 30
        while not list(work.glob("rapide-convert-*/original.json")) and time.monotonic() < deadline_s:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == EXIT_TERMINATED
    assert not list(work.iterdir())
    assert not _working_in(work)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_afterwards_a_signal_means_what_it_meant(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, cleared_away():
        signal.raise_signal(number)
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with cleared_away():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def _working_in(folder: Path) -> list[str]:
    """The command lines of living processes that name ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # no process, or one that has ended
            continue
        if str(folder) in words:
            found.append(words)
    return found
