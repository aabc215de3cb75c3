"""Ends a command that is told to end with its work cleared away: by SIGTERM (``kill``, a job's time limit) or by
SIGHUP (the terminal was closed)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

EXIT_TERMINATED = 128 + signal.SIGTERM
_TOLD: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def cleared_away() -> Iterator[None]:
    """Within it, or in a function that it decorates, either signal unwinds the stack, so that work folders and
    child processes go, and ends with 128 and its number; a second one is not heard meanwhile. One that is ignored
    (``nohup``) stays ignored."""
    if threading.current_thread() is not threading.main_thread():  # signals are told to the main thread alone
        yield
        return
    before = {number: signal.getsignal(number) for number in _TOLD}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: object) -> NoReturn:  # noqa: ARG001 - how handlers are called
    for each in _TOLD:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)
