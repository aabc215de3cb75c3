"""Ends a command that is told to end (SIGTERM: ``kill``, a job's time limit) with its work cleared away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

EXIT_TERMINATED = 128 + signal.SIGTERM


@contextmanager
def cleared_away() -> Iterator[None]:
    """Within it, or in a function that it decorates, SIGTERM unwinds the stack, so that work folders and child
    processes go, and ends with 143; a second one is not heard meanwhile."""
    if threading.current_thread() is not threading.main_thread():  # signals are told to the main thread alone
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - how handlers are called
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(EXIT_TERMINATED)
