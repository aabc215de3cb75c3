"""Watches everything that a child process started: limits of the kernel count each process by itself.

The child leads a session, and cannot leave it, nor can what it starts (``server/confine.py`` refuses the calls),
so the session's members are all there are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

MAX_PROCESSES = 64
"""A library that shares work out starts one for each core; a bomb starts thousands."""
INTERVAL_S = 0.2
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Ends the session of ``leader`` when its members are too many, or hold more than ``memory_bytes`` together.

    ``start`` and ``stop``; ``reason`` says why it ended them, empty if it did not.
    """

    def __init__(self, leader: int, memory_bytes: int) -> None:
        self.reason = ""
        self._leader = leader
        self._memory_bytes = memory_bytes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rapide-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when it looks no more: the leader's number may then be used again."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_S):
            held = dict(members(self._leader))
            if len(held) > MAX_PROCESSES:
                self._end(f"started more than {MAX_PROCESSES} processes")
            elif sum(held.values()) > self._memory_bytes and sum(map(_own_bytes, held)) > self._memory_bytes:
                gib = self._memory_bytes / 1024**3
                self._end(f"held more than {gib:g} GiB of memory, in {len(held)} processes")

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._leader, signal.SIGKILL)


def members(session: int) -> Iterator[tuple[int, int]]:
    """The living processes of a session, each with the bytes that it holds in memory, shared ones too."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            stat = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has ended
            continue
        state, _parent, _group, found, *rest = stat.rpartition(")")[2].split()
        if int(found) == session and state != "Z":
            yield int(entry.name), int(rest[17]) * _PAGE_BYTES


def _own_bytes(process: int) -> int:
    """What a process holds, with its part of what it shares: dearer to find out than what ``members`` tells."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    shares = [line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")]
    return int(shares[0]) * 1024 if shares else 0
