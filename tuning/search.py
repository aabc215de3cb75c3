"""Which of hundreds of configurations are worth a proof: simulated on little traffic, the best on more, and so on.

What *good* means is the objective's: the lowest percentile, the least processor time within the SLO, or the
highest multiple of the recorded load that the SLO survives. Among nearly equals the one wins that differs least
from what the server does by itself: a knob must pay for being explained."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.server.tuning_file import ModelTuning
from rapide.tuning.budget import Over, never
from rapide.tuning.configuration import ALWAYS_INLINE_US, Configuration, default_configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curve import Curve
from rapide.tuning.knobs import Knobs
from rapide.tuning.simulator import Outcome, simulate
from rapide.tuning.slo import Slo, percentile

Objective = Literal["latency", "throughput", "cost"]
STAGES: Final = ((500, 48), (2000, 12), (6000, 4))
"""Requests simulated, and how many configurations go on; hundreds begin."""
LAST_SEEDS: Final = 3
"""Simulations of each in the last stage: in one alone a stall strikes this configuration, and not that one."""
NEARLY: Final = 0.03
SPEEDS: Final = (0.125, 32.0)
"""Multiples of the recorded load between which the highest is looked for first."""
HIGHEST_SPEED: Final = 2.0**17
SUSTAINED: Final = 0.9
"""A place that is busier than this keeps up for as long as is simulated, and not for ever."""
BATCH_ROWS: Final = (8, 32, 64, 256, 1024)
DELAYS_US: Final = (0.0, 200.0, 1000.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is searched in: this machine's figures, the traffic, and what is wanted."""

    curves: Sequence[Curve]
    costs: Costs
    arrivals: Arrivals
    slo: Slo
    objective: Objective
    cores: int
    batchable: bool = True
    most_requests: int = 10**9
    """Simulated at most."""
    client: bool = True
    """Whether a load generator on this machine is part of it, as in a replay, or callers are elsewhere."""

    def curve_of(self, knobs: Knobs) -> Curve:
        return next(curve for curve in self.curves if curve.knobs == knobs)

    @property
    def default(self) -> Configuration:
        """What the server does by itself, with the first curve's session."""
        plain = default_configuration(self.cores)
        is_known = any(curve.knobs == plain.knobs for curve in self.curves)
        return plain if is_known else Configuration(self.cores, self.curves[0].knobs.tuning)

    @property
    def traffic(self) -> Arrivals:
        """The first of the arrivals, as many as may be simulated."""
        most = self.most_requests
        return Arrivals(self.arrivals.instants_s[:most], self.arrivals.rows[:most])


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration and what the simulator says of it. ``score``: smaller is better, by the objective."""

    configuration: Configuration
    score: float
    outcome: Outcome
    speed: float = 1.0
    """The highest multiple of the load within the SLO, where that was looked for."""

    def percentile_s(self, percent: float) -> float:
        return percentile(self.outcome.latency_s, percent)


def configurations(setting: Setting) -> list[Configuration]:
    """All that are worth simulating; the default first."""
    found = {setting.default: None}
    for curve in setting.curves:
        for tuning in _tunings(curve, setting):
            for workers in range(1, setting.cores + 1):
                if workers * max(curve.knobs.threads, tuning.sessions) + _spun(curve, setting) <= setting.cores:
                    found[Configuration(workers, tuning)] = None
    return list(found)


def _spun(curve: Curve, setting: Setting) -> int:
    """Cores that must be left over: threads that spin never let a load generator on their cores run in time, so
    that nothing could be proven."""
    return int(setting.client and curve.knobs.spinning)


def _tunings(curve: Curve, setting: Setting) -> Iterator[ModelTuning]:
    largest = int(setting.arrivals.rows.max())
    base = curve.knobs.tuning
    sizes = [size for size in BATCH_ROWS if size >= largest or size == BATCH_ROWS[-1]] or [BATCH_ROWS[-1]]
    if not setting.batchable:
        sizes = [64]
    caps = [0, *curve.caps(max(sizes))[:2]]
    delays = [delay for delay in DELAYS_US if delay * 4e-6 <= setting.slo.main.limit_s]
    sessions = (1, 2) if setting.cores > 1 and curve.knobs.threads == 1 else (1,)
    for rows, cap, delay, inline, count in itertools.product(sizes, caps, delays, _inlines(curve), sessions):
        if count > 1 and inline > ModelTuning().inline_below_us:
            continue  # on the loop there is only one at a time
        for queue in _queues(curve, rows, cap, largest, setting):
            yield replace(
                base,
                max_batch_rows=rows,
                max_rows_per_run=cap,
                max_delay_us=delay,
                inline_below_us=inline,
                sessions=count,
                max_queue_rows=queue,
            )


def _inlines(curve: Curve) -> list[float]:
    """The default, and what it would not do by itself: a run that is too slow on the loop, a fast one on a
    thread."""
    default_us, run_us = ModelTuning().inline_below_us, curve.run_us(1)
    return [default_us, ALWAYS_INLINE_US if run_us * 8 > default_us else default_us, 0.0][
        : 3 if run_us > 10 else 1
    ]


def _queues(curve: Curve, rows: int, cap: int, largest: int, setting: Setting) -> list[int]:
    """The default's bound, and one that refuses what could not be answered within the SLO anyway."""
    per_row_s = curve.run_us(rows, cap) / rows * 1e-6
    bound = int(setting.slo.main.limit_s / max(per_row_s, 1e-7))
    default = max(ModelTuning().max_queue_rows, rows)
    tight = max(rows, largest, min(bound, default))
    return [default] if tight >= default else [default, tight]


def search(
    setting: Setting, on_step: Callable[[str, float], None], keep: int = STAGES[-1][1], over: Over = never
) -> tuple[list[Candidate], int]:
    """The best candidates, best first, the default always among them; and how many were simulated. When it is
    ``over``, what the last whole stage found counts, or of the first one what it came to."""
    remaining = configurations(setting)
    default, total = remaining[0], len(remaining)
    ranked: list[Candidate] = []
    for number, (requests, survivors) in enumerate(STAGES):
        stage = replace(setting, arrivals=window(setting.arrivals, requests))
        judged: list[Candidate] = []
        for index, configuration in enumerate(remaining):
            if index % 20 == 0:
                share = (number + index / len(remaining)) / len(STAGES)
                on_step(f"simulating {len(remaining)} of {total} configurations", share)
            if (index or number) and over():
                break
            seeds = LAST_SEEDS if number == len(STAGES) - 1 and setting.objective != "throughput" else 1
            judged.append(judge(configuration, stage, is_final=number > 0, seeds=seeds))
        if number == 0:
            total = len(judged)
        elif len(judged) < len(remaining):
            break
        ranked = sorted(judged, key=lambda one: one.score)
        if stage.arrivals.count == setting.arrivals.count and number > 0:
            break
        leaders = [one.configuration for one in leading(ranked, survivors)]
        remaining = [default, *(one for one in leaders if one != default)]
    ordered = _distinct(_by_plainness(ranked))
    last = [one for one in ranked if one.configuration == default and one not in ordered[:keep]]
    return [*ordered[:keep], *last], total


def leading(ranked: Sequence[Candidate], count: int) -> list[Candidate]:
    """The best ``count``, best first, among them the best of each kind: what is alike is wrong alike, where the
    simulator is."""
    kinds: dict[object, Candidate] = {}
    for one in ranked:
        kinds.setdefault(_kind(one.configuration), one)
    first = list(kinds.values())[:count]
    firsts = {id(one) for one in first}
    chosen = {id(one) for one in [*first, *(one for one in ranked if id(one) not in firsts)][:count]}
    return [one for one in ranked if id(one) in chosen]


def _kind(configuration: Configuration) -> tuple[object, ...]:
    knobs, tuning = configuration.knobs, configuration.tuning
    return configuration.workers, knobs.variant, knobs.threads, tuning.sessions, tuning.inline_below_us


def judge(configuration: Configuration, setting: Setting, *, is_final: bool = True, seeds: int = 1) -> Candidate:
    """What the simulator says of ``configuration``; the median of ``seeds`` runs, by score."""
    found = sorted(
        (_judge(configuration, setting, is_final, seed) for seed in range(seeds)), key=lambda one: one.score
    )
    return found[len(found) // 2]


def _judge(configuration: Configuration, setting: Setting, is_final: bool, seed: int) -> Candidate:
    outcome = run(configuration, setting, seed=seed)
    match setting.objective:
        case "latency":
            return Candidate(configuration, setting.slo.figure(outcome.latency_s), outcome)
        case "cost":
            cost = outcome.cpu_s / max(1, len(outcome.latency_s))
            return Candidate(configuration, setting.slo.figure(outcome.latency_s, cost), outcome)
    speed = highest_speed(configuration, setting, seed, steps=6 if is_final else 3)
    return Candidate(configuration, 1 / speed, outcome, speed)


def highest_speed(configuration: Configuration, setting: Setting, seed: int = 0, steps: int = 6) -> float:
    """The highest multiple of the load at which the SLO holds in the simulation, to 2 to the power of 8 /
    2^steps; half of the lowest that is tried where not even that holds."""

    def holds(speed: float) -> bool:
        outcome = run(configuration, setting, speed=speed, seed=seed)
        return outcome.busy < SUSTAINED and setting.slo.holds(outcome.latency_s)

    low, high = SPEEDS
    while high < HIGHEST_SPEED and holds(high):
        low, high = high, high * 16
    for _ in range(steps):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low if low > SPEEDS[0] or holds(low) else low / 2


def run(configuration: Configuration, setting: Setting, *, speed: float = 1.0, seed: int = 0) -> Outcome:
    """One simulation."""
    arrivals = setting.traffic if speed == 1.0 else setting.traffic.scaled(speed)
    return simulate(
        arrivals,
        configuration,
        setting.curve_of(configuration.knobs),
        setting.costs,
        cores=setting.cores,
        seed=seed,
        batchable=setting.batchable,
        client=setting.client,
    )


def typical(configuration: Configuration, setting: Setting, seeds: int = LAST_SEEDS) -> Outcome:
    """The median of some simulations, by what the SLO limits."""
    outcomes = [run(configuration, setting, seed=seed) for seed in range(seeds)]
    return sorted(outcomes, key=lambda one: setting.slo.figure(one.latency_s))[seeds // 2]


def window(arrivals: Arrivals, requests: int) -> Arrivals:
    """The ``requests`` neighbours that come in the shortest time."""
    if arrivals.count <= requests:
        return arrivals
    spans = arrivals.instants_s[requests - 1 :] - arrivals.instants_s[: 1 - requests or None]
    first = int(np.argmin(spans))
    chosen = slice(first, first + requests)
    return Arrivals(arrivals.instants_s[chosen] - arrivals.instants_s[first] + 0.01, arrivals.rows[chosen])


def _by_plainness(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Best first, but among those that are within NEARLY of the best the one with the fewest changes."""
    if not ranked:
        return []
    limit = ranked[0].score * (1 + NEARLY)
    near = sorted(
        (one for one in ranked if one.score <= limit), key=lambda one: (changes(one.configuration), one.score)
    )
    return [*near, *(one for one in ranked if one.score > limit)]


def _distinct(ordered: Sequence[Candidate]) -> list[Candidate]:
    """Without those that answer every request at the same time as one before them: knobs that change nothing."""
    kept: list[Candidate] = []
    for one in ordered:
        if not any(np.array_equal(one.outcome.latency_s, other.outcome.latency_s) for other in kept):
            kept.append(one)
    return kept


def changes(configuration: Configuration) -> int:
    """How many things differ from the defaults, the number of workers aside."""
    default = ModelTuning().to_json()
    return sum(value != default[name] for name, value in configuration.tuning.to_json().items())
