"""Ready-made profiles, for a model that nobody has asked yet.

``rate_per_s`` is the rate while there is traffic, ``duration_s`` how long there is:

* *steady*: requests that know nothing of each other, at one rate (a Poisson process);
* *diurnal*: the same with a rate that follows a day: quiet at 04:00, most at 16:00, ``rate_per_s`` on average;
* *burst*: quiet, and every now and then a burst of ten times the mean rate (a Markov-modulated Poisson process);
* *idle-flood*: five days with a request an hour, then ``rate_per_s`` from one instant on;
* *offline*: a job that sends full requests at an even pace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from rapide.profiles.arrival_record import record
from rapide.profiles.arrivals import Arrivals
from rapide.profiles.bounds import check_figures
from rapide.profiles.document import ModelProfile, Profile
from rapide.profiles.errors import ProfileError
from rapide.profiles.histogram import ROWS, Histogram
from rapide.profiles.input_record import no_inputs
from rapide.profiles.model_profile import HISTOGRAMS
from rapide.server.telemetry.bins import Floats

START_S: Final = 1_767_571_200
"""When they begin: Monday, 2026-01-05, 00:00 UTC."""
DAY_S: Final = 86_400.0
_QUIET_DAYS: Final = 5
_QUIET_GAP_S: Final = 3600.0
_SWING: Final = 0.8
"""Diurnal: the rate moves by this share around its mean."""
_LEAST_HOUR: Final = 4.0
_BURST_FACTOR: Final = 10.0
_BURST_SHARE: Final = 0.05
"""Of the time, in which half of all requests come."""
_BURST_S: Final = 0.5
"""Mean length of a burst."""

Times = Callable[[float, float, np.random.Generator], Floats]
"""Rate and duration → ascending instants in seconds."""


def synthetic(
    kind: str, *, model: str, rate_per_s: float, duration_s: float, rows: int = 1, seed: int = 0
) -> Profile:
    """A profile as a server would have recorded it. Raises ProfileError for a kind that is not in ``KINDS``, or
    figures that make no sense."""
    arrivals = synthetic_arrivals(kind, rate_per_s=rate_per_s, duration_s=duration_s, rows=rows, seed=seed)
    empty = {key: Histogram.empty(scale) for key, scale in HISTOGRAMS.items()}
    known = ModelProfile(
        model=model,
        version="",
        digest="",
        requests={"ok": arrivals.count},
        encodings=(),
        arrivals=record(arrivals, START_S),
        inputs=no_inputs(),
        batches=(),
        **{**empty, "rows": Histogram.of(ROWS, arrivals.rows)},  # type: ignore[arg-type]  # names from a table
    )
    return Profile(1, (), (known,))


def synthetic_arrivals(
    kind: str, *, rate_per_s: float, duration_s: float, rows: int = 1, seed: int = 0
) -> Arrivals:
    """All arrivals of ``synthetic``'s profile, which itself keeps only the last exactly. Raises ProfileError."""
    if kind not in KINDS:
        raise ProfileError(f"there is no synthetic profile {kind!r}; expected one of {', '.join(KINDS)}")
    check_figures(rate_per_s=rate_per_s, duration_s=duration_s, rows=rows, seed=seed)
    instants = KINDS[kind](rate_per_s, duration_s, np.random.default_rng(seed))
    return Arrivals(instants, np.full(len(instants), rows, np.int64))


def _poisson(rate_per_s: float, duration_s: float, random: np.random.Generator) -> Floats:
    count = int(random.poisson(rate_per_s * duration_s))
    return np.sort(random.uniform(0.0, duration_s, count))


def _steady(rate_per_s: float, duration_s: float, random: np.random.Generator) -> Floats:
    return _poisson(rate_per_s, duration_s, random)


def _diurnal(rate_per_s: float, duration_s: float, random: np.random.Generator) -> Floats:
    """Thinned from the greatest rate (Lewis and Shedler, 1979)."""
    instants = _poisson(rate_per_s * (1 + _SWING), duration_s, random)
    hours = instants % DAY_S / 3600
    rates = 1 - _SWING * np.cos((hours - _LEAST_HOUR) / 24 * 2 * np.pi)
    kept: Floats = instants[random.uniform(0.0, 1 + _SWING, len(instants)) < rates]
    return kept


def _burst(rate_per_s: float, duration_s: float, random: np.random.Generator) -> Floats:
    quiet_s = _BURST_S * (1 - _BURST_SHARE) / _BURST_SHARE
    cycles = int(np.ceil(duration_s / (quiet_s + _BURST_S) * 2)) + 8
    lengths = np.column_stack((random.exponential(quiet_s, cycles), random.exponential(_BURST_S, cycles))).ravel()
    edges = np.concatenate(([0.0], np.cumsum(lengths)))
    quiet_rate = rate_per_s * (1 - _BURST_SHARE * _BURST_FACTOR) / (1 - _BURST_SHARE)
    rates = np.tile((quiet_rate, rate_per_s * _BURST_FACTOR), cycles)
    edges = np.minimum(edges, duration_s)
    expected = rates * np.diff(edges)
    # In a short time there are few bursts, by chance too few or too many: the mean rate holds all the same.
    counts = random.poisson(expected * (rate_per_s * duration_s / expected.sum()))
    starts, widths = np.repeat(edges[:-1], counts), np.repeat(np.diff(edges), counts)
    return np.sort(starts + random.uniform(0.0, 1.0, len(starts)) * widths)


def _idle_flood(rate_per_s: float, duration_s: float, random: np.random.Generator) -> Floats:
    quiet_s = _QUIET_DAYS * DAY_S
    flood = quiet_s + _poisson(rate_per_s, duration_s, random)
    return np.concatenate((np.arange(0.0, quiet_s, _QUIET_GAP_S), flood))


def _offline(rate_per_s: float, duration_s: float, random: np.random.Generator) -> Floats:  # noqa: ARG001 - no chance in it
    return np.arange(max(1, round(rate_per_s * duration_s))) / rate_per_s


KINDS: Final[dict[str, Times]] = {
    "steady": _steady,
    "diurnal": _diurnal,
    "burst": _burst,
    "idle-flood": _idle_flood,
    "offline": _offline,
}
