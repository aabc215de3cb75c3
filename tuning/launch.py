"""Becomes a server, on some processors, that ends when whoever started it does:
``python -m rapide.tuning.launch CPUS PARENT COMMAND…``.

In a program of its own, and not between fork and exec: there gRPC's handlers run, if a process has asked over it,
and its child ended in SIGABRT now and then."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def command_on(cpus: Iterable[int], command: Sequence[str]) -> list[str]:
    """``command`` on the processors ``cpus``, to be started by this process; the process id stays."""
    listed = ",".join(map(str, sorted(cpus)))
    return [sys.executable, "-P", "-m", "rapide.tuning.launch", listed, str(os.getpid()), *command]


def become() -> None:
    """Returns only where the parent has ended before."""
    cpus, parent, command = sys.argv[1].split(","), int(sys.argv[2]), sys.argv[3:]
    os.sched_setaffinity(0, map(int, cpus))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() == parent:
        os.execv(command[0], command)  # noqa: S606 - the caller's own command


if __name__ == "__main__":
    become()
    sys.exit(128 + signal.SIGTERM)
