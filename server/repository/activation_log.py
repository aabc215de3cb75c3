"""``activations.jsonl`` on disk: read at any time, appended to by one writer at a time.

A writer holds the file's lock while it reads, decides and appends, so that two changes cannot both be right
about a state that only one of them saw. It appends with one write: a crash leaves at most a last line without an
end. The next writer starts a new line after it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from rapide.server.errors import RepositoryError
from rapide.server.repository.activations import Activation, ActivationLog, parse_log
from rapide.server.repository.files import read_regular, sync_folder
from rapide.server.repository.layout import ACTIVATIONS_FILE

MAX_LOG_BYTES = 64 * 1024 * 1024
"""A quarter of a million changes."""


def read_log(folder: Path) -> ActivationLog:
    """The log of the model in ``folder``; empty where there is none. Raises OSError."""
    try:
        return parse_log(read_regular(folder / ACTIVATIONS_FILE, MAX_LOG_BYTES), folder.name)
    except FileNotFoundError:
        return ActivationLog()


def append(folder: Path, decide: Callable[[ActivationLog], Activation]) -> Activation:
    """Appends what ``decide`` makes of the log so far, durably, and returns it.

    Whatever ``decide`` raises is passed on and nothing is written. Raises RepositoryError for a disk that is full
    or a log that cannot be read; the log then is as it was.
    """
    path = folder / ACTIVATIONS_FILE
    try:
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            content = read_regular(path, MAX_LOG_BYTES)
            activation = decide(parse_log(content, folder.name))
            _append_line(descriptor, content, activation.to_line())
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(folder)
    except OSError as error:
        raise RepositoryError(f"the labels of {folder.name} could not be changed: {error.strerror}") from error
    return activation


def _append_line(descriptor: int, content: bytes, line: bytes) -> None:
    if content and not content.endswith(b"\n"):
        line = b"\n" + line
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, len(content))  # ours alone: the lock is held
        raise
