"""The folder that all processes of one server share: memory-mapped counters live there.

It lies in shared memory where there is some, since counters written to a disk cost writes for nothing. A server
that was killed cannot remove its folder; the next one does, and knows by the lock that every living server holds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from rapide.server.errors import SettingsError

_PREFIX = "rapide-state-"
_LOCK = "lock"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - private folders (mode 700) with unpredictable names are made in it
SLOT_BYTES: Final = 1 << 20
"""What the counters of one worker take at the start (``telemetry.slots``): room for three model versions, and
small enough for eight workers in a container's 64 MB of shared memory."""
_ROOM_BYTES = 16 * 1024 * 1024
"""Counters take about 1 MB a worker. With less free than this (Docker gives 64 MB in all) a disk is safer."""


class StateFolder:
    """``path`` exists between ``open`` and ``close``. A folder that the user named is kept."""

    def __init__(self, named: str = "", parents: tuple[Path, ...] = (), *, workers: int = 0) -> None:
        """``parents``: where to make a folder if none is ``named``, by preference. ``workers``: how many
        shall find room for their counters."""
        self.path = Path(named) if named else Path()
        self._keep = bool(named)
        self._parents = parents or (_SHARED_MEMORY, Path(tempfile.gettempdir()))
        self._workers = workers
        self._lock_fd = -1

    def open(self) -> Path:
        """Makes the folder, takes its lock and the workers' room. Raises SettingsError where it cannot."""
        try:
            if self._keep:
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            else:
                parent = next((parent for parent in self._parents if _has_room(parent)), self._parents[-1])
                sweep(parent)
                self.path = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=parent))
            self._lock_fd = _lock(self.path)
            if not self._keep:
                # Only a locked folder gets the name that other servers sweep.
                self.path = self.path.rename(self.path.with_name(self.path.name.removeprefix(".")))
            self._take_room()
        except BlockingIOError:
            raise SettingsError(
                f"state_dir {self.path} is in use by another server.", hint="Give each server its own."
            ) from None
        except OSError as error:
            if self._lock_fd >= 0:
                self.close()
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise SettingsError(
                    f"state_dir {self.path} has no room: the counters of {self._workers} workers need "
                    f"{self._workers * SLOT_BYTES} bytes.",
                    hint="Make room there, or name another folder with --state-dir.",
                ) from None
            raise SettingsError(
                f"no folder for counters can be made: {error}.", hint="Name a writable one with --state-dir."
            ) from None
        return self.path

    def close(self) -> None:
        if not self._keep:
            shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock_fd)

    def _take_room(self) -> None:
        """Allocates what the workers will open, since they could only die of a full disk. Raises OSError."""
        for slot in range(self._workers):
            descriptor = os.open(self.path / slot_file(slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, SLOT_BYTES)
            finally:
                os.close(descriptor)

    def __enter__(self) -> Path:
        return self.open()

    def __exit__(self, *exc: object) -> None:
        self.close()


def slot_file(slot: int, attempt: int = 0) -> str:
    """The name of a worker's file; another ``attempt`` is another file, while the first is still written."""
    return f"worker-{slot}{f'.{attempt}' if attempt else ''}"


def sweep(parent: Path) -> None:
    """Removes what this user's killed servers left in ``parent``."""
    for left in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # in use, or another user's
            held = _lock(left)
            shutil.rmtree(left, ignore_errors=True)
            os.close(held)


def _lock(folder: Path) -> int:
    """A file descriptor that holds the folder's lock until it is closed. Raises BlockingIOError if it is held."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _has_room(parent: Path) -> bool:
    try:
        free = os.statvfs(parent)
    except OSError:
        return False
    return os.access(parent, os.W_OK | os.X_OK) and free.f_bavail * free.f_frsize >= _ROOM_BYTES
