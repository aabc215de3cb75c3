"""Files as a repository needs them: read without being fooled, made durable, held under a lock."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path


def open_regular(path: Path) -> BufferedReader:
    """The regular file at ``path``, open for reading. Raises OSError, also for anything else that is called so.

    A pipe put there by mistake or malice would otherwise block its reader for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of the regular file at ``path``. Raises OSError, also where that is longer."""
    with open_regular(path) as file:
        # A file with a hole claims any length and costs nothing: do not read it to find out.
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes > most_bytes:
            raise OSError(errno.EFBIG, f"it is longer than {most_bytes} bytes")
        # Room for as much as is asked for is taken before a byte is read.
        content = file.read(size_bytes + 1)
    if len(content) > most_bytes:  # it grew meanwhile
        raise OSError(errno.EFBIG, f"it is longer than {most_bytes} bytes")
    return content


def sync_folder(path: Path) -> None:
    """Makes the names in the folder at ``path`` durable: a file's own fsync does not cover its name."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[int]:
    """Holds the lock file at ``path``, made if need be, against all other processes and threads; gives its
    descriptor.

    The kernel lets go when its holder dies, however it dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
