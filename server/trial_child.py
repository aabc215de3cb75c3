"""Entry of the process that tries a version out (``trials.py``): confined first, then heavy.

``python -m rapide.server.trial_child FD``: the job is one JSON object on standard input, the answer one on FD.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rapide.server.confine import confine

_NICENESS = 5
"""A version is tried while others answer requests."""


@dataclass(frozen=True, slots=True)
class _Bounds:
    memory_bytes: int
    time_s: float
    file_bytes: int = 16 * 1024 * 1024
    """The log of a runtime that complains."""


def main(descriptor: str) -> None:
    """Answers with what ``model.trial.try_version`` returns."""
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    confine(_Bounds(int(job["memory_bytes"]), float(job["time_s"])), may_start_processes=False)
    os.nice(_NICENESS)
    try:
        run: Callable[[dict[str, Any]], dict[str, Any]] = importlib.import_module(
            "rapide.server.model.trial"
        ).try_version
        answer = run(job)
    except MemoryError:
        answer = {"memory": True}
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as out:
        out.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
    os._exit(0)  # whatever the runtime's threads are at
