"""Entry of a child process: confine first, then import what is heavy, then work. Light until it is confined."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rapide.converters.channel import Channel
from rapide.converters.errors import ConversionError
from rapide.converters.limits import Limits
from rapide.server.confine import confine


def main(module: str, job_path: str, descriptor: str) -> int:
    """Runs ``module``'s ``main(job, channel)``. Returns the exit status: 0 done, 1 a told error. Anything else is
    a death that the parent explains."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # whoever started it may have blocked some
    channel = Channel(int(descriptor))
    job: dict[str, Any] = json.loads(Path(job_path).read_text(encoding="utf-8"))
    may_start = bool(job.get("may_start_processes", True))
    problem = confine(Limits.from_json(job["limits"]), may_start_processes=may_start)
    if problem:
        channel.send({"confinement": f"the network could not be cut off: {problem}"})
    try:
        run: Callable[[dict[str, Any], Channel], None] = importlib.import_module(module).main
        run(job, channel)
    except ConversionError as error:
        channel.send({"error": error.to_json()})
        return 1
    except MemoryError:
        channel.send({"error": {"memory": True}})
        return 1
    except BaseException as error:  # noqa: BLE001 - SystemExit too: foreign code must not pass for success
        with contextlib.suppress(OSError):  # the log may lie on the very disk that is full
            traceback.print_exc()
        channel.send({"error": {"unexpected": f"{type(error).__name__}: {error}"[:2000]}})
        return 1
    return 0


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # nothing that foreign code left behind (threads, atexit hooks) delays the end
