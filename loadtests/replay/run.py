"""Runs a replay: makes the requests, starts the generator's processes, watches them, gathers what they found."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np

from rapide.loadtests.replay import memory
from rapide.loadtests.replay.calls import START_HINT, Calls, make_calls
from rapide.loadtests.replay.generator import Options
from rapide.loadtests.replay.job import Job, write_job
from rapide.loadtests.replay.plan import ReplayError, ReplayPlan
from rapide.loadtests.replay.result import ReplayResult
from rapide.loadtests.replay.schedule import Schedule, schedule
from rapide.loadtests.wire.connection import NOT_SENT

GRPC_CONNECTIONS = 16
HTTP_CONNECTIONS, MOST_HTTP_CONNECTIONS = 8, 512
"""Over all processes: opened at the start, and at most, as requests wait for one."""
LONGEST_S = 366 * 86_400.0
STARTS_IN_S = 0.1
"""From the word to the start, for every process to be waiting."""
LOOK_EVERY_S = 0.05
TELL_EVERY_S = 0.25
ENDS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is. ``left_s`` is until the last request leaves."""

    total: int
    sent: int
    answered: int
    failed: int
    elapsed_s: float
    left_s: float


OnProgress = Callable[[Progress], None]


def replay(plan: ReplayPlan, on_progress: OnProgress | None = None) -> ReplayResult:
    """Runs ``plan`` to its end. Blocking; ``on_progress`` is called four times a second.

    Interrupted (KeyboardInterrupt), or left alone by the server for longer than ``timeout_s``, it stops cleanly
    and gives what was measured; ``ReplayResult.stopped`` says why. Raises ReplayError where nothing can be
    measured.
    """
    plan.check()
    whole = schedule(plan.requests, speed=plan.speed, skip_idle_s=plan.skip_idle_s)
    if not whole.duration_s <= LONGEST_S:
        raise ReplayError(
            f"it would take {whole.duration_s / 86_400:.3g} days.",
            "Play faster (--speed 10x), or cut pauses short: --skip-idle 1.",
        )
    all_due = whole.part(plan.part[0] - 1, plan.part[1])
    if not all_due.count:
        raise ReplayError(f"part {plan.part[0]} of {plan.part[1]} of {whole.count} requests is empty.")
    is_grpc = plan.encoding == "grpc"
    shipment = Shipment(
        address=plan.address,
        encoding=plan.encoding,
        schedule=all_due,
        calls=make_calls(plan, all_due),
        names=[each.model for each in plan.requests],
        processes=plan.processes,
        connections=plan.connections or (GRPC_CONNECTIONS if is_grpc else HTTP_CONNECTIONS),
        most_connections=plan.connections or (GRPC_CONNECTIONS if is_grpc else MOST_HTTP_CONNECTIONS),
        timeout_s=plan.timeout_s,
        spin_s=plan.spin_us * 1e-6,
        start_at_s=plan.start_at_s,
    )
    return send(shipment, on_progress)


@dataclass(frozen=True, slots=True)
class Shipment:
    """Requests that are ready to be sent. ``names``: of the models that the schedule numbers. ``start_at_s``: the
    schedule's zero in epoch seconds; 0 is at once."""

    address: tuple[str, int]
    encoding: str
    schedule: Schedule
    calls: Calls
    names: Sequence[str]
    processes: int
    connections: int
    most_connections: int
    timeout_s: float
    spin_s: float
    start_at_s: float = 0.0


def send(shipment: Shipment, on_progress: OnProgress | None = None) -> ReplayResult:
    """Sends everything; as ``replay``, for a server that need not describe its models."""
    processes = min(shipment.processes, shipment.schedule.count)
    with contextlib.ExitStack() as stack:
        senders = [stack.enter_context(_Sender(shipment, number, processes)) for number in range(processes)]
        for sender in senders:
            sender.wait_until_ready()
        start_s = time.monotonic() + _wait_s(shipment)
        for sender in senders:
            sender.start(start_s)
        stopped = _watch(senders, shipment.schedule, start_s, on_progress)
        return _gather(shipment, senders, stopped)


def _wait_s(shipment: Shipment) -> float:
    """From now to the start. Raises ReplayError where that instant has passed."""
    if not shipment.start_at_s:
        return STARTS_IN_S
    left_s = shipment.start_at_s - time.time()
    if left_s < 0:
        raise ReplayError(
            f"it was ready {-left_s:.1f} s after the instant at which it was to start.",
            "Start it earlier, or choose a later instant: processes and requests are made first.",
        )
    return left_s


class _Sender:
    """One process of the generator; a context manager, which ends it."""

    def __init__(self, shipment: Shipment, number: int, of: int) -> None:
        self._shipment = shipment
        self.share = slice(number, None, of)
        self._part = shipment.schedule.part(number, of)
        self._of = of
        self._call_of = np.ascontiguousarray(shipment.calls.of[self.share])
        self._process: subprocess.Popen[bytes]
        self._file: IO[bytes]
        self.arrays: memory.Arrays
        self.errors: dict[int, str] = {}
        self.gone = ""

    def __enter__(self) -> _Sender:
        count = self._part.count
        self._file = _room(memory.size_bytes(count))
        self.arrays = memory.arrays(mmap.mmap(self._file.fileno(), memory.size_bytes(count)), count)
        self.arrays.codes[:] = NOT_SENT
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rapide.loadtests.replay.sender"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(self._file.fileno(),),
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        with contextlib.suppress(BrokenPipeError):  # it ended at once, and ``wait_until_ready`` says so
            write_job(self._job(), _pipe(self._process.stdin))
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _pipe(self._process.stdout).close()
        self._file.close()

    def _job(self) -> Job:
        return Job(
            address=self._shipment.address,
            encoding=self._shipment.encoding,
            due_s=np.ascontiguousarray(self._part.due_s),
            calls=self._shipment.calls.calls,
            call_of=self._call_of,
            rehearsal=self._rehearsal(),
            options=Options(
                connections=max(1, self._shipment.connections // self._of),
                most_connections=max(1, self._shipment.most_connections // self._of),
                timeout_s=self._shipment.timeout_s,
                spin_s=self._shipment.spin_s,
            ),
            memory_fd=self._file.fileno(),
        )

    def _rehearsal(self) -> Sequence[Any]:
        """One call of each model."""
        _, first = np.unique(self._part.models, return_index=True)
        return [self._shipment.calls.calls[self._call_of[index]] for index in first]

    def wait_until_ready(self) -> None:
        """Raises ReplayError with what the server has against the requests."""
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise ReplayError(f"a process of the generator ended with code {self._process.wait()}.")
        if reason := line.decode().strip():
            host, port = self._shipment.address
            raise ReplayError(f"{host}:{port} does not answer as it should: {reason}", START_HINT)

    def start(self, start_s: float) -> None:
        with contextlib.suppress(BrokenPipeError):
            pipe = _pipe(self._process.stdin)
            pipe.write(struct.pack(">d", start_s))
            pipe.flush()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            _pipe(self._process.stdin).close()

    def collect(self) -> None:
        """What it says at its end. It is asked to stop, if it has not."""
        self.stop()
        last = _pipe(self._process.stdout).readline()
        if not last:
            self.gone = f"a process of the generator ended with code {self._process.wait()}"
            return
        said = json.loads(last)
        self.errors = {int(code): text for code, text in said["errors"].items()}
        self.gone = said["gone"]

    @property
    def busy(self) -> float:
        rested_ns, lasted_ns = self.arrays.counters[3:5].tolist()
        return 1 - rested_ns / lasted_ns if lasted_ns else 0.0


def _room(size_bytes: int) -> IO[bytes]:
    """A file without a name that has all its room: a page that finds none when it is first written to would kill
    the process. Raises ReplayError."""
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's to close
        try:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
        except OSError:
            file.close()
            raise
    except OSError as error:
        raise ReplayError(
            f"there is no room for {size_bytes:,} bytes of results among the temporary files: {error.strerror}.",
            "Make room, or name a folder that has some: TMPDIR=/var/tmp rapide …",
        ) from None
    return file


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    """All of ours are opened."""
    return cast("IO[bytes]", pipe)


def _watch(senders: Sequence[_Sender], all_due: Schedule, start_s: float, on_progress: OnProgress | None) -> str:
    """Waits for all processes, telling how far they are; why that was cut short, or an empty text."""
    told_s = 0.0
    try:
        while any(sender.is_running for sender in senders):
            time.sleep(LOOK_EVERY_S)
            now_s = time.monotonic()
            if on_progress is not None and now_s - told_s >= TELL_EVERY_S:
                told_s = now_s
                on_progress(_progress(senders, all_due, max(0.0, now_s - start_s)))
    except KeyboardInterrupt:
        return "interrupted"
    return ""


def _progress(senders: Sequence[_Sender], all_due: Schedule, elapsed_s: float) -> Progress:
    sent, ended, answered = (sum(int(sender.arrays.counters[index]) for sender in senders) for index in range(3))
    left_s = max(0.0, all_due.duration_s - elapsed_s)
    return Progress(all_due.count, sent, answered, ended - answered, elapsed_s, left_s)


def _gather(shipment: Shipment, senders: Sequence[_Sender], stopped: str) -> ReplayResult:
    all_due = shipment.schedule
    latency_s = np.full(all_due.count, np.nan)
    lateness_s = np.zeros(all_due.count)
    codes = np.full(all_due.count, NOT_SENT, dtype=np.int16)
    errors: dict[int, str] = {}
    for sender in senders:
        sender.collect()
        latency_s[sender.share] = sender.arrays.latency_s
        lateness_s[sender.share] = sender.arrays.lateness_s
        codes[sender.share] = sender.arrays.codes
        errors = {**sender.errors, **errors}
        stopped = stopped or sender.gone
    latency_s[codes == NOT_SENT] = np.nan
    return ReplayResult(
        intended_s=all_due.due_s,
        latency_s=latency_s,
        lateness_s=lateness_s,
        codes=codes,
        rows=all_due.rows,
        models=all_due.models,
        names=shipment.names,
        busy=[sender.busy for sender in senders],
        errors=errors,
        stopped=stopped,
        skipped_s=all_due.skipped_s,
    )
