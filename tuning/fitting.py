"""Finds the simulator's costs: those under which it answers most like the servers of a calibration did.

What can be read off is (how late the generator sends, what a cold run takes more); the rest is fitted so that
the simulator gives the measured quantiles and processor time, by least squares, in logarithms, since all
are positive and of different sizes. Last comes the end of the distribution, which is the machine's: how often
its stalls strike this server follows from the profile's."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rapide.profiles.arrivals import Arrivals
from rapide.tuning.budget import Over, never
from rapide.tuning.calibration import LONE, Observation
from rapide.tuning.configuration import Configuration
from rapide.tuning.costs import FITTED, MOST_SAMPLES, Costs
from rapide.tuning.curve import Curve
from rapide.tuning.errors import TuningError
from rapide.tuning.least_squares import least_squares
from rapide.tuning.simulator import Outcome, simulate
from rapide.tuning.slo import percentiles
from rapide.tuning.stall_meter import NONE, Stalls

Floats = np.ndarray[Any, np.dtype[np.float64]]

QUANTILES: Final = (10.0, 25.0, 50.0, 75.0, 90.0, 95.0)
WEIGHTS: Final = (0.4, 1.0, 2.0, 1.0, 1.0, 0.7, 1.0, 1.0)
"""How much an error at each counts, and one of the processor time of a request (what a turn takes behind its
answers shows only there), and of the time of a run. Beyond are the machine's stalls and late wakings, which are
measured by themselves, and fitted in one number: how often they strike."""
PROFILE_COUNTS, OTHERS_COUNT = 24.0, 12.0
"""All that was asked of the profile together, and all else: it is the profile that is predicted, and the other
ways of asking tell the costs apart."""
END: Final = 99.0
MOST_OFTEN: Final = 4.0
"""Times what the meter saw; and its inverse."""
END_SCALES: Final = 5
END_STEPS: Final = 201
END_SEEDS: Final = 10
END_ERROR: Final = 0.15
"""In logarithms: how far the end over the middle, as measured, lies from that of another such calibration."""
UNUSUALLY_OFTEN: Final = 0.7
"""In logarithms, likewise: how often stalls strike a server scatters so around what the meter saw, from one model
and profile to another."""
END_REQUESTS: Final = 20000
LEAST_FOR_CPU: Final = 1000
"""Requests: of fewer, opening the connections is too large a part."""
STARTS: Final[tuple[Mapping[str, float], ...]] = (
    {},
    {"extra_cold": 8.0, "cools_us": 15000.0, "warms_us": 150.0},
    {"tick_us": 40.0, "read_us": 15.0, "after_us": 40.0, "hop_us": 30.0, "thread_us": 30.0, "extra_cold": 1.0},
)
"""Where the search begins: a fast server, one that cools down far, and a slow one."""
QUEUE_WITHOUT_END: Final = 8.0
"""A median of so many times the least one is that of a queue that grows."""
GENERATOR_BUSY: Final = 0.85
REFUSED_S: Final = 1.0
"""What a simulated refusal counts as in the fit, at least. Nobody was refused in reality (``_usable``): costs are
far too high then, and the fewer are refused the better."""
MOST_LOST: Final = 0.01
"""Share of the requests of a scenario that may go without an answer."""
MOST_SPREAD: Final = 1.5
"""Beyond, the few draws of a simulation have another mean than theirs."""
EVALUATIONS: Final = 400
STEP: Final = 0.2
UNUSUAL: Final = 4.0
"""In logarithms: a cost that is e⁴ times the usual one counts as an error of 1. Where nothing shows what it is, it
is the usual one."""
FAR: Final = 0.5
FIRST_S: Final = 0.01
"""When the first request of a piece comes."""
FIT_REQUESTS: Final = 320
"""Of each scenario: all of them are simulated a few hundred times."""
PROFILE_REQUESTS: Final = 1600
"""Of the profile, which is now quiet and now in a burst."""


def fit(
    observations: Sequence[Observation],
    curve: Curve,
    cores: int,
    effort: float = 1.0,
    stalls: Stalls = NONE,
    over: Over = never,
    *,
    client_apart: bool = False,
) -> Costs:
    """The costs under which the simulator answers most like the servers did, as far as they are found before it is
    ``over``. ``client_apart``: the load generator had cores of its own."""
    usable = _usable(observations)
    # Without stalls: in so few requests they would strike by chance, and hardly below the highest of QUANTILES.
    start = dataclasses.replace(_read_off(usable, curve), client_apart=float(client_apart))

    targets = _targets(usable)
    weights = np.sqrt(_weights(targets))
    usual = np.log([getattr(start, name) for name in FITTED])

    def misfit(logarithms: Floats) -> Floats:
        costs = _with(start, logarithms)
        errors = [
            weight * _errors(each, simulate(each.arrivals, each.configuration, curve, costs, cores=cores))
            for each, weight in zip(targets, weights, strict=True)
        ]
        return np.concatenate([*errors, (logarithms - usual) / UNUSUAL])

    firsts = [np.log([given.get(name, getattr(start, name)) for name in FITTED]) for given in STARTS]
    evaluations = int(EVALUATIONS * effort)
    found = [least_squares(misfit, first, step=STEP, evaluations=evaluations // 5, over=over) for first in firsts]
    best, _ = min(found, key=lambda one: one[1])
    best, _ = least_squares(misfit, best, step=STEP / 2, evaluations=evaluations // 2, over=over)
    return _struck_as_often(_with(start, best), stalls, usable, curve, cores)


def _struck_as_often(
    costs: Costs, stalls: Stalls, observations: Sequence[Observation], curve: Curve, cores: int
) -> Costs:
    """``costs`` under which stalls and late wakings strike the profile under the defaults as often as its end
    shows. The meter knows how long they last, but it does not sleep and work in the pattern of this traffic."""
    profile = [each for each in observations if each.is_profile]
    if not profile or not (stalls.per_s or stalls.late_share):
        return suffering(costs, stalls)
    measured = statistics.median(_end_over_middle(each.percentiles_s([50.0, END])) for each in profile)
    logarithms = np.linspace(-math.log(MOST_OFTEN), math.log(MOST_OFTEN), END_SCALES)
    arrivals, configuration = _first(profile[0].scenario.arrivals, END_REQUESTS), profile[0].configuration
    simulated = []
    for logarithm in logarithms:
        known = suffering(dataclasses.replace(costs, stall_scale=math.exp(logarithm)), stalls)
        ends = [
            _end_over_middle(percentiles(_answered_s(outcome), [50.0, END]))
            for seed in range(1, 1 + END_SEEDS)
            for outcome in [simulate(arrivals, configuration, curve, known, cores=cores, seed=seed)]
        ]
        simulated.append(math.log(statistics.median(ends)))
    return suffering(dataclasses.replace(costs, stall_scale=_likeliest(logarithms, simulated, measured)), stalls)


def _likeliest(logarithms: Floats, simulated: Sequence[float], measured: float) -> float:
    """The scale, of those with these ``logarithms``, whose end is most like ``measured`` and which is not unusual;
    between them along the parabola through what was ``simulated``, which has an error, too."""
    finer = np.linspace(logarithms[0], logarithms[-1], END_STEPS)
    ends = np.polyval(np.polyfit(logarithms, simulated, 2), finer)
    unlikely = ((ends - math.log(measured)) / END_ERROR) ** 2 + (finer / UNUSUALLY_OFTEN) ** 2
    return float(np.exp(finer[np.argmin(unlikely)]))


def _end_over_middle(percentiles_s: Sequence[float]) -> float:
    """That of a machine which is now faster and now slower stays much the same."""
    middle_s, end_s = percentiles_s
    return end_s / middle_s


def _usable(observations: Sequence[Observation]) -> list[Observation]:
    """Without those that say nothing of the server's costs: where the generator could not keep up, or nobody.

    Raises TuningError where nothing was answered.
    """
    answered = [each for each in observations if (each.result.codes != 0).mean() <= MOST_LOST]
    if not answered:
        raise TuningError(
            "the calibration's requests got no answers.",
            hint="Serve the model and ask it once: the answer says why. What takes seconds cannot be tuned.",
        )
    lone_s = min(_median_s(each) for each in answered)
    kept = [
        each
        for each in answered
        if _median_s(each) < QUEUE_WITHOUT_END * lone_s and max(each.result.busy) < GENERATOR_BUSY
    ]
    return kept or answered


def _median_s(observed: Observation) -> float:
    return observed.percentiles_s([50.0])[0]


def suffering(costs: Costs, stalls: Stalls) -> Costs:
    """``costs`` on a machine that has ``stalls``, which strike this server ``stall_scale`` times as often as the
    meter."""
    return dataclasses.replace(
        costs,
        stalls_per_s=stalls.per_s * costs.stall_scale,
        stall_us=_thinned(np.array(stalls.lengths_us or (0.0,))),
        late_share=min(1.0, stalls.late_share * costs.stall_scale),
        late_waking_us=_thinned(np.array(stalls.late_waking_us or (0.0,))),
    )


def _read_off(observations: Sequence[Observation], curve: Curve) -> Costs:
    lone = [each for each in observations if each.scenario.name == LONE] or list(observations)
    best = min(lone, key=_median_s)
    answered = best.result.codes == 0
    late_us = best.result.lateness_s[answered] * 1e6
    rows = int(best.scenario.arrivals.rows[0])
    run_us = best.usage.compute_s / max(1, best.usage.runs) * 1e6
    return dataclasses.replace(
        Costs(),
        cold_run_us=max(1.0, run_us - curve.run_us(rows)),
        late_us=_thinned(_usual(late_us)),
    )


def _usual(samples: Floats) -> Floats:
    """Without those that a stall made, which is simulated by itself."""
    low, middle, high = np.quantile(samples, (0.1, 0.5, 0.9))
    kept: Floats = samples[samples <= middle + 3 * max(high - middle, middle - low)]
    return kept


def _thinned(samples: Floats) -> tuple[float, ...]:
    """At most MOST_SAMPLES that have the same distribution."""
    if len(samples) > MOST_SAMPLES:
        samples = np.quantile(samples, (np.arange(MOST_SAMPLES) + 0.5) / MOST_SAMPLES)
    return tuple(round(float(each), 2) for each in samples)


def _with(costs: Costs, logarithms: Floats) -> Costs:
    values: dict[str, Any] = {name: math.exp(value) for name, value in zip(FITTED, logarithms, strict=True)}
    values["spread"] = min(values["spread"], MOST_SPREAD)
    return dataclasses.replace(costs, **values)


@dataclass(frozen=True, slots=True)
class _Target:
    """What is simulated, and what was measured of it: the median of all observations of the same traffic under the
    same configuration, as predictions are held to medians."""

    is_profile: bool
    configuration: Configuration
    arrivals: Arrivals
    quantiles_s: Floats
    cpu_per_request_s: float
    run_s: float

    @classmethod
    def of(cls, same: Sequence[Observation]) -> _Target:
        """Of the profile a piece, which is held to its own requests' answers; of what is the same all the time the
        first requests, and the answers of all."""
        first, arrivals = same[0], same[0].scenario.arrivals
        piece = _piece(arrivals, PROFILE_REQUESTS) if first.is_profile else slice(0, arrivals.count)
        instants_s = arrivals.instants_s[piece] - arrivals.instants_s[piece.start] + FIRST_S
        simulated = (
            Arrivals(instants_s, arrivals.rows[piece]) if first.is_profile else _first(arrivals, FIT_REQUESTS)
        )
        return cls(
            first.is_profile,
            first.configuration,
            simulated,
            np.median([_quantiles_s(each, piece) for each in same], axis=0),
            statistics.median(each.cpu_per_request_s for each in same) if arrivals.count >= LEAST_FOR_CPU else 0.0,
            statistics.median(each.run_s for each in same),
        )


def _targets(observations: Sequence[Observation]) -> list[_Target]:
    groups: dict[Any, list[Observation]] = {}
    for each in observations:
        groups.setdefault((id(each.scenario.arrivals), each.configuration), []).append(each)
    return [_Target.of(same) for same in groups.values()]


def _weights(targets: Sequence[_Target]) -> list[float]:
    """Of each: alike within the profile's and within the others."""
    profile = sum(each.is_profile for each in targets)
    others = len(targets) - profile
    return [PROFILE_COUNTS / profile if each.is_profile else OTHERS_COUNT / others for each in targets]


def _quantiles_s(observed: Observation, piece: slice) -> Floats:
    result = observed.result
    return np.array(percentiles(result.latency_s[piece][result.codes[piece] == 0], QUANTILES))


def _first(arrivals: Arrivals, most: int) -> Arrivals:
    return Arrivals(arrivals.instants_s[:most], arrivals.rows[:most]) if arrivals.count > most else arrivals


def _piece(arrivals: Arrivals, most: int) -> slice:
    """``most`` neighbours at the mean rate, so that bursts and pauses have the part in them that they have in
    all."""
    if arrivals.count <= most:
        return slice(0, arrivals.count)
    spans_s = arrivals.instants_s[most - 1 :] - arrivals.instants_s[: 1 - most]
    usual_s = arrivals.duration_s * most / arrivals.count
    first = int(np.argmin(np.abs(spans_s - usual_s)))
    return slice(first, first + most)


def _errors(target: _Target, outcome: Outcome) -> Floats:
    """How far the quantiles, the processor time, and the time of a run are apart, in logarithms; each times the
    root of its weight."""
    measured_s = target.quantiles_s
    latency_s = _answered_s(outcome, 2 * float(measured_s[-1]))
    errors = np.log(np.array(percentiles(latency_s, QUANTILES)) / measured_s).tolist()
    used = ran = 0.0
    if target.cpu_per_request_s > 0:
        used = math.log(outcome.cpu_s / outcome.latency_s.size / target.cpu_per_request_s)
    if target.run_s > 0:
        ran = math.log(outcome.compute_s / outcome.runs / target.run_s)
    return _robust(np.array([*errors, used, ran])) * np.sqrt(WEIGHTS)


def _robust(errors: Floats) -> Floats:
    """Huber's: beyond FAR an error counts by itself, and not by its square."""
    far = np.abs(errors)
    return np.where(far <= FAR, errors, np.sign(errors) * np.sqrt(np.maximum(0.0, FAR * (2 * far - FAR))))


def _answered_s(outcome: Outcome, least_s: float = 0.0) -> Floats:
    """Latencies, where a refusal counts as REFUSED_S, or ``least_s`` if that is longer."""
    return np.where(np.isfinite(outcome.latency_s), outcome.latency_s, max(REFUSED_S, least_s))
