"""What is measured in a round. Each part gives rows of plain data; how they are shown is the report's business."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rapide.loadtests import crowd
from rapide.loadtests.bench import bare, contestants, open_loop, workloads
from rapide.loadtests.bench.contestants import CONTESTANTS, Contestant, Ports
from rapide.loadtests.bench.generators import Load
from rapide.loadtests.bench.meter import Meter
from rapide.loadtests.bench.plan import Plan
from rapide.loadtests.bench.processes import ServerProcess, pinned
from rapide.loadtests.bench.stage import ONE_WORKER, TWO_WORKERS, Checked, Stage
from rapide.loadtests.replay.generator import Refused

Entry = dict[str, Any]
Say = Callable[[str], None]

BUSY_IN_FLIGHT = {"grpc": 32, "http": 8}
"""Where a protocol's baseline is near its maximum: half of that is the rate of its open loops."""
TURN_S = 1.0
"""Of one contestant at a fixed arrival rate, before the next one has its own: machines change by the minute."""
TURN_WARM_UP_S = 0.2
"""A server that was paused looks at what has become of its repository and its workers first."""
WHOLE_BATCH = 64
"""Rows that the server runs together at most, as it is set by default."""
BARE_ROWS = (1, 8, 16, 32, WHOLE_BATCH)
"""Batch sizes among which the larger model's best is looked for."""
LONGER = 2
"""How many times as long as other loops those of the larger model last: a hundred requests take seconds."""
LARGER_TURNS = ("bare", "batches", "rows", "bare", "rows", "batches", "bare")
"""The bare loop before, between and after the others: a machine that slows down meanwhile cancels out."""
RUNS = 40
"""The fewest runs from which a larger model's rate is taken."""
LARGER_WARM_UP_S = 1.0
"""In less, not one of many large requests in flight may be answered."""
BATCHES_IN_FLIGHT = 2
"""One batch runs while the next one gathers: so much keeps a worker busy, one row a request."""
WORKERS_IN_FLIGHT = 16
"""Each on a connection of its own: the kernel deals connections out among workers at random."""
_GRPC: Contestant = next(each for each in CONTESTANTS if each.name == "rapide-grpc")


def closed_loops(checked: Sequence[Checked], plan: Plan, number: int, say: Say) -> list[Entry]:
    """Every contestant at every number of requests in flight, in turn."""
    found = []
    for in_flight in sorted({*plan.grpc_in_flight, *plan.http_in_flight}):
        say(f"closed loops, {in_flight} in flight")
        for each in checked:
            contestant = each.contestant
            if in_flight not in plan.in_flight(contestant.protocol) or not contestant.is_measured_at(in_flight):
                continue
            load = Load(in_flight, plan.duration_s, contestant.connections)
            figures = each.closed_loop(load, plan.warm_up_s)
            found.append({**_key(each, number), "in_flight": in_flight, **figures})
    return found


def open_loops(
    checked: Sequence[Checked], closed: Sequence[Entry], plan: Plan, number: int, say: Say
) -> list[Entry]:
    """Latency at half of what the protocol's hand-written server can do, at the same Poisson arrivals for all, who
    take turns of a second."""
    found = []
    turn_s = min(TURN_S, plan.open_s)
    turns = math.ceil(plan.open_s / turn_s)
    for model in plan.workloads:
        those = [each for each in checked if each.model == model and each.contestant.is_in_open_loop]
        rates_per_s = [half_of_baseline(each.contestant, model, closed) for each in those]
        taken: list[list[open_loop.Turn]] = [[] for _ in those]
        costs: list[list[dict[str, float]]] = [[] for _ in those]
        for place in range(turns):
            say(f"fixed arrival rate, {model}, turn {place + 1} of {turns}")
            seed = number * turns + place
            for index in range(len(those)):
                at = (index + place) % len(those)  # nobody always follows upon the same one
                each = those[at]
                alone = each.server.undisturbed() if plan.real_time else contextlib.nullcontext()
                with each.server.awake(), alone, Meter(each.server) as meter:
                    taken[at].append(_turn(each, rates_per_s[at], turn_s, seed))
                costs[at].append(dataclasses.asdict(meter.cost))
        for each, rate_per_s, mine, cost in zip(those, rates_per_s, taken, costs, strict=True):
            figures = {**dataclasses.asdict(open_loop.summary(mine)), **_means(cost)}
            found.append({**_key(each, number), "rate_per_s": rate_per_s, **figures})
    return found


def _turn(each: Checked, rate_per_s: float, turn_s: float, seed: int) -> open_loop.Turn:
    """Tries twice: a long run should not end for one lost connection."""
    try:
        return open_loop.turn(each.target, rate_per_s, TURN_WARM_UP_S, turn_s, seed)
    except (OSError, Refused):
        return open_loop.turn(each.target, rate_per_s, TURN_WARM_UP_S, turn_s, seed)


def half_of_baseline(contestant: Contestant, model: str, closed: Sequence[Entry]) -> float:
    """Requests per second: the median of the baseline's closed loops where it is busy, halved."""
    baseline = contestant.against or contestant.name
    mine = [entry for entry in closed if (entry["contestant"], entry["model"]) == (baseline, model)]
    wanted = BUSY_IN_FLIGHT[contestant.protocol]
    nearest = min((entry["in_flight"] for entry in mine), key=lambda load: abs(load - wanted))
    rates = [float(entry["requests_per_s"]) for entry in mine if entry["in_flight"] == nearest]
    return round(statistics.median(rates) / 2)


def bare_curve(stage: Stage, model: str, plan: Plan) -> Mapping[str, Mapping[str, float]]:
    """``session.run`` alone at each batch size, to find the best one."""
    return bare.measure(stage.larger / f"{model}.onnx", BARE_ROWS, plan.duration_s / 2)


def best_rows(curve: Mapping[str, Mapping[str, float]]) -> int:
    """The batch size of the most rows per second."""
    return int(max(curve, key=lambda rows: curve[rows]["rows_per_s"]))


def larger_model(
    stage: Stage, model: str, curve: Mapping[str, Mapping[str, float]], plan: Plan, number: int
) -> list[Entry]:
    """Rows per second of the bare loop at its best batch size, and of the server on the same core: asked for
    whole batches, and for one row at a time, which it has to gather itself. They take turns."""
    path = stage.larger / f"{model}.onnx"
    rows = best_rows(curve)
    run_s = curve[str(rows)]["run_us"] / 1e6
    duration_s = max(LONGER * plan.duration_s, RUNS * run_s)
    warm_up_s = max(LARGER_WARM_UP_S, BATCHES_IN_FLIGHT**2 * run_s)

    def bare_loop() -> dict[str, float]:
        with Meter() as meter:
            alone = bare.measure(path, (rows,), duration_s)[str(rows)]
        return {"rows_per_s": alone["rows_per_s"], **dataclasses.asdict(meter.cost), "generator_cores": 0.0}

    def served(each: int) -> Callable[[], dict[str, float]]:
        checked = stage.checked(_GRPC, workloads.payload(path, each), ONE_WORKER)
        requests = round(duration_s * curve[str(rows)]["rows_per_s"] / each)
        load = Load(BATCHES_IN_FLIGHT * rows // each, duration_s, requests=requests)

        def figures() -> dict[str, float]:
            found = checked.closed_loop(load, warm_up_s)
            return {**found, "rows_per_s": found["requests_per_s"] * each}

        return figures

    hows = {"bare": (bare_loop, rows), "batches": (served(rows), rows), "rows": (served(1), 1)}
    found: dict[str, list[dict[str, float]]] = {how: [] for how in hows}
    for how in LARGER_TURNS:
        found[how].append(hows[how][0]())
    return [
        {"round": number, "model": model, "how": how, "rows": each, **_means(found[how])}
        for how, (_, each) in hows.items()
    ]


def _means(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of measurements that took equally long."""
    return {name: statistics.fmean(each[name] for each in figures) for name in figures[0]}


def two_workers(stage: Stage, plan: Plan, number: int) -> list[Entry]:
    """One worker on one core, then two on both, at twice the requests in flight.

    With the larger model, whose generator needs next to nothing of the core that it shares, requests per second
    tell. With a small one the generator needs as much as a server: there the processor time of a request tells.
    """
    found = []
    for model, each in ((workloads.LARGER.name, WHOLE_BATCH), (plan.workloads[0], 1)):
        payload = workloads.payload(stage.larger / f"{model}.onnx", each)
        for workers, server in ((1, ONE_WORKER), (2, TWO_WORKERS)):
            checked = stage.checked(_GRPC, payload, server)
            in_flight = WORKERS_IN_FLIGHT * workers
            load = Load(in_flight, LONGER * plan.duration_s, connections=in_flight, yields=True)
            key = {"round": number, "model": model, "workers": workers, "rows": each}
            found.append({**key, **checked.closed_loop(load, LARGER_WARM_UP_S)})
    return found


def crowded(stage: Stage, model: str, plan: Plan) -> Entry:
    """Many connections on a fresh worker, whose memory nothing else has filled."""
    ports = Ports()
    path = stage.small / f"{model}.onnx"
    crowd.allow_many_files()
    command = contestants.rapide_command(path, ports, "--no-reserve")
    with ServerProcess(pinned(command), stage.logs / "crowd.log") as server:
        server.wait_until(lambda: contestants.rapide_is_ready(ports))
        doors = crowd.doors_of(contestants.HOST, ports.http, ports.grpc, model)
        with Meter(server) as meter:
            found = asyncio.run(
                crowd.crowd(
                    doors, (ports.http, ports.grpc), idle=plan.idle, active=plan.active, seconds=plan.crowd_s
                )
            )
    return {"model": model, **dataclasses.asdict(found), **dataclasses.asdict(meter.cost)}


def _key(each: Checked, number: int) -> Entry:
    return {"round": number, "contestant": each.contestant.name, "model": each.model}
