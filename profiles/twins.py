"""Statistical twins: arrivals that never happened, and are like those that did.

Theory. Three things make load hard to serve: the gaps between requests, how short gaps cluster (bursts), and how
the rate wanders. The exact arrivals show the first two, the counts by second, which reach further back, the
third. So:

1. The gaps are measured in *operational time*, in which the rate is 1: each gap is multiplied by the rate around
   it (``_rate_curve``), which takes the wandering out of them.
2. New gaps, with the rows of their requests, are drawn in runs of consecutive ones whose lengths are geometric
   (the stationary bootstrap of Politis and Romano, 1994): within a run, gaps cluster as they did.
3. A rate curve is drawn from the counts by second: a stretch of it as it was, or runs of it if more is wanted.
   For hours and more it is the curve over the day, from 00:00 UTC on, if the record has seen a day.
4. The gaps are laid out in operational time and mapped to seconds by the inverse of the curve's integral.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rapide.profiles.arrival_record import ArrivalRecord
from rapide.profiles.arrivals import Arrivals
from rapide.server.telemetry.bins import Counts, Floats

_ARRIVALS_A_CELL: Final = 50
"""A rate needs so many arrivals to be told from chance (to 14 %)."""
_FEWEST_CELLS: Final = 4
"""With fewer, a curve would be an accident: the rate is taken as constant."""
_RUNS: Final = 8
"""The exact arrivals are drawn in runs of an eighth of them, on average, so that a twin differs from them."""
_LONGEST_RUN: Final = 512
"""Mean length of runs at most."""
_HOUR_S: Final = 3600
_DAY_S: Final = 24 * _HOUR_S
_LONG_S: Final = 2 * _HOUR_S
"""From here on a twin follows the curve over the day."""
_LEAST_RATE: Final = 1e-9
"""Of the mean: keeps the curve's integral strictly increasing where nothing came."""


def twin(known: ArrivalRecord, *, seed: int, duration_s: float, rate_per_s: float | None) -> Arrivals:
    """Arrivals over ``duration_s``, at a mean of ``rate_per_s`` or that of the record.

    ``known`` has at least two exact arrivals, not all at one instant.
    """
    random = np.random.default_rng(seed)
    recent = known.recent
    cell_s = _cell_s(recent.rate_per_s)
    gaps, rows = _operational_gaps(recent, cell_s), recent.rows[1:]
    if duration_s >= _LONG_S and known.last_s - known.first_s >= _DAY_S:
        cell_s = _HOUR_S
        rates = _of_the_day(known, int(np.ceil(duration_s / cell_s)))
    else:
        rates = _of_the_seconds(known, cell_s, int(np.ceil(duration_s / cell_s)), random)
    edges_s = np.minimum(np.arange(len(rates) + 1) * float(cell_s), duration_s)
    rates = np.maximum(rates, _LEAST_RATE * rates.mean())
    if rate_per_s is not None:
        rates *= rate_per_s * duration_s / float(rates @ np.diff(edges_s))
    integral = np.concatenate(([0.0], np.cumsum(rates * np.diff(edges_s))))
    operational, places = _draw(gaps, integral[-1], random)
    instants = np.interp(operational, integral, edges_s)
    return Arrivals(instants, rows[places]).until(duration_s)


def _of_the_day(known: ArrivalRecord, cells: int) -> Floats:
    """Requests per second in each hour from midnight on."""
    hours = known.hour_of_day
    rates: Floats = hours[np.arange(cells) % len(hours)] / hours.mean() * known.rate_per_s
    return rates


def _of_the_seconds(known: ArrivalRecord, cell_s: int, cells: int, random: np.random.Generator) -> Floats:
    """Requests per second in each cell: drawn from the counts by second, or constant where they tell nothing."""
    curve = _rate_curve(_whole_cells(known.seconds[1:-1], cell_s), cell_s)  # the seconds at the ends are not whole
    return _stretch(curve, cells, random) if len(curve) else np.full(cells, known.recent.rate_per_s)


def _cell_s(rate_per_s: float) -> int:
    """The width in which a rate is measured, in whole seconds."""
    return max(1, int(np.ceil(_ARRIVALS_A_CELL / rate_per_s)))


def _whole_cells(seconds: Counts, cell_s: int) -> Counts:
    whole = len(seconds) // cell_s
    counts: Counts = seconds[: whole * cell_s].reshape(whole, cell_s).sum(axis=1)
    return counts


def _rate_curve(counts: Counts, cell_s: float) -> Floats:
    """Rates per second in each cell; empty where there are too few cells, or nothing came."""
    if len(counts) < _FEWEST_CELLS or not counts.any():
        return np.empty(0)
    rates: Floats = counts / cell_s
    return rates


def _operational_gaps(recent: Arrivals, cell_s: int) -> Floats:
    """Gaps, shape [n - 1], whose mean is 1, without what the rate did from cell to cell."""
    instants = recent.instants_s - recent.instants_s[0]
    cells = int(instants[-1] // cell_s)
    if cells >= _FEWEST_CELLS:
        counts = np.bincount(np.minimum(instants // cell_s, cells - 1).astype(np.int64), minlength=cells)
        edges = np.append(np.arange(cells) * float(cell_s), instants[-1])
        instants = np.interp(instants, edges, np.concatenate(([0.0], np.cumsum(counts))))
    gaps = np.diff(instants)
    scaled: Floats = gaps / gaps.mean()
    return scaled


def _stretch(curve: Floats, cells: int, random: np.random.Generator) -> Floats:
    """``cells`` of the curve: as it was, from a random cell on, or runs of half of it where it is too short."""
    return curve[_runs(len(curve), cells, np.inf if cells <= len(curve) else len(curve) / 2, random)]


def _draw(gaps: Floats, until: float, random: np.random.Generator) -> tuple[Floats, Counts]:
    """Instants in operational time up to ``until``, and which gap each one ends."""
    mean_run = min(_LONGEST_RUN, max(1.0, len(gaps) / _RUNS))
    instants, places, reached = [], [], 0.0
    while reached <= until:
        more = int((until - reached) * 1.05) + _LONGEST_RUN
        chosen = _runs(len(gaps), more, mean_run, random)
        laid = reached + np.cumsum(gaps[chosen])
        instants.append(laid)
        places.append(chosen)
        reached = float(laid[-1])
    laid, chosen = np.concatenate(instants), np.concatenate(places)
    within = laid <= until
    return laid[within], chosen[within]


def _runs(length: int, count: int, mean_run: float, random: np.random.Generator) -> Counts:
    """``count`` indexes below ``length``: runs of consecutive ones that go on at the beginning after the end, each
    from a random place, their lengths geometric; an infinite mean makes one run of all."""
    is_new = random.random(count) < 1 / mean_run
    is_new[0] = True
    begins = np.flatnonzero(is_new)
    run = np.cumsum(is_new) - 1
    starts = random.integers(length, size=len(begins))
    indexes: Counts = (starts[run] + np.arange(count) - begins[run]) % length
    return indexes
