"""Everybody who is measured, started and found to answer rightly, for as long as a run lasts."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rapide.loadtests.bench import contestants, generators, workloads
from rapide.loadtests.bench.contestants import CONTESTANTS, SERVERS, Contestant, Ports, Server, Target
from rapide.loadtests.bench.generators import GeneratorFailed, Load
from rapide.loadtests.bench.meter import Meter
from rapide.loadtests.bench.processes import GENERATOR_CORE, SERVER_CORE, ServerProcess, pinned
from rapide.loadtests.payloads import Payload

SETTLES_WITHIN_S = 2.0
"""By then the reserve process, which starts when the worker is ready, has its libraries loaded."""
ONE_WORKER = Server(
    "rapide, one worker",
    lambda folder, ports: contestants.rapide_command(folder, ports, "--no-reserve"),
    contestants.rapide_is_ready,
)
TWO_WORKERS = Server(
    "rapide, two workers",
    lambda folder, ports: contestants.rapide_command(folder, ports, "--no-reserve", workers=2),
    contestants.rapide_is_ready,
)


@dataclass(frozen=True, slots=True)
class Running:
    """A started server."""

    process: ServerProcess
    ports: Ports


@dataclass(frozen=True, slots=True)
class Checked:
    """A contestant with a request, whose answer was found right."""

    contestant: Contestant
    model: str
    server: ServerProcess
    target: Target
    answer_bytes: int

    def closed_loop(self, load: Load, warm_up_s: float) -> dict[str, float]:
        """Requests per second, mean latency, and what they cost, after a warm-up.

        Raises GeneratorFailed if it fails twice: a long run should not end for one lost connection.
        """
        with self.server.awake():
            try:
                return self._closed_loop(load, warm_up_s)
            except GeneratorFailed:
                return self._closed_loop(load, warm_up_s)

    def _closed_loop(self, load: Load, warm_up_s: float) -> dict[str, float]:
        generators.measure(
            self.target, dataclasses.replace(load, duration_s=warm_up_s, requests=0), self.answer_bytes
        )
        with Meter(self.server) as meter:
            rate = generators.measure(self.target, load, self.answer_bytes)
        return {
            **dataclasses.asdict(rate),
            "server_us": meter.cost.server_cpu_s / rate.requests * 1e6,
            **dataclasses.asdict(meter.cost),
        }


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers of a run and the files that they serve, by name."""

    small: Path
    """The folder of the small models, and that of the larger ones with the first small one."""
    larger: Path
    logs: Path
    running: dict[str, Running] = field(default_factory=dict)

    def checked(self, contestant: Contestant, payload: Payload, server: Server | None = None) -> Checked:
        """Asks once, by an ordinary client. Raises ValueError for a wrong answer."""
        folder = self.small if server is None else self.larger
        running = self.running[(server or contestant.server).name]
        target = contestants.target(contestant, payload, running.ports)
        expected = workloads.answer(folder / f"{payload.model}.onnx", payload)
        with running.process.awake():
            size_bytes = contestants.check(target, expected)
        return Checked(contestant, payload.model, running.process, target, size_bytes)

    def everybody(self, models: Sequence[str]) -> list[Checked]:
        """All contestants with one row of each of the small models."""
        payloads = [workloads.payload(self.small / f"{model}.onnx", 1) for model in models]
        return [self.checked(contestant, payload) for payload in payloads for contestant in CONTESTANTS]


@contextlib.contextmanager
def started(stage: Stage, *, with_larger: bool) -> Iterator[Stage]:
    """Starts the servers of ``stage``, and stops them at the end.

    In between they are paused but for the one that is measured: idle servers look after their repositories and
    workers, which takes the core for a moment, and a p99 is made of moments.

    Raises NotReady.
    """
    plan = [(server, stage.small, [SERVER_CORE]) for server in SERVERS]
    if with_larger:
        plan.append((ONE_WORKER, stage.larger, [SERVER_CORE]))
        plan.append((TWO_WORKERS, stage.larger, [SERVER_CORE, GENERATOR_CORE]))
    with contextlib.ExitStack() as stack:
        for server, folder, cores in plan:
            ports = Ports()
            log = stage.logs / f"{server.name}.log"
            process = ServerProcess(pinned(server.command(folder, ports), *cores), log)
            stack.enter_context(process)
            process.wait_until(lambda server=server, ports=ports: server.is_ready(ports))  # type: ignore[misc]
            stage.running[server.name] = Running(process, ports)
        time.sleep(SETTLES_WITHIN_S)
        for each in stage.running.values():
            each.process.pause()
        yield stage
