"""What real servers answer, for the simulator to be held to: the calibration of a tuning, and fifteen
configurations × four profiles.

They are asked in rounds: as a calibration does, and every configuration with every profile, in turn; between them
it is watched how often the machine stalls. So both are of the same minutes: a machine is another one ten minutes
later, which no simulator of a server can know.

Two of five servers have one core, and the load generator the other: a generator that shares its cores with the
server is part of what it measures. The others have both cores and share them with it, as in a tuning on a machine
of two cores: loops, the model's threads and the generator wait for one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.synthetic import synthetic_arrivals
from rapide.server.model import SessionOptions, load_model
from rapide.server.repository.digest import file_digest_text
from rapide.server.tuning_file import ModelTuning
from rapide.tuning import calibration, sample_rows, stall_meter
from rapide.tuning.calibration import Observation, Scenario, Turn
from rapide.tuning.configuration import ALWAYS_INLINE_US, Configuration, default_configuration
from rapide.tuning.curve import Curve
from rapide.tuning.curve_child import entry_of
from rapide.tuning.curves import Subject, in_child, sizes_for
from rapide.tuning.knobs import Knobs
from rapide.tuning.served import Site
from rapide.tuning.stall_meter import Stalls
from rapide.tuning.traffic import busiest

Cpus = tuple[int, ...]
"""Of a server."""
SECONDS: Final = 4.0
ROUNDS: Final = 8
"""Of the calibration and the replays, forwards and backwards. What is compared is the median of the percentiles of
all replays, since one pause of 10 ms in one of them can make the p99 of all their requests ten times as long."""
STALLS_S: Final = 1.5
IDLE_S: Final = 1.0
"""Before the flood."""
EFFORT: Final = 0.6
"""Of the calibration."""

ALONE, TOGETHER = (0,), (0, 1)
CONFIGURATIONS: Final[Mapping[str, Sequence[tuple[Cpus, Configuration]]]] = {
    "linear": (
        (ALONE, Configuration(1, ModelTuning())),
        (ALONE, Configuration(1, ModelTuning(max_delay_us=1000.0))),
        (TOGETHER, Configuration(2, ModelTuning())),
        (TOGETHER, Configuration(2, ModelTuning(inline_below_us=0.0))),
        (TOGETHER, Configuration(1, ModelTuning())),
    ),
    "forest": (
        (ALONE, Configuration(1, ModelTuning())),
        (ALONE, Configuration(1, ModelTuning(max_batch_rows=8, inline_below_us=ALWAYS_INLINE_US))),
        (TOGETHER, Configuration(2, ModelTuning())),
        (TOGETHER, Configuration(2, ModelTuning(max_batch_rows=8, inline_below_us=ALWAYS_INLINE_US))),
        (TOGETHER, Configuration(1, ModelTuning(inline_below_us=0.0))),
    ),
    "network": (
        (ALONE, Configuration(1, ModelTuning())),
        (ALONE, Configuration(1, ModelTuning(inline_below_us=ALWAYS_INLINE_US))),
        (TOGETHER, Configuration(2, ModelTuning())),
        (TOGETHER, Configuration(2, ModelTuning(inline_below_us=ALWAYS_INLINE_US))),
        (TOGETHER, Configuration(1, ModelTuning(sessions=2))),
    ),
}
"""By model: the server's processors, and how it serves. With the defaults it is calibrated, too."""
PROFILES: Final = ("steady", "burst", "idle-flood", "offline")
OFFLINE_ROWS: Final = 64
OFFLINE_PER_S: Final = 100.0
"""At most. Of fewer requests the hundredth part is none."""


@dataclass(frozen=True, slots=True)
class Collected:
    """All that was measured of one model, by the server's processors: ``observations`` of the calibration, and
    ``replays``, which the simulator is held to."""

    curve: Curve
    observations: Mapping[Cpus, Sequence[Observation]]
    replays: Mapping[Cpus, Sequence[Observation]]
    stalls: Stalls


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
    observations: dict[Cpus, list[Observation]] = {}
    replays: dict[Cpus, list[Observation]] = {}
    stalls = []
    for cpus in (ALONE, TOGETHER):
        site = Site(models, name, 1, digest, cpus, rows_file)
        observations[cpus], replays[cpus] = [], []
        turns = list(_turns(name, cpus, curve, observations[cpus], replays[cpus]))
        for number in range(ROUNDS):
            for turn, kept in turns if number % 2 == 0 else reversed(turns):
                on_step(f"{name}, {len(cpus)} cores, round {number + 1} of {ROUNDS}: {turn.configuration.words}")
                stalls.append(stall_meter.measure(TOGETHER, STALLS_S))
                kept.extend(calibration.asked(site, turn))
    return Collected(curve, observations, replays, stall_meter.together(stalls))


def _turns(
    name: str, cpus: Cpus, curve: Curve, calibrated: list[Observation], replayed: list[Observation]
) -> Iterator[tuple[Turn, list[Observation]]]:
    """A round, and where to keep what is seen: the calibration, as ``calibration.observe``, but for all profiles
    at once (their traffic has one row or many), and every configuration under every profile."""
    traffic = loads(curve)
    profiles = [Scenario(f"{calibration.PROFILE} {profile}", arrivals) for profile, arrivals in traffic.items()]
    given = [
        scenario
        for rows in (1, OFFLINE_ROWS)
        for scenario in calibration.scenarios(curve, rows, EFFORT / 2 if rows == 1 else EFFORT / 4)
    ]
    yield Turn(default_configuration(len(cpus)), profiles), calibrated
    for way in calibration.configurations(curve, 1):
        yield Turn(way, given), calibrated
    for its_cpus, configuration in CONFIGURATIONS[name]:
        if its_cpus == cpus:
            yield Turn(configuration, profiles), replayed
