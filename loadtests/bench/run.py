"""One run: everybody started on one core, checked, then measured in turn, round after round.

Rounds alternate between the contestants, so that a machine that slows down slows all of them, and ratios are taken
within a round. Who is not measured is paused. The whole of a round is measured before the next one begins: a run
that its limit ends early has fewer rounds of everything, and says so.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rapide.loadtests.bench import bare, contestants, generators, machine, parts, processes, workloads
from rapide.loadtests.bench.contestants import SERVERS, Ports
from rapide.loadtests.bench.parts import Entry, Say
from rapide.loadtests.bench.plan import Plan, left
from rapide.loadtests.bench.processes import ServerProcess, pinned
from rapide.loadtests.bench.stage import SETTLES_WITHIN_S, Stage, started

SCHEMA = 3
BARE_ROWS = (1, 8, 32, 64)
WITH_LARGER = {"larger", "workers"}
"""The parts that need the larger model and the servers that serve it."""
ROUND_PARTS = ("closed", "open", "larger", "workers")


def run(plan: Plan, say: Say, keep: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Measures by ``plan``; ``say`` is told what is going on, ``keep`` gets the results as far as they are, after
    each round.

    Raises NotReady, GeneratorFailed, Refused, OSError or ValueError.
    """
    begun_s = time.monotonic()
    say("looking at the machine")
    where = machine.describe()
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "quick": plan.quick,
        "machine": where,
        "versions": machine.versions(),
        "method": {
            "pinned": processes.pin_generator(),
            "generators": {protocol: generators.name_for(protocol) for protocol in ("grpc", "http")},
            "most_connections": contestants.MOST_CONNECTIONS,
            **dataclasses.asdict(plan),
        },
    }
    with tempfile.TemporaryDirectory() as name:
        stage = _stage(Path(name), plan, say)
        results |= _before(stage, plan, say)
        with started(stage, with_larger=bool(WITH_LARGER & set(plan.parts))):
            for rounds in _rounds(stage, plan, results["curves"], begun_s, say):
                memory = {server.name: _memory(stage.running[server.name].process) for server in SERVERS}
                results |= {"took_s": time.monotonic() - begun_s, "memory_after_load": memory, **rounds}
                keep(results)
    return results


def _stage(folder: Path, plan: Plan, say: Say) -> Stage:
    """Makes the models."""
    stage = Stage(folder / "models", folder / "larger", folder)
    stage.small.mkdir()
    stage.larger.mkdir()
    for workload in plan.workloads:
        say(f"making the model {workload}")
        workloads.export(workloads.WORKLOADS[workload], stage.small)
    if WITH_LARGER & set(plan.parts):
        say(f"making the model {workloads.LARGER.name}")
        workloads.export(workloads.LARGER, stage.larger)
        workloads.adopt(stage.small / f"{plan.workloads[0]}.onnx", stage.larger)
    for path in plan.larger:
        workloads.adopt(Path(path), stage.larger)
    return stage


def _before(stage: Stage, plan: Plan, say: Say) -> dict[str, Any]:
    """What is measured once, while no other server is there."""
    smallest = plan.workloads[0]
    say("session.run alone")
    found: dict[str, Any] = {
        "bare": {
            model: bare.measure(stage.small / f"{model}.onnx", BARE_ROWS, plan.duration_s / 2)
            for model in plan.workloads
        },
        "starts": [],
        "crowd": {},
        "curves": {},
    }
    if "larger" in plan.parts:
        for path in sorted(stage.larger.glob("*.onnx")):
            if path.stem != smallest:
                say(f"session.run alone, {path.stem}")
                found["curves"][path.stem] = parts.bare_curve(stage, path.stem, plan)
    if "start" in plan.parts:
        for number in range(1, plan.starts + 1):
            say(f"starting rapide with one model, {number} of {plan.starts}")
            found["starts"].append(_start(stage.small / f"{smallest}.onnx", stage.logs))
    if "crowd" in plan.parts:
        say(f"a crowd: {plan.idle:,} idle connections, {plan.active:,} active ones")
        found["crowd"] = parts.crowded(stage, smallest, plan)
    return found


def _rounds(
    stage: Stage, plan: Plan, curves: Mapping[str, Mapping[str, Mapping[str, float]]], begun_s: float, say: Say
) -> Iterator[dict[str, Any]]:
    """As many rounds as the plan has and its limit allows, at least one; after each, all that was found so far."""
    checked = stage.everybody(plan.workloads) if "closed" in plan.parts else []
    found: dict[str, list[Entry]] = {part: [] for part in ROUND_PARTS}
    took_s: list[float] = []
    for number in range(1, plan.rounds + 1):
        gone_s = time.monotonic() - begun_s
        if took_s and gone_s + max(took_s) > plan.limit_s:
            say(f"no time for round {number}: {gone_s:.0f} s of {plan.limit_s:.0f} s are gone")
            break
        estimate = f", about {left(took_s, plan.rounds):.0f} s left" if took_s else ""
        say(f"round {number} of {plan.rounds}: {gone_s:.0f} s gone{estimate}")
        round_began_s = time.monotonic()
        if "closed" in plan.parts:
            found["closed"] += parts.closed_loops(checked, plan, number, say)
        if "open" in plan.parts:
            found["open"] += parts.open_loops(checked, found["closed"], plan, number, say)
        for model, curve in curves.items():
            say(f"{model}, the server against session.run in a loop")
            found["larger"] += parts.larger_model(stage, model, curve, plan, number)
        if "workers" in plan.parts:
            say("one worker and two")
            found["workers"] += parts.two_workers(stage, plan, number)
        took_s.append(time.monotonic() - round_began_s)
        yield {"rounds": number, **found}


def _start(model: Path, folder: Path) -> dict[str, Any]:
    """Seconds from the command to ready, and the memory soon after, with one small model."""
    ports = Ports()
    with ServerProcess(pinned(contestants.rapide_command(model, ports)), folder / "start.log") as server:
        ready_s = server.wait_until(lambda: contestants.rapide_is_ready(ports))
        time.sleep(SETTLES_WITHIN_S)
        return {"ready_s": ready_s, "memory": _memory(server)}


def _memory(server: ServerProcess) -> list[dict[str, Any]]:
    return [dataclasses.asdict(process) for process in server.memory()]
