"""Asks a real server in a few ways, for the simulator's costs to be fitted to its answers (``fitting``).

Asked are lone requests, groups that come at once, and random arrivals at three rates, with the model on the loop
and on a thread, and the profile's own traffic under the defaults. All of it by turns, forwards and backwards: a
machine is half as fast again from one minute to the next, and what is asked in one of them alone is taken for the
server's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rapide.loadtests.replay.result import ReplayResult
from rapide.profiles.arrivals import Arrivals
from rapide.server.tuning_file import ModelTuning
from rapide.tuning.budget import Over, never
from rapide.tuning.configuration import ALWAYS_INLINE_US, Configuration, default_configuration
from rapide.tuning.curve import Curve
from rapide.tuning.served import Served, Site, Usage
from rapide.tuning.slo import percentiles

Floats = np.ndarray[Any, np.dtype[np.float64]]

LONE, GROUPS, RATES, PROFILE = "lone", "groups of", "random at", "profile"
SCENARIO_S: Final = 0.8
MOST_REQUESTS: Final = 1600
WARM_REQUESTS, WARM_S = 300, 0.5
"""At most."""
SLOWEST_INLINE_US: Final = 900.0
"""The engine runs nothing on the loop that takes a millisecond."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way of asking."""

    name: str
    arrivals: Arrivals


@dataclass(frozen=True, slots=True)
class Observation:
    """What a scenario gave, under a configuration."""

    scenario: Scenario
    configuration: Configuration
    result: ReplayResult
    usage: Usage

    @property
    def cpu_per_request_s(self) -> float:
        """Of the server."""
        return self.usage.cpu_s / self.scenario.arrivals.count

    @property
    def run_s(self) -> float:
        """Of the model, on average; 0 if none ran."""
        return self.usage.compute_s / self.usage.runs if self.usage.runs else 0.0

    @property
    def is_profile(self) -> bool:
        """Whether it is the profile's own traffic."""
        return self.scenario.name.startswith(PROFILE)

    def percentiles_s(self, percents: Sequence[float]) -> list[float]:
        """Of the latencies of what was answered."""
        return percentiles(self.result.latency_s[self.result.codes == 0], percents)


@dataclass(frozen=True, slots=True)
class Turn:
    """One server, which is asked in all the ways ``given``: the defaults under the profile, or another
    configuration in the other ways."""

    configuration: Configuration
    given: Sequence[Scenario]


def scenarios(curve: Curve, rows: int, effort: float = 1.0) -> Iterator[Scenario]:
    """For requests of ``rows`` rows; rates and pauses follow what the model takes."""
    run_s, lasts_s = curve.run_us(rows) * 1e-6, SCENARIO_S * effort
    pause_s = max(0.004, 3 * run_s)
    count = max(24, int(lasts_s / pause_s))
    yield Scenario(LONE, _groups(1, count, pause_s, rows))
    for size in (4, 16):
        each_s = pause_s + size * (1e-4 + run_s)
        yield Scenario(f"{GROUPS} {size}", _groups(size, max(12, int(lasts_s / each_s)), each_s, rows))
    capacity_per_s = 1.0 / (60e-6 + curve.run_us(16 * rows) / 16e6)
    for share in (0.1, 0.3, 0.55):
        rate = share * capacity_per_s
        wanted = int(min(MOST_REQUESTS, max(60, rate * lasts_s)))
        gaps_s = np.random.default_rng(7).exponential(1 / rate, wanted)
        yield Scenario(f"{RATES} {rate:.0f}/s", _arrivals(np.cumsum(gaps_s) + 0.01, rows))


def observe(
    site: Site,
    curve: Curve,
    rows: int,
    traffic: Arrivals,
    on_step: Callable[[str, float], None],
    effort: float = 1.0,
    over: Over = never,
) -> list[Observation]:
    """Asks real servers: one worker that runs the model on a thread, one that runs it on the loop, and the
    defaults under the profile's own ``traffic``; all of it once at least before it is ``over``."""
    given = list(scenarios(curve, rows, effort / 2))
    profile = Turn(default_configuration(len(site.cpus)), [Scenario(PROFILE, traffic)])
    ways = [Turn(way, given) for way in configurations(curve, rows)]
    all_turns = turns(profile, ways)
    found: list[Observation] = []
    for number, turn in enumerate(all_turns):
        if number > len(ways) and over():
            break
        what = "the profile under the defaults" if turn is profile else "with a real server"
        on_step(f"calibrating: {what}", number / len(all_turns))
        found += asked(site, turn)
    return found


def turns(profile: Turn, ways: Sequence[Turn]) -> list[Turn]:
    """Who is asked, in order: every way twice, forwards and backwards, and the profile before, between and
    after."""
    return [profile, *ways, profile, *reversed(ways), profile]


def configurations(curve: Curve, rows: int) -> list[Configuration]:
    """One worker that runs the model on threads, and one that runs it on the loop, if that can be. What it does by
    itself is one of them, or, near the limit, now this and now that."""
    ways_us = (0.0, ALWAYS_INLINE_US) if curve.run_us(16 * rows) < SLOWEST_INLINE_US else (0.0,)
    return [Configuration(1, ModelTuning(inline_below_us=way_us)) for way_us in ways_us]


def asked(site: Site, turn: Turn) -> Iterator[Observation]:
    """Asks a server of its own."""
    with Served(site, turn.configuration) as served:
        first = turn.given[0].arrivals
        few = min(WARM_REQUESTS, int(np.searchsorted(first.instants_s, WARM_S)) + 1)
        served.replay(Arrivals(first.instants_s[:few], first.rows[:few]))  # connections and templates get used
        for scenario in turn.given:
            result, used = served.replay_measured(scenario.arrivals)
            yield Observation(scenario, turn.configuration, result, used)


def _groups(size: int, count: int, pause_s: float, rows: int) -> Arrivals:
    return _arrivals(np.repeat(np.arange(count) * pause_s + 0.01, size), rows)


def _arrivals(instants_s: Floats, rows: int) -> Arrivals:
    return Arrivals(instants_s, np.full(len(instants_s), rows, np.int64))
