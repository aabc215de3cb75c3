"""Unix sockets that all workers accept from: opened by the supervisor, inherited by workers, removed at the end.

Theory. SO_REUSEPORT does not spread connections over several Unix sockets of one path, so there is one listening
socket, and every worker has a descriptor of it. A connection that arrives while a worker is replaced waits in the
socket's queue. A path whose owner was killed is still there at the next start: nobody accepts on it, which
tells it from one that is in use.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Mapping
from types import TracebackType

from rapide.server.errors import SettingsError
from rapide.server.sockets import BACKLOG

MAX_PATH_BYTES = 107
"""unix(7): sun_path has 108 with the ending zero."""


class UnixSockets:
    """Listening sockets by setting's name. A context manager, which closes them and removes their files."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        """``paths``: setting's name → path; empty paths are passed over. Raises SettingsError."""
        self.listeners: dict[str, socket.socket] = {}
        try:
            for setting, path in paths.items():
                if path:
                    self.listeners[setting] = listen_unix(setting, path)
        except SettingsError:
            self.close()
            raise

    @property
    def descriptors(self) -> dict[str, int]:
        return {setting: listener.fileno() for setting, listener in self.listeners.items()}

    def close(self) -> None:
        for listener in self.listeners.values():
            path = listener.getsockname()
            listener.close()
            with contextlib.suppress(OSError):
                os.unlink(path)

    def __enter__(self) -> UnixSockets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def inherited(descriptors: Mapping[str, int]) -> dict[str, socket.socket]:
    """In a worker: the sockets behind the descriptors that it was started with."""
    return {setting: socket.socket(fileno=descriptor) for setting, descriptor in descriptors.items()}


def listen_unix(setting: str, path: str) -> socket.socket:
    """A listening socket at ``path``, connectable by whom the umask allows. Raises SettingsError."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise SettingsError(
            f"{setting}: {path} is longer than {MAX_PATH_BYTES} bytes, which is all that a socket's path may have."
        )
    _remove_stale(setting, path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise SettingsError(f"{setting}: cannot listen on {path}: {error.strerror or error}.") from None
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _remove_stale(setting: str, path: str) -> None:
    """Removes the socket that a killed server left. Raises SettingsError for anything else at ``path``."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # nothing is there, or bind will say what is wrong
    if not stat.S_ISSOCK(mode):
        raise SettingsError(f"{setting}: {path} is there already, and is no socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a queue that is full says that somebody listens, too
        refused = probe.connect_ex(path) == errno.ECONNREFUSED
    if not refused:
        raise SettingsError(
            f"{setting}: {path} is in use.", hint=f"Stop what listens there (ss -xlp src {path} shows it)."
        )
    with contextlib.suppress(OSError):
        os.unlink(path)
