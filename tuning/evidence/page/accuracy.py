"""How near the simulator is to real servers: every case, what can be told apart, and which are off."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rapide.tuning.evidence.accuracy import APART, NEAR, SATURATED, SEEDS
from rapide.tuning.evidence.page.median import median_interval
from rapide.tuning.evidence.replays import SECONDS

Row = Mapping[str, Any]
ENDS: Final = ("p50", "p99")

_METHOD = """\
Each configuration is served by a real `rapide serve`, and four profiles are replayed over gRPC, open loop, each
request timed from the instant at which it was due; {rounds} times {seconds:g} s each. A server on one core leaves
the other to the load generator; one on two cores shares both with it, as in a tuning on two cores. The simulator
knows of the model its cost curve; of the server what a calibration found, as a tuning makes it (lone requests,
groups, random arrivals, and the profile under the defaults); of the machine for how long it takes a core away or
wakes somebody late, as a watching process saw it between the replays, and how often that strikes, from how far the
end of the profile's distribution lies from its middle in the calibration.

Calibration and replays take turns in each of the {rounds} rounds, forwards and backwards, so that both are of the
same minutes: the machine is another one ten minutes later (below), and what is asked here is whether the simulator
knows servers, not whether the machine stays the same. In a tuning they are minutes apart; how near a prediction is
then is said below the table.

Shown are the median of {seeds} simulations' percentiles, the median of the {rounds} replays', and the former / the
latter. The calibration saw the defaults under these profiles, in other replays than those of the table, one worker
with the model on the loop and on threads under other traffic, and no other configuration. Marked † is what the
simulator calls saturated (its busiest place is busy more than {saturated:.0%} of the time): there a small error in
cost is a large one in waiting. Marked ‡ is where the load generator was itself the bottleneck, by its own
account, in half of the replays or more; it is simulated, too. In bold what is more than {near:.0%} off.
"""
_REPEATS = """\
How well does reality agree with itself? Two replays of the same server, one round after the other:
"""
_TOLD = """
By the replays the median of a case is known to be within an interval ({sure:.0%} sure, from one of its replays to
another, whatever their distribution is). A prediction is near for certain, or off for certain, if that holds for
all of the interval:
"""
_OFF = """
The cases that are off by the median, with each replay by itself:

| model | cores | configuration | profile | | predicted, ms | replays, ms | the median is within | off |
|---|---:|---|---|---|---:|---|---|---|"""


def accuracy(rows: Sequence[Row]) -> Iterator[str]:
    """Lines; ``rows``: one by configuration and profile (``evidence.accuracy``)."""
    yield _METHOD.format(
        rounds=len(rows[0]["rounds_ms"]), seconds=SECONDS, seeds=SEEDS, saturated=SATURATED, near=NEAR
    )
    yield from _table(rows)
    yield ""
    unsaturated = [row for row in rows if row["busy"] <= SATURATED]
    yield from _near_ones(unsaturated)
    limited, all_of_them = sum(row["limited"] for row in rows), sum(len(row["rounds_ms"]) for row in rows)
    yield f"The load generator was the bottleneck by its own account in {limited} of {all_of_them} replays.\n"
    yield _REPEATS
    yield from _repeats(unsaturated)
    yield from _told(unsaturated)
    off = [(row, place) for row in unsaturated for place in range(len(ENDS)) if not _is_near(_ratio(row, place))]
    yield _OFF
    yield from _off(off)
    yield ""


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| model | cores | configuration | profile | requests/s | p50, ms: predicted | measured | ratio "
        "| p99: predicted | measured | ratio |"
    )
    yield "|---|---:|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in rows:
        (p50, p99), (m50, m99) = row["predicted_ms"], row["measured_ms"]
        mark = f"{' †' * (row['busy'] > SATURATED)}{' ‡' * (2 * row['limited'] >= len(row['rounds_ms']))}"
        yield (
            f"| {row['model']} | {row['cores']} | {row['configuration']}{mark} | {row['profile']} "
            f"| {row['rate_per_s']} | {p50:.3f} | {m50:.3f} | {_marked(p50 / m50)} "
            f"| {p99:.3f} | {m99:.3f} | {_marked(p99 / m99)} |"
        )


def _near_ones(rows: Sequence[Row]) -> Iterator[str]:
    """``rows``: where the machine is not saturated."""
    unseen = [row for row in rows if row["calibrated_ms"] is None]
    for place, name in enumerate(ENDS):
        near, factor = _near([_ratio(row, place) for row in rows])
        new, _ = _near([_ratio(row, place) for row in unseen])
        apart, twice = _near([row["apart_ms"][0][place] / row["apart_ms"][1][place] for row in rows])
        yield (
            f"{name}: **{near} of {len(rows)}** where the machine is not saturated are within {NEAR:.0%}, "
            f"{factor} within a factor of two; of the {len(unseen)} of configurations other than the defaults, "
            f"{new}. By the calibration of the first {APART} rounds alone, in the replays of the last {APART}: "
            f"{apart} and {twice}."
        )
        yield ""


def _repeats(rows: Sequence[Row]) -> Iterator[str]:
    """How well a replay repeats itself: the simulator cannot be nearer to it than that."""
    both = [row for row in rows if row["calibrated_ms"] is not None]
    for place, name in enumerate(ENDS):
        pairs = [one[place] / other[place] for row in rows for one, other in itertools.pairwise(row["rounds_ms"])]
        near = sum(_is_near(max(pair, 1 / pair)) for pair in pairs)
        again, _ = _near([row["calibrated_ms"][place] / row["measured_ms"][place] for row in both])
        error = math.hypot(*(_error(row["rounds_ms"], place) for row in rows)) / math.sqrt(len(rows))
        yield (
            f"* {name}: {near} of {len(pairs)} such pairs are within {NEAR:.0%} of each other, the furthest "
            f"{max(*pairs, 1 / min(pairs)):.1f} times apart. The medians have a standard error of {error:.0%}; "
            "those of the defaults in the calibration and in the table, of the same rounds, are within "
            f"{NEAR:.0%} in {again} of {len(both)}. A simulator without any error, fitted to medians as uncertain "
            f"and held to these, would be near in some {_faultless(rows, place):.0f} of {len(rows)}."
        )


def _told(rows: Sequence[Row]) -> Iterator[str]:
    if not rows:
        return
    yield _TOLD.format(sure=median_interval(_rounds(rows[0], 0)).sure)
    for place, name in enumerate(ENDS):
        told = [_is_off_for_certain(row, place) for row in rows]
        yield (
            f"* {name}: {told.count(False)} of {len(rows)} are near for certain, {told.count(True)} off for "
            f"certain; for {told.count(None)} the replays do not tell."
        )


def _off(cases: Sequence[tuple[Row, int]]) -> Iterator[str]:
    for row, place in cases:
        rounds = _rounds(row, place)
        known = median_interval(rounds)
        yield (
            f"| {_words(row)} | {ENDS[place]} | {row['predicted_ms'][place]:.3f} "
            f"| {' '.join(f'{each:.3f}' for each in rounds)} | {known.low:.3f} to {known.high:.3f} "
            f"| {'for certain' if _is_off_for_certain(row, place) else 'perhaps'} |"
        )


def _is_off_for_certain(row: Row, place: int) -> bool | None:
    """None where the replays do not tell."""
    known, predicted = median_interval(_rounds(row, place)), row["predicted_ms"][place]
    near = [_is_near(predicted / measured) for measured in (known.low, known.high)]
    if all(near):
        return False
    is_across = predicted / known.low > 1 > predicted / known.high
    return None if any(near) or is_across else True


def _ratio(row: Row, place: int) -> float:
    ratio: float = row["predicted_ms"][place] / row["measured_ms"][place]
    return ratio


def _rounds(row: Row, place: int) -> list[float]:
    return [each[place] for each in row["rounds_ms"]]


def _words(row: Row) -> str:
    return " | ".join(str(row[name]) for name in ("model", "cores", "configuration", "profile"))


def _near(ratios: Sequence[float]) -> tuple[int, int]:
    """How many are near 1, and how many within a factor of two."""
    return sum(map(_is_near, ratios)), sum(0.5 <= ratio <= 2 for ratio in ratios)


def _is_near(ratio: float) -> bool:
    return abs(ratio - 1) <= NEAR


def _error(rounds_ms: Sequence[Sequence[float]], place: int) -> float:
    """Of the median, as a share of it: 1.25 σ/√n, as for a normal distribution of the logarithms."""
    logarithms = [math.log(each[place]) for each in rounds_ms]
    return 1.25 * statistics.stdev(logarithms) / math.sqrt(len(logarithms))


def _faultless(rows: Sequence[Row], place: int) -> float:
    """How many predictions would be near that are off by nothing but the uncertainty of two medians: of the
    replays, and of a calibration that is as uncertain. Of normal logarithms."""
    usual, near = statistics.NormalDist(), 0.0
    for row in rows:
        scatter = math.sqrt(2) * _error(row["rounds_ms"], place)
        near += usual.cdf(math.log(1 + NEAR) / scatter) - usual.cdf(math.log(1 - NEAR) / scatter)
    return near


def _marked(ratio: float) -> str:
    return f"{ratio:.2f}" if _is_near(ratio) else f"**{ratio:.2f}**"
