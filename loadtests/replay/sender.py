"""A process of the generator: reads its job from standard input, sends, and leaves what it found in shared memory.

parent                                          sender
job (pickled; our own parent wrote it)  ──▶     connects, asks every model once
                                        ◀──     a line: empty, or what went wrong
start, an instant of the monotonic clock ──▶    sends
                                        ◀──     a line of JSON: reasons of failures, why it ended early
closes the pipe (or dies)               ──▶     stops
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import os
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

from rapide.loadtests.replay import memory
from rapide.loadtests.replay.generator import Generator, Refused
from rapide.loadtests.replay.job import read_job
from rapide.loadtests.wire.connection import Connection
from rapide.loadtests.wire.grpc_connection import GrpcConnection
from rapide.loadtests.wire.http_connection import HttpConnection

CONNECTIONS: Mapping[str, Callable[[], Connection[Any]]] = {
    "grpc": GrpcConnection,
    "json": HttpConnection,
    "binary": HttpConnection,
}
PR_SET_TIMERSLACK = 29
"""prctl(2). The kernel wakes a thread up to 50 µs late by default, to join wake-ups; we want ours in time."""
SLACK_NS = 1000


def _wake_in_time() -> None:
    """Where the system has no such call, wake-ups are as late as it likes."""
    try:
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, SLACK_NS, 0, 0, 0)
    except (OSError, AttributeError):
        return


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    """One job. The exit code is 0 whatever the server did, and 1 where whoever started this has ended."""
    try:
        return _work()
    except (EOFError, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to be flushed
        return 1


def _work() -> int:
    pipe = sys.stdin.buffer
    job = read_job(pipe)
    count = len(job.due_s)
    shared = mmap.mmap(job.memory_fd, memory.size_bytes(count))
    generator = Generator(
        job.address,
        CONNECTIONS[job.encoding],
        job.due_s.data,
        job.calls,
        job.call_of.data,
        job.options,
        memory.record(shared, count),
        stop_fd=0,
    )
    try:
        generator.connect(job.rehearsal)
    except (OSError, Refused) as error:
        _say(str(error) or type(error).__name__)
        return 0
    _say("")
    gc.collect()
    gc.freeze()
    gc.disable()
    _wake_in_time()
    start = pipe.read(8)
    if len(start) == 8:
        generator.run(struct.unpack(">d", start)[0])
    generator.close()
    _say(json.dumps({"errors": generator.collect_errors(), "gone": generator.gone}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
