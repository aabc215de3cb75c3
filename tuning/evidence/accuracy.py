"""Twelve configurations × four profiles: what the simulator says, and what a real server then does.

The simulator knows the cost curve and the calibration of the model (as in ``rapide tune``), and nothing of these
replays. Loads are chosen by the model's cost, so that most of them leave the machine room; those that do not are
shown all the same, and marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.synthetic import synthetic_arrivals
from rapide.server.model import SessionOptions, load_model
from rapide.server.repository.digest import file_digest_text
from rapide.server.tuning_file import ModelTuning
from rapide.tuning import calibration, sample_rows
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import Costs
from rapide.tuning.curve import Curve
from rapide.tuning.curve_child import entry_of
from rapide.tuning.curves import Subject, in_child, sizes_for
from rapide.tuning.knobs import Knobs
from rapide.tuning.proof import answered_s
from rapide.tuning.served import Served, Site
from rapide.tuning.simulator import simulate
from rapide.tuning.slo import percentile
from rapide.tuning.traffic import busiest

SECONDS: Final = 2.5
SATURATED: Final = 0.7
"""Share of its busiest place from which on a machine is called saturated: there a small error in cost is a large
one in waiting."""
NEAR: Final = 0.2

INLINE_US: Final = 1e6
CONFIGURATIONS: Final[Mapping[str, Sequence[Configuration]]] = {
    "linear": (
        Configuration(1, ModelTuning()),
        Configuration(2, ModelTuning()),
        Configuration(1, ModelTuning(inline_below_us=0.0)),
        Configuration(1, ModelTuning(max_delay_us=1000.0)),
    ),
    "forest": (
        Configuration(1, ModelTuning()),
        Configuration(2, ModelTuning()),
        Configuration(1, ModelTuning(sessions=2, inline_below_us=0.0)),
        Configuration(1, ModelTuning(max_batch_rows=8, inline_below_us=INLINE_US)),
    ),
    "network": (
        Configuration(1, ModelTuning()),
        Configuration(2, ModelTuning()),
        Configuration(1, ModelTuning(inline_below_us=INLINE_US)),
        Configuration(1, ModelTuning(intra_op_threads=2, allow_spinning=True)),
    ),
}
PROFILES: Final = ("steady", "burst", "idle-flood", "offline")


@dataclass(frozen=True, slots=True)
class Known:
    """What a tuning knows of one model before it simulates."""

    site: Site
    curves: Mapping[Knobs, Curve]
    costs: Mapping[str, Costs]
    """By profile: fitted to it under the defaults, as a tuning does."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One configuration under one profile. Times in seconds."""

    model: str
    configuration: Configuration
    profile: str
    rate_per_s: float
    predicted: tuple[float, float]
    """p50 and p99."""
    measured: tuple[float, float]
    busy: float
    limited: str

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
            "configuration": self.configuration.words,
            "profile": self.profile,
            "rate_per_s": round(self.rate_per_s),
            "predicted_ms": [round(value * 1e3, 4) for value in self.predicted],
            "measured_ms": [round(value * 1e3, 4) for value in self.measured],
            "busy": round(self.busy, 3),
            "limited": self.limited,
        }


def loads(curve: Curve) -> dict[str, Arrivals]:
    """The four profiles for a model with this curve: a third of what one worker bears, bursts up to two fifths of
    it, and twenty full requests a second."""
    capacity = 1.0 / (90e-6 + curve.run_us(16) / 16e6)
    made = {}
    for kind in PROFILES:
        rate, rows = (0.3 * capacity, 1) if kind != "offline" else (20.0, 64)
        rate = 0.04 * capacity if kind == "burst" else rate
        arrivals = synthetic_arrivals(kind, rate_per_s=rate, duration_s=30.0, rows=rows, seed=3)
        made[kind] = busiest(arrivals, SECONDS)
    return made


def prepare(root: Path, name: str, cpus: tuple[int, ...], folder: Path, on_step: Callable[[str], None]) -> Known:
    """Curves and calibration, as a tuning makes them."""
    models = str(root)
    entry = entry_of(models, name, 1)
    model = load_model(entry, SessionOptions())
    rows_file = folder / f"{name}.npz"
    sample_rows.save(sample_rows.pool_of(entry, model), model.signature, rows_file)
    subject = Subject(models, name, 1, ("",), 64)
    measure = in_child(subject, cpus)
    curves = {}
    for knobs in {configuration.knobs for configuration in CONFIGURATIONS[name]} | {Knobs()}:
        found = measure(knobs, sizes_for(subject), {})
        if isinstance(found, str):
            raise RuntimeError(found)
        curves[knobs] = found
    site = Site(models, name, 1, file_digest_text(entry.model_path), cpus, rows_file)
    costs = {}
    for profile, arrivals in loads(curves[Knobs()]).items():
        on_step(f"{name}: calibrating for {profile}")
        rows = int(arrivals.rows[0])
        observed = calibration.observe(site, curves[Knobs()], rows, arrivals, _silent, effort=0.5)
        costs[profile] = calibration.fit(observed, curves[Knobs()], len(cpus))
    return Known(site, curves, costs)


def compare(
    known: Known, model: str, configuration: Configuration, on_step: Callable[[str], None]
) -> list[Comparison]:
    """All profiles under one configuration."""
    found = []
    with Served(known.site, configuration) as served:
        traffic = loads(known.curves[Knobs()])
        first = traffic["steady"]
        served.replay(Arrivals(first.instants_s[:200], first.rows[:200]))
        for profile, arrivals in traffic.items():
            on_step(f"{model}, {configuration.words}: {profile}")
            result = served.replay(arrivals)
            measured_s = answered_s(result)
            cores = len(known.site.cpus)
            outcome = simulate(
                arrivals,
                configuration,
                known.curves[configuration.knobs],
                known.costs[profile],
                cores=cores,
            )
            found.append(
                Comparison(
                    model,
                    configuration,
                    profile,
                    arrivals.rate_per_s,
                    (percentile(outcome.latency_s, 50), percentile(outcome.latency_s, 99)),
                    (percentile(measured_s, 50), percentile(measured_s, 99)),
                    outcome.busy,
                    result.generator_limited,
                )
            )
    return found


def _silent(_text: str, _share: float) -> None:
    """The calibration's own steps are too short to be told."""
