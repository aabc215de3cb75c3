"""Work on a disk that is full: the device /dev/full is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapide.converters.errors import ConversionError
from rapide.converters.work_folder import work_folder

FULL = Path("/dev/full")


def test_a_full_disk_is_told_with_the_folder_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ConversionError, match=f"no space left in {tmp_path}") as told, work_folder("rapide-"):
        FULL.write_bytes(b"x")
    assert "TMPDIR" in told.value.hint
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), work_folder("rapide-"):
        (tmp_path / "nowhere").read_bytes()
