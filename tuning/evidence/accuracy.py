"""Fifteen configurations × four profiles: what the simulator says, and what a real server then does.

Two steps. ``collect`` asks real servers: first as a calibration does, then, in rounds, every configuration with
every profile; between them it watches how often the machine stalls. ``judge`` fits the costs to the calibration
alone, and compares what the simulator makes of them with the replays.

Two of five servers have one core, and the load generator the other: a generator that shares its cores with the
server is part of what it measures. The others have both cores and share them with it, as in a tuning on a machine
of two cores: loops, the model's threads and the generator wait for one another."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from rapide.loadtests.replay.result import ReplayResult
from rapide.profiles.arrivals import Arrivals
from rapide.profiles.synthetic import synthetic_arrivals
from rapide.server.model import SessionOptions, load_model
from rapide.server.repository.digest import file_digest_text
from rapide.server.tuning_file import ModelTuning
from rapide.tuning import calibration, fitting, sample_rows, stall_meter
from rapide.tuning.calibration import Observation, Scenario
from rapide.tuning.configuration import Configuration, default_configuration
from rapide.tuning.curve import Curve
from rapide.tuning.curve_child import entry_of
from rapide.tuning.curves import Subject, in_child, sizes_for
from rapide.tuning.knobs import Knobs
from rapide.tuning.proof import answered_s
from rapide.tuning.served import Served, Site
from rapide.tuning.simulator import simulate
from rapide.tuning.slo import percentile
from rapide.tuning.stall_meter import Stalls
from rapide.tuning.traffic import busiest

Ends = tuple[float, float]
"""p50 and p99, in seconds."""

SECONDS: Final = 4.0
ROUNDS: Final = 3
"""Replays of each, some minutes apart: what is compared is the median of their percentiles, since one pause of 10
ms in one of them can make the p99 of all their requests ten times as long."""
SEEDS: Final = 12
"""Simulations, likewise."""
SATURATED: Final = 0.7
"""Share of its busiest place from which on a machine is called saturated: there a small error in cost is a large
one in waiting."""
NEAR: Final = 0.2
STALLS_S: Final = 2.0
IDLE_S: Final = 1.0
"""Before the flood."""
FIRST_REQUESTS: Final = 200
EFFORT: Final = 0.6
"""Of the calibration."""

INLINE_US: Final = 1e6
ALONE, TOGETHER = (0,), (0, 1)
CONFIGURATIONS: Final[Mapping[str, Sequence[tuple[tuple[int, ...], Configuration]]]] = {
    "linear": (
        (ALONE, Configuration(1, ModelTuning())),
        (ALONE, Configuration(1, ModelTuning(max_delay_us=1000.0))),
        (TOGETHER, Configuration(2, ModelTuning())),
        (TOGETHER, Configuration(2, ModelTuning(inline_below_us=0.0))),
        (TOGETHER, Configuration(1, ModelTuning())),
    ),
    "forest": (
        (ALONE, Configuration(1, ModelTuning())),
        (ALONE, Configuration(1, ModelTuning(max_batch_rows=8, inline_below_us=INLINE_US))),
        (TOGETHER, Configuration(2, ModelTuning())),
        (TOGETHER, Configuration(2, ModelTuning(max_batch_rows=8, inline_below_us=INLINE_US))),
        (TOGETHER, Configuration(1, ModelTuning(inline_below_us=0.0))),
    ),
    "network": (
        (ALONE, Configuration(1, ModelTuning())),
        (ALONE, Configuration(1, ModelTuning(inline_below_us=INLINE_US))),
        (TOGETHER, Configuration(2, ModelTuning())),
        (TOGETHER, Configuration(2, ModelTuning(inline_below_us=INLINE_US))),
        (TOGETHER, Configuration(1, ModelTuning(sessions=2))),
    ),
}
"""By model: the server's processors, and how it serves. With the defaults it is calibrated, too."""
PROFILES: Final = ("steady", "burst", "idle-flood", "offline")
OFFLINE_ROWS: Final = 64
OFFLINE_PER_S: Final = 100.0
"""At most. Of fewer requests the hundredth part is none."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One replay of one configuration under one profile."""

    cpus: tuple[int, ...]
    configuration: Configuration
    profile: str
    result: ReplayResult


@dataclass(frozen=True, slots=True)
class Collected:
    """All that was measured of one model. ``observations``: of the calibration, by the server's processors."""

    curve: Curve
    observations: Mapping[tuple[int, ...], Sequence[Observation]]
    replays: Sequence[Replayed]
    stalls: Stalls


@dataclass(frozen=True, slots=True)
class Comparison:
    """One configuration under one profile. Times in seconds."""

    model: str
    cores: int
    configuration: Configuration
    profile: str
    rate_per_s: float
    simulations: tuple[Ends, ...]
    rounds: tuple[Ends, ...]
    pooled: tuple[Ends, Ends]
    """Of the requests of all simulations, and of all rounds, taken together."""
    busy: float
    limited: str

    @property
    def predicted(self) -> Ends:
        return _median(self.simulations)

    @property
    def measured(self) -> Ends:
        return _median(self.rounds)

    @property
    def ratios(self) -> tuple[float, float]:
        """Predicted / measured."""
        return self.predicted[0] / self.measured[0], self.predicted[1] / self.measured[1]

    @property
    def is_saturated(self) -> bool:
        return self.busy > SATURATED

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "cores": self.cores,
            "configuration": self.configuration.words,
            "profile": self.profile,
            "rate_per_s": round(self.rate_per_s),
            "predicted_ms": [round(value * 1e3, 4) for value in self.predicted],
            "measured_ms": [round(value * 1e3, 4) for value in self.measured],
            "rounds_ms": [[round(value * 1e3, 4) for value in each] for each in self.rounds],
            "pooled_ms": [[round(value * 1e3, 4) for value in each] for each in self.pooled],
            "busy": round(self.busy, 3),
            "limited": self.limited,
        }


def loads(curve: Curve) -> dict[str, Arrivals]:
    """The four profiles for a model with this curve: a third of what one worker bears, bursts up to two fifths of
    it, and full requests that leave it idle most of the time."""
    capacity = 1.0 / (90e-6 + curve.run_us(16) / 16e6)
    offline = min(OFFLINE_PER_S, 0.2 / (curve.run_us(OFFLINE_ROWS) * 1e-6))
    made = {}
    for kind in PROFILES:
        rate, rows = (0.3 * capacity, 1) if kind != "offline" else (offline, OFFLINE_ROWS)
        rate = 0.04 * capacity if kind == "burst" else rate
        arrivals = synthetic_arrivals(kind, rate_per_s=rate, duration_s=30.0, rows=rows, seed=3)
        made[kind] = _from_idle(arrivals) if kind == "idle-flood" else busiest(arrivals, SECONDS)
    return made


def _from_idle(arrivals: Arrivals) -> Arrivals:
    """One request, a pause, and the flood that follows upon the longest pause there is."""
    start = int(np.argmax(np.diff(arrivals.instants_s))) + 1
    flood_s = arrivals.instants_s[start:] - arrivals.instants_s[start] + IDLE_S
    kept = flood_s < SECONDS
    instants_s = np.concatenate([[0.01], flood_s[kept]])
    return Arrivals(instants_s, np.concatenate([arrivals.rows[:1], arrivals.rows[start:][kept]]))


def collect(root: Path, name: str, folder: Path, on_step: Callable[[str], None]) -> Collected:
    """Asks real servers, for some minutes."""
    models = str(root)
    entry = entry_of(models, name, 1)
    model = load_model(entry, SessionOptions())
    rows_file = folder / f"{name}.npz"
    sample_rows.save(sample_rows.pool_of(entry, model), model.signature, rows_file)
    subject = Subject(models, name, 1, ("",), OFFLINE_ROWS)
    on_step(f"{name}: measuring its runs")
    curve = in_child(subject, ALONE)(Knobs(), sizes_for(subject), {})
    if isinstance(curve, str):
        raise RuntimeError(curve)
    digest = file_digest_text(entry.model_path)
    traffic = loads(curve)
    observations: dict[tuple[int, ...], list[Observation]] = {}
    replays: list[Replayed] = []
    stalls = [stall_meter.measure(TOGETHER, STALLS_S)]
    sites: tuple[tuple[int, ...], ...] = (ALONE, TOGETHER)
    for cpus in sites:
        on_step(f"{name}: calibrating on {len(cpus)} of {len(TOGETHER)} cores")
        site = Site(models, name, 1, digest, cpus, rows_file)
        observations[cpus] = list(_calibrated(site, curve, traffic))
    for cpus, configuration in itertools.chain(*[CONFIGURATIONS[name]] * ROUNDS):
        stalls.append(stall_meter.measure(TOGETHER, STALLS_S))
        with Served(Site(models, name, 1, digest, cpus, rows_file), configuration) as served:
            first = traffic["steady"]
            served.replay(Arrivals(first.instants_s[:FIRST_REQUESTS], first.rows[:FIRST_REQUESTS]))
            for profile, arrivals in traffic.items():
                on_step(f"{name}, {len(cpus)} cores, {configuration.words}: {profile}")
                replays.append(Replayed(cpus, configuration, profile, served.replay(arrivals)))
    return Collected(curve, observations, replays, stall_meter.together(stalls))


def _calibrated(site: Site, curve: Curve, traffic: Mapping[str, Arrivals]) -> Sequence[Observation]:
    """As ``calibration.observe``, for all profiles at once: their traffic has one row or many."""
    given = [
        scenario
        for rows in (1, OFFLINE_ROWS)
        for scenario in calibration.scenarios(curve, rows, EFFORT / 2 if rows == 1 else EFFORT / 4)
    ]
    profiles = [Scenario(f"{calibration.PROFILE} {name}", arrivals) for name, arrivals in traffic.items()]
    found: list[Observation] = []
    for turn in calibration.turns(calibration.configurations(curve, 1), default_configuration(len(site.cpus))):
        asked_for = profiles if turn.is_profile else given
        found += calibration.asked(site, turn.configuration, asked_for, turn.weight)
    return found


def judge(
    collected: Collected, model: str, cpus: tuple[int, ...], stalls: Stalls, on_step: Callable[[str], None]
) -> list[Comparison]:
    """Simulates what was replayed on ``cpus``, with costs that are fitted to the calibration as in a tuning.

    ``stalls``: of the machine, whichever model was asked meanwhile; the seconds beside one model alone are too few
    to know them.
    """
    found = []
    traffic = loads(collected.curve)
    observations = collected.observations[cpus]
    for profile in PROFILES:
        on_step(f"{model}: fitting to {profile} on {len(cpus)} cores")
        arrivals = traffic[profile]
        seen = [each for each in observations if _belongs(each.scenario, profile, int(arrivals.rows[0]))]
        costs = fitting.fit(
            seen, collected.curve, len(cpus), stalls=stalls, client_apart=len(cpus) < len(TOGETHER)
        )
        for _, configuration in (one for one in CONFIGURATIONS[model] if one[0] == cpus):
            outcomes = [
                simulate(arrivals, configuration, collected.curve, costs, cores=len(cpus), seed=seed)
                for seed in range(SEEDS)
            ]
            replays = [
                each.result
                for each in collected.replays
                if (each.cpus, each.configuration, each.profile) == (cpus, configuration, profile)
            ]
            rounds = [answered_s(each) for each in replays]
            found.append(
                Comparison(
                    model,
                    len(cpus),
                    configuration,
                    profile,
                    arrivals.rate_per_s,
                    tuple(_ends(each.latency_s) for each in outcomes),
                    tuple(map(_ends, rounds)),
                    (_ends(np.concatenate([each.latency_s for each in outcomes])), _ends(np.concatenate(rounds))),
                    outcomes[0].busy,
                    next((each.generator_limited for each in replays if each.generator_limited), ""),
                )
            )
    return found


def _belongs(scenario: Scenario, profile: str, rows: int) -> bool:
    """Whether a tuning for ``profile`` would have asked so."""
    is_profile = scenario.name.startswith(calibration.PROFILE)
    return scenario.name.endswith(f" {profile}") if is_profile else int(scenario.arrivals.rows[0]) == rows


def _ends(latency_s: Any) -> Ends:
    return percentile(latency_s, 50), percentile(latency_s, 99)


def _median(several: Sequence[Ends]) -> Ends:
    """Of each percentile by itself."""
    p50s_s, p99s_s = zip(*several, strict=True)
    return statistics.median(p50s_s), statistics.median(p99s_s)
