"""Server processes: started, pinned to a core, waited for, weighed, stopped."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SERVER_CORE, GENERATOR_CORE = 0, 1
ROLES = ("supervisor", "worker", "reserve")
"""What the processes of ``rapide serve --workers 1`` are; the reserve takes a lost worker's place at once."""
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0


class NotReady(RuntimeError):
    """A server ended, or did not answer in time; the message holds what it printed."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One process's memory. PSS shares what several processes map among them; RSS counts it in each."""

    role: str
    rss_mib: float
    pss_mib: float


def pin_generator() -> bool:
    """Pins this process, and what it starts from now, to the generator's core. False where there is one core."""
    if not two_cores():
        return False
    os.sched_setaffinity(0, {GENERATOR_CORE})
    return True


def pinned(command: Sequence[str], *cores: int) -> list[str]:
    """``command``, pinned to the server's core, or to ``cores``, where there are two."""
    if not two_cores() or shutil.which("taskset") is None:
        return list(command)
    return ["taskset", "-c", ",".join(str(core) for core in cores or (SERVER_CORE,)), *command]


def two_cores() -> bool:
    """Whether a server and a generator can have a core each."""
    return (os.cpu_count() or 1) > max(SERVER_CORE, GENERATOR_CORE)


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """A started server, its output in ``log``. A context manager, which stops it at the end.

    Settings in this process's environment are not its: it gets ``environment``, or this one's without them.
    """

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log = log
        if environment is None:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("RAPIDE_")}
        self.started_s = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, stdin=subprocess.DEVNULL
            )

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def wait_until(self, is_ready: Callable[[], bool]) -> float:
        """Seconds from the start of the process until ``is_ready``. Raises NotReady."""
        while not is_ready():
            if self._process.poll() is not None:
                raise NotReady(f"ended with code {self._process.returncode}:\n{self._log.read_text()[-2000:]}")
            if time.perf_counter() - self.started_s > READY_WITHIN_S:
                raise NotReady(f"not ready after {READY_WITHIN_S:g} s:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.002)
        return time.perf_counter() - self.started_s

    def kill(self) -> None:
        """As the kernel would, without a word: the process and its descendants."""
        for pid in [self._process.pid, *_descendants(self._process.pid)]:
            with contextlib.suppress(ProcessLookupError):  # a child may follow its parent before its turn
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Asks the process to end, also one that is paused, and kills it if it does not."""
        self._process.terminate()
        self._resume()
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def cpu_s(self) -> float:
        """Seconds of processor time that the process and its descendants took so far, ended ones included."""
        return cpu_s(self._process.pid)

    def pause(self) -> None:
        """Stops the process and its descendants where they are (SIGSTOP)."""
        os.kill(self._process.pid, signal.SIGSTOP)  # first, so that it starts no more
        for pid in _descendants(self._process.pid):
            with contextlib.suppress(ProcessLookupError):  # a child may end before its turn
                os.kill(pid, signal.SIGSTOP)

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Lets a paused server go on for a while."""
        self._resume()
        try:
            yield
        finally:
            self.pause()

    def _resume(self) -> None:
        # Children first, so that no parent finds one that does not answer.
        for pid in reversed((self._process.pid, *_descendants(self._process.pid))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Runs its threads before all others of their core meanwhile (SCHED_RR, sched(7)). Not for a server that
        never rests: the kernel stops those for a twentieth of every second. Raises PermissionError."""
        self._schedule(os.SCHED_RR, 1)
        try:
            yield
        finally:
            self._schedule(os.SCHED_OTHER, 0)

    def _schedule(self, policy: int, priority: int) -> None:
        for pid in (self._process.pid, *_descendants(self._process.pid)):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):  # a thread may end before its turn
                    os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))

    def busiest(self) -> int:
        """Which of the process and its descendants took most processor time by itself."""
        return max([self._process.pid, *_descendants(self._process.pid)], key=own_cpu_s)

    def memory(self) -> list[Memory]:
        """The process and its descendants, in the order in which they were started."""
        pids = [self._process.pid, *_descendants(self._process.pid)]
        roles = itertools.chain(ROLES, itertools.repeat("other")) if len(pids) > 1 else ["process"]
        return [_memory(role, pid) for role, pid in zip(roles, pids, strict=False)]


def port_answers(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def own_cpu_s(pid: int) -> float:
    """Seconds of processor time of a process alone."""
    return _cpu_ticks(pid, 2) / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Seconds of processor time of a process and its descendants; ended ones count once they were waited for."""
    return sum(_cpu_ticks(each, 4) for each in (pid, *_descendants(pid))) / os.sysconf("SC_CLK_TCK")


def _cpu_ticks(pid: int, count: int) -> int:
    """The sum of the first ``count`` of utime, stime, cutime and cstime; 0 of a process that has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        # Fields 14 to 17 (proc(5)), counted after the name, which may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11 : 11 + count])
    return 0


def _descendants(pid: int) -> list[int]:
    """Children first, then theirs; those that end meanwhile are left out."""
    children: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += [int(child) for child in (task / "children").read_text().split()]
    return children + [below for child in children for below in _descendants(child)]


def _memory(role: str, pid: int) -> Memory:
    sizes_kib = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, size = line.partition(":")
        sizes_kib[name] = int(size.split()[0])
    return Memory(role, sizes_kib["Rss"] / 1024, sizes_kib["Pss"] / 1024)
