"""The servers' shared folders: private, locked while in use, and swept after a kill."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rapide.server.errors import SettingsError
from rapide.server.state_folder import SLOT_BYTES, StateFolder, slot_file, sweep


def test_a_folder_lives_as_long_as_its_server(tmp_path: Path) -> None:
    with StateFolder(parents=(tmp_path,)) as path:
        assert path.parent == tmp_path
        assert path.stat().st_mode & 0o077 == 0
        sweep(tmp_path)
        assert path.is_dir(), "a living server's folder is left alone"
    assert not path.exists()


def test_what_a_killed_server_left_is_swept_by_the_next(tmp_path: Path) -> None:
    killed = StateFolder(parents=(tmp_path,))
    left = killed.open()
    os.close(killed._lock_fd)  # what the kernel does when a process is killed
    with StateFolder(parents=(tmp_path,)) as path:
        assert list(tmp_path.iterdir()) == [path]
    assert not left.exists()


def test_a_named_folder_is_kept_and_belongs_to_one_server(tmp_path: Path) -> None:
    named = str(tmp_path / "a" / "b")
    with StateFolder(named) as path, pytest.raises(SettingsError, match="in use by another server"):
        StateFolder(named).open()
    assert path.is_dir()


def test_the_first_parent_with_room_is_taken(tmp_path: Path) -> None:
    with StateFolder(parents=(tmp_path / "missing", tmp_path)) as path:
        assert path.parent == tmp_path


def test_an_impossible_place_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="no folder for counters"):
        StateFolder(str(tmp_path / "file" / "below")).open()


def test_the_workers_room_is_taken_at_the_start(tmp_path: Path) -> None:
    with StateFolder(str(tmp_path), workers=2):
        assert [(tmp_path / slot_file(slot)).stat().st_blocks * 512 for slot in range(2)] == [SLOT_BYTES] * 2


def test_a_full_folder_is_a_settings_error_that_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(
            SettingsError, match=f"has no room: the counters of 3 workers need {3 * SLOT_BYTES}"
        ) as no:
            StateFolder(str(tmp_path / "state"), workers=3).open()
        assert "--state-dir" in no.value.hint
    with StateFolder(str(tmp_path / "state")) as path:
        assert path.is_dir(), "the lock was let go"
