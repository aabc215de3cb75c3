"""One run: everybody started on one core, checked, then measured in turn, round after round.

Rounds alternate between the contestants, so that a machine that slows down slows all of them, and ratios are taken
within a round. What is measured is plain data; how it is shown is the report's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapide.loadtests.bench import contestants, generators, machine, processes, workloads
from rapide.loadtests.bench.contestants import CONTESTANTS, SERVERS, Contestant, Ports, Target
from rapide.loadtests.bench.generators import Load
from rapide.loadtests.bench.processes import ServerProcess, pinned
from rapide.loadtests.wire import driver

SCHEMA = 1
OPEN_LOOP_LANES = {"grpc": 8, "http": 32}
BUSY_IN_FLIGHT = {"grpc": 32, "http": 8}
"""Where a protocol's baseline is near its maximum: half of that is the rate of its open loops."""

SETTLES_WITHIN_S = 2.0
"""By then the reserve process, which starts when the worker is ready, has its libraries loaded."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. ``quick`` marks results that are good for a glance, not for a claim."""

    quick: bool
    workloads: tuple[str, ...]
    in_flight: tuple[int, ...]
    rounds: int
    warm_up_s: float
    duration_s: float
    starts: int


FULL = Plan(False, tuple(workloads.WORKLOADS), (1, 8, 32, 64), rounds=5, warm_up_s=0.5, duration_s=3.0, starts=5)
QUICK = Plan(True, ("logistic-regression",), (1, 8, 32), rounds=1, warm_up_s=0.2, duration_s=1.0, starts=1)


@dataclass(frozen=True, slots=True)
class Checked:
    """A contestant with a model, whose answer was found right."""

    contestant: Contestant
    model: str
    target: Target
    answer_bytes: int


def run(plan: Plan, say: Say) -> dict[str, Any]:
    """Measures by ``plan``; ``say`` is told what is going on. Raises NotReady, GeneratorFailed or ValueError."""
    where = machine.describe()
    is_pinned = processes.pin_generator()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "models"
        folder.mkdir()
        say("training the models")
        for workload in plan.workloads:
            workloads.export(workloads.WORKLOADS[workload], folder)
        say("bare session.run")
        bare = _bare(folder, plan)
        say("starting rapide with one model")
        starts = [_start(folder / f"{plan.workloads[0]}.onnx", Path(name)) for _ in range(plan.starts)]
        with _servers(folder, Path(name)) as (servers, ports):
            checked = _check(folder, plan, ports)
            closed = _closed_loops(checked, plan, say)
            opened = _open_loops(checked, closed, plan, say)
            loaded = {server: _memory(process) for server, process in servers.items()}
    return {
        "schema": SCHEMA,
        "quick": plan.quick,
        "machine": where,
        "versions": machine.versions(),
        "method": {
            "pinned": is_pinned,
            "generators": {protocol: generators.name_for(protocol) for protocol in ("grpc", "http")},
            "most_connections": generators.MOST_CONNECTIONS,
            **dataclasses.asdict(plan),
        },
        "bare_us": bare,
        "starts": starts,
        "memory_after_load": loaded,
        "closed": closed,
        "open": opened,
    }


def _bare(folder: Path, plan: Plan) -> Any:
    command = [sys.executable, "-m", "rapide.loadtests.bench.bare", str(folder), str(plan.duration_s)]
    said = subprocess.run(pinned(command), capture_output=True, text=True, check=True)
    return json.loads(said.stdout)


def _start(model: Path, folder: Path) -> dict[str, Any]:
    """Seconds from the command to ready, and the memory soon after, with one small model."""
    ports = Ports()
    with ServerProcess(pinned(contestants.rapide_command(model, ports)), folder / "start.log") as server:
        ready_s = server.wait_until(lambda: contestants.rapide_is_ready(ports))
        time.sleep(SETTLES_WITHIN_S)
        return {"ready_s": ready_s, "memory": _memory(server)}


def _memory(server: ServerProcess) -> list[dict[str, Any]]:
    return [dataclasses.asdict(process) for process in server.memory()]


@contextlib.contextmanager
def _servers(folder: Path, logs: Path) -> Iterator[tuple[dict[str, ServerProcess], dict[str, Ports]]]:
    """All servers, started and ready, by name. They stay up: an idle one costs the others nothing."""
    ports = {server.name: Ports() for server in SERVERS}
    with contextlib.ExitStack() as stack:
        started = {}
        for server in SERVERS:
            mine = ports[server.name]
            process = ServerProcess(pinned(server.command(folder, mine)), logs / f"{server.name}.log")
            started[server.name] = stack.enter_context(process)
            process.wait_until(lambda server=server, mine=mine: server.is_ready(mine))  # type: ignore[misc]
        yield started, ports


def _check(folder: Path, plan: Plan, ports: dict[str, Ports]) -> list[Checked]:
    checked = []
    for model in plan.workloads:
        expected = contestants.expected_answer(folder, model)
        for contestant in CONTESTANTS:
            target = contestants.target(contestant, model, ports[contestant.server.name])
            checked.append(Checked(contestant, model, target, contestants.check(target, expected)))
    return checked


def _closed_loops(checked: list[Checked], plan: Plan, say: Say) -> list[dict[str, Any]]:
    found = []
    for number in range(1, plan.rounds + 1):
        say(f"closed loops, round {number} of {plan.rounds}")
        for in_flight in plan.in_flight:
            load = Load(in_flight, plan.warm_up_s, plan.duration_s)
            for each in checked:
                rate = generators.measure(each.target, load, each.answer_bytes)
                found.append({**_key(each, number), "in_flight": in_flight, **dataclasses.asdict(rate)})
    return found


def _open_loops(
    checked: list[Checked], closed: list[dict[str, Any]], plan: Plan, say: Say
) -> list[dict[str, Any]]:
    """Latency at half of what the protocol's hand-written server can do, at the same Poisson arrivals for all."""
    found = []
    for number in range(1, plan.rounds + 1):
        say(f"open loops, round {number} of {plan.rounds}")
        for each in checked:
            rate_per_s = _half_of_baseline(each, closed)
            measured = asyncio.run(
                driver.open_loop(
                    each.target.open_lane,
                    lanes=OPEN_LOOP_LANES[each.contestant.protocol],
                    rate_per_s=rate_per_s,
                    warm_up_s=plan.warm_up_s,
                    duration_s=plan.duration_s,
                    seed=number,
                )
            )
            found.append({**_key(each, number), "rate_per_s": rate_per_s, **dataclasses.asdict(measured)})
    return found


def _half_of_baseline(each: Checked, closed: list[dict[str, Any]]) -> float:
    baseline = each.contestant.against or each.contestant.name
    measured = sorted({entry["in_flight"] for entry in closed})
    in_flight = min(measured, key=lambda load: abs(load - BUSY_IN_FLIGHT[each.contestant.protocol]))
    wanted = (baseline, each.model, in_flight)
    rates = [
        float(entry["requests_per_s"])
        for entry in closed
        if (entry["contestant"], entry["model"], entry["in_flight"]) == wanted
    ]
    return round(statistics.median(rates) / 2)


def _key(each: Checked, number: int) -> dict[str, Any]:
    return {"round": number, "contestant": each.contestant.name, "model": each.model}
