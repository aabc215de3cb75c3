"""Work in a process of its own, so that who is measured meanwhile does not wait for it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Found = TypeVar("Found")


class OtherProcess:
    """Does one thing after the other, for as long as it is open."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_obey, args=(theirs,), daemon=True)
        self._process.start()

    def call(self, work: Callable[..., Found], *arguments: Any) -> Found:
        """What ``work``, a module's function, gives or raises there; what goes to and fro must be picklable."""
        self._pipe.send((work, arguments))
        outcome: Any = self._pipe.recv()
        if isinstance(outcome, Exception):
            raise outcome
        found: Found = outcome
        return found

    def close(self) -> None:
        self._pipe.send(None)
        self._process.join(10)
        self._pipe.close()


def _obey(pipe: Connection) -> None:
    while (order := pipe.recv()) is not None:
        work, arguments = order
        try:
            pipe.send(work(*arguments))
        except Exception as error:  # noqa: BLE001 - raised by the caller
            pipe.send(error)
