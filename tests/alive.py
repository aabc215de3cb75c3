"""Whether processes that nobody waits for still run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path


def is_alive(pid: int) -> bool:
    """A zombie is not: once its parent has ended, the first process of the machine reaps it when it likes."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def still_alive(pids: Sequence[int], within_s: float = 20.0) -> list[int]:
    """Those of ``pids`` that have not ended ``within_s`` from now."""
    until_s = time.monotonic() + within_s
    while alive := [pid for pid in pids if is_alive(pid)]:
        if time.monotonic() > until_s:
            break
        time.sleep(0.02)
    return alive
