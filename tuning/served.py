"""A real server for one configuration, on loopback, with what it cost and recorded: where predictions are held to.

It is started as anybody would: ``rapide serve`` with a folder of tuning files, so that a proof also proves the
way from the file to the engine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from rapide.loadtests.replay.plan import ModelArrivals, ReplayError, ReplayPlan
from rapide.loadtests.replay.result import ReplayResult
from rapide.loadtests.replay.run import replay
from rapide.profiles.arrivals import Arrivals
from rapide.server.machine import cpu_signature
from rapide.server.tuning_file import TuningFile
from rapide.tuning.configuration import Configuration
from rapide.tuning.errors import TuningError
from rapide.tuning.launch import command_on

HOST: Final = "127.0.0.1"
READY_WITHIN_S: Final = 60.0
STOPPED_WITHIN_S: Final = 15.0
ANSWERS_WITHIN_S: Final = 5.0
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Without the proxies of the environment: what is asked is here."""


@dataclass(frozen=True, slots=True)
class Site:
    """What is served, on which processors, and with which rows it is asked."""

    models: str
    model: str
    version: int
    digest: str
    cpus: tuple[int, ...]
    rows_file: Path | None
    protocol: str = "grpc"

    @property
    def leaves_cores(self) -> bool:
        """Whether the load generator has processors of its own."""
        return bool(os.sched_getaffinity(0) - set(self.cpus))


@dataclass(frozen=True, slots=True)
class Usage:
    """What all workers used so far."""

    cpu_s: float
    runs: int
    compute_s: float
    """Of all runs, from their beginning to their end, conversion included."""

    def since(self, before: Usage) -> Usage:
        return Usage(self.cpu_s - before.cpu_s, self.runs - before.runs, self.compute_s - before.compute_s)


class Served:
    """``rapide serve`` under ``configuration``. A context manager; entering waits until it is ready."""

    def __init__(self, site: Site, configuration: Configuration) -> None:
        self._site = site
        self._configuration = configuration
        self._folder = tempfile.TemporaryDirectory(prefix="rapide-tuning-")
        self._http, self._grpc, self._metrics = _free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Served:
        folder = Path(self._folder.name)
        try:
            self._write_tuning(folder)
            log = folder / "log"
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    command_on(self._site.cpus, self._command(folder)),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    env={name: value for name, value in os.environ.items() if not name.startswith("RAPIDE_")},
                    process_group=0,
                )
            self._wait_until_ready(log)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def replay(self, arrivals: Arrivals) -> ReplayResult:
        """Sends ``arrivals`` at their instants. Raises TuningError, KeyboardInterrupt."""
        site = self._site
        url = f"grpc://{HOST}:{self._grpc}" if site.protocol == "grpc" else f"http://{HOST}:{self._http}"
        rows = {} if site.rows_file is None else {site.model: site.rows_file}
        requests = [ModelArrivals(site.model, "", arrivals)]
        plan = ReplayPlan(url, requests, protocol=site.protocol, rows_from=rows, timeout_s=5.0)
        try:
            with _beside(site.cpus):
                result = replay(plan)
        except ReplayError as error:
            raise TuningError(error.message, hint=error.hint) from None
        if result.stopped == "interrupted":  # half of it says nothing, and who wants to end is to be heard
            raise KeyboardInterrupt
        return result

    def replay_measured(self, arrivals: Arrivals) -> tuple[ReplayResult, Usage]:
        """As ``replay``, with what it used; asking for that is not part of it."""
        before, before_s = self.usage(), self._cpu_s()
        result = self.replay(arrivals)
        after_s = self._cpu_s()
        used = self.usage().since(before)
        return result, replace(used, cpu_s=after_s - before_s)

    def usage(self) -> Usage:
        """What the workers have used until now. Raises TuningError."""
        try:
            with _OPENER.open(f"http://{HOST}:{self._metrics}/profile", timeout=ANSWERS_WITHIN_S) as answer:
                profile: dict[str, Any] = json.load(answer)
            batches = [batch for model in profile["models"] for batch in model["batches"]]
            return Usage(
                self._cpu_s(),
                sum(batch["runs"] for batch in batches),
                sum(batch["compute_s"] + batch["input_s"] for batch in batches),
            )
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise TuningError(f"the server for {self._configuration.words} gave no profile: {error}.") from None

    def _cpu_s(self) -> float:
        with self._alive():
            return sum(_cpu_s(pid) for pid in self.workers())

    def workers(self) -> list[int]:
        """Process ids of all children of the supervisor (a process in reserve uses nothing)."""
        pid = self._running.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise TuningError("the server is not started")
        return self._process

    def memory_bytes(self) -> int:
        """Of all workers together, shared pages counted once. Raises TuningError."""
        with self._alive():
            return sum(_pss_bytes(pid) for pid in self.workers())

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Raises TuningError where a process that is looked at has ended."""
        try:
            yield
        except OSError as error:
            raise TuningError(f"the server for {self._configuration.words} has ended: {error}.") from None

    def _write_tuning(self, folder: Path) -> None:
        site, cpu = self._site, cpu_signature(len(self._site.cpus))
        path = folder / cpu / f"{site.digest.removeprefix('sha256:')}.json"
        path.parent.mkdir()
        file = TuningFile(cpu, site.digest, site.model, self._configuration.workers, self._configuration.tuning)
        path.write_bytes(file.to_bytes())

    def _command(self, folder: Path) -> list[str]:
        site = self._site
        single = site.models.endswith(".onnx")
        named = [] if single else ["--control", "explicit", "--load", site.model]
        policy = [] if single else ["--version-policy", f"specific:{site.version}"]
        return [
            *(sys.executable, "-P", "-m", "rapide", "serve", site.models, "--host", HOST, "--tuning", str(folder)),
            *("--http-port", str(self._http), "--grpc-port", str(self._grpc)),
            *("--metrics-port", str(self._metrics), "--log-format", "json", "--no-reserve"),
            *("--config", os.devnull),  # a rapide.toml here is for the server that is to be, not for this one
            *("--workers", str(self._configuration.workers)),
            *named,
            *policy,
        ]

    def _wait_until_ready(self, log: Path) -> None:
        end_s = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < end_s:
            if self._running.poll() is not None:
                break
            try:
                with _OPENER.open(f"http://{HOST}:{self._http}/v2/health/ready", timeout=1) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                time.sleep(0.02)
        said = log.read_text(errors="replace")[-800:]
        raise TuningError(f"a server for {self._configuration.words} did not start:\n{said}")

    def _stop(self) -> None:
        try:
            if self._process is not None and self._process.poll() is None:
                self._end(self._process)
        finally:
            self._folder.cleanup()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Killed where it does not end in time, and where somebody presses Ctrl-C once more meanwhile."""
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def _beside(cpus: Sequence[int]) -> Iterator[None]:
    """The generator's processes get the processors that the server leaves; where it leaves none, they share."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, usable - set(cpus) or usable)
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def _free_ports(count: int) -> list[int]:
    """Of loopback, free a moment ago; held together, so that they differ."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _cpu_s(pid: int) -> float:
    """Processor time of all threads (sched-stats: the first figure is nanoseconds on a processor)."""
    tasks = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) * 1e-9


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
