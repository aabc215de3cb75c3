"""What one process of the generator is to do, and how it is told."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from rapide.loadtests.replay.generator import Options
from rapide.loadtests.replay.schedule import Floats


@dataclass(frozen=True, slots=True)
class Job:
    """What one process sends. ``rehearsal``: the calls that are asked once beforehand."""

    address: tuple[str, int]
    encoding: str
    due_s: Floats
    calls: Sequence[Any]
    call_of: Any
    rehearsal: Sequence[Any]
    options: Options
    memory_fd: int


def write_job(job: Job, pipe: IO[bytes]) -> None:
    """For the parent."""
    content = pickle.dumps(job, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(struct.pack(">Q", len(content)) + content)
    pipe.flush()


def read_job(pipe: IO[bytes]) -> Job:
    """For the process. Raises EOFError where the parent ended before it had said everything."""
    (length,) = struct.unpack(">Q", _whole(pipe, 8))
    job: Job = pickle.loads(_whole(pipe, length))  # noqa: S301 - from our parent, through a pipe of ours alone
    return job


def _whole(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data
