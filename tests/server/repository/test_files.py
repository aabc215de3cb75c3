from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rapide.server.repository.files import exclusive_lock, open_regular, read_regular


def test_reading_up_to_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="longer than 4 bytes"):
        read_regular(path, 4)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: object) -> None:
    make(tmp_path / "trap")  # type: ignore[operator]  # one of the two
    with pytest.raises(OSError, match=r"regular file|Is a directory"):
        open_regular(tmp_path / "trap")


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """A process that dies in the lock frees it, and a second one is kept out as long as it is held."""
    lock = tmp_path / ".lock"
    script = (
        "import sys, fcntl; file = open(sys.argv[1], 'a')\n"
        "try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError: sys.exit(3)\n"
    )
    command = [sys.executable, "-c", script, str(lock)]
    with exclusive_lock(lock):
        assert subprocess.run(command, check=False).returncode == 3
    assert subprocess.run(command, check=False).returncode == 0
    with exclusive_lock(lock):
        pass
