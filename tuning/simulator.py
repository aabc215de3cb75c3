"""What latencies a configuration would give under given arrivals: the server's own queue and policy, on a clock
of ours.

Theory. Each worker is one event loop. It sleeps until something comes, reads what has come, and perhaps looks for
more, forms a batch with the server's own ``BatchQueue`` (time is its argument), and runs it: inline, when nothing
else happens meanwhile, or on a thread, when the next batch gathers. ``Gathering`` and ``RunTimes``, the server's
own, decide that. A thread needs the interpreter's lock to begin and to tell that it has ended, and gets it when
the loop's turn is over. What all of it costs is ``Costs`` and the model's ``Curve``. Loops, threads and the load
generator want cores, and wait for one where all are taken (``simulation.cores``). Connections are spread over
workers as the kernel does it, by chance, and requests over connections in turn.

Nothing here knows real time: 4,000 requests take 25 to 40 ms to simulate, 50 to 100 where it is interpreted.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curve import Curve
from rapide.tuning.simulation.client import Callers, Client
from rapide.tuning.simulation.clock import Clock
from rapide.tuning.simulation.cores import Cores
from rapide.tuning.simulation.worker import Worker

Floats = np.ndarray[Any, np.dtype[np.float64]]
CONNECTIONS: Final = 16
"""As the replay opens them over gRPC."""
_ONE: Final = ()
"""The key of requests that may be merged."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``latency_s``: of each request, infinite where it was refused. ``busy``: share of the time for which the
    busiest place was (a loop, its threads, all cores); near 1 it cannot keep up."""

    latency_s: Floats
    cpu_s: float
    """Of all workers, the model's threads included."""
    busy: float
    runs: int
    compute_s: float
    """Of all runs, each from its beginning to its end, as the server measures them."""


def simulate(
    arrivals: Arrivals,
    configuration: Configuration,
    curve: Curve,
    costs: Costs,
    *,
    cores: int,
    seed: int = 0,
    batchable: bool = True,
    client: bool = True,
) -> Outcome:
    """``client``: whether the load generator's own delays are part of it (a replay on this machine), or not (what
    callers elsewhere would see, the network as here)."""
    random = np.random.default_rng(seed)
    of_connection = random.integers(0, configuration.workers, CONNECTIONS).tolist()
    due_s, rows = arrivals.instants_s.tolist(), arrivals.rows.tolist()
    clock = Clock()
    taken = Cores(clock, cores)
    workers: list[Worker] = []

    def deliver(number: int, at_s: float) -> None:
        workers[of_connection[number % CONNECTIONS]].deliver(number, rows[number], at_s)

    shared = None if costs.client_apart else taken
    asker = Client if client else Callers
    callers = asker(clock, shared, costs, due_s, deliver, Random(seed))  # noqa: S311 - a simulation
    for _ in range(configuration.workers):
        key, its_seed = _ONE if batchable else None, int(random.integers(1 << 30))
        workers.append(Worker(clock, taken, configuration, curve, costs, key, callers, its_seed))
    callers.begin()
    clock.run()
    span_s = max(1e-6, arrivals.duration_s)
    threads, sessions = configuration.knobs.threads, configuration.tuning.sessions
    cpu_s = sum(each.loop_s + threads * (each.inline_s + each.threads_s) for each in workers)
    places_s = [each.loop_s + each.inline_s for each in workers] + [each.threads_s / sessions for each in workers]
    all_s = (cpu_s + (callers.busy_s if shared else 0.0)) / cores
    busy = max(*places_s, all_s) / span_s
    latency_s = np.array(callers.ended_s) - arrivals.instants_s
    runs, compute_s = sum(each.runs for each in workers), sum(each.computed_s for each in workers)
    return Outcome(latency_s, cpu_s, busy, runs, compute_s)
