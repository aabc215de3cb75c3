"""docs/tuning.md, from the figures in docs/tuning.json. Pure."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rapide.tuning.evidence.accuracy import APART, NEAR, SATURATED, SEEDS
from rapide.tuning.evidence.gains import LARGE
from rapide.tuning.evidence.gains import ROUNDS as GAIN_ROUNDS
from rapide.tuning.evidence.planned import BEYOND
from rapide.tuning.evidence.replays import OFFLINE_ROWS, ROUNDS, SECONDS

_INTRODUCTION = """\
# How good tuning is

Two questions: does the simulator behind `rapide tune` and `rapide plan` say what a real server then does,
and does tuning gain anything over the defaults? Both are answered by `scripts/tuning`, which trains three
small models, measures, and writes this page. How tuning is used: [guides/tune.md](guides/tune.md).

{models}

Each part was measured on one machine: the server, its workers and the load generator share the {cores} cores of a
virtual machine. So the ends of the distributions hold the machine's own noise and the generator's, and absolute
times are this machine's alone. Measured: {measured}.
"""
_METHOD = f"""\
Each configuration is served by a real `rapide serve`, and four profiles are replayed over gRPC, open loop, each
request timed from the instant at which it was due; {ROUNDS} times {SECONDS:g} s each. A server on one core leaves
the other to the load generator; one on two cores shares both with it, as in a tuning on two cores. The simulator
knows of the model its cost curve; of the server what a calibration found, as a tuning makes it (lone requests,
groups, random arrivals, and the profile under the defaults); of the machine for how long it takes a core away or
wakes somebody late, as a watching process saw it between the replays, and how often that strikes, from how far the
end of the profile's distribution lies from its middle in the calibration.

Calibration and replays take turns in each of the {ROUNDS} rounds, forwards and backwards, so that both are of the
same minutes: the machine is another one ten minutes later (below), and what is asked here is whether the simulator
knows servers, not whether the machine stays the same. In a tuning they are minutes apart; how near a prediction is
then is said below the table.

Shown are the median of {SEEDS} simulations' percentiles, the median of the {ROUNDS} replays', and the former / the
latter. The calibration saw the defaults under these profiles, in other replays than those of the table, one worker
with the model on the loop and on threads under other traffic, and no other configuration. Marked † is what the
simulator calls saturated (its busiest place is busy more than {SATURATED:.0%} of the time): there a small error in
cost is a large one in waiting. In bold what is more than {NEAR:.0%} off.
"""
_REPEATS = """\
How well does reality agree with itself? Two replays of the same server, one round after the other:
"""
_OFF = """
The cases that are off, with each replay by itself: *between* its replays means that reality was now above the
prediction and now below it.

| model | cores | configuration | profile | | predicted, ms | replays, ms | |
|---|---:|---|---|---|---:|---|---|"""
_BAD = """
Why, as far as we know:

* *The machine is not the same from one second to the next.* On the afternoon of these replays a process that did
  nothing but count was up to 45 % slower for seconds at a time. What the medians of the table are uncertain by,
  and those of the calibration likewise, is said above: at p99 that is most of what predictions are off by, and no
  side prevails. Of the cases above most lie between their replays. On another machine in the morning of that day,
  where 91 (p50) and 78 (p99) of 96 pairs of replays were near, the simulator of that hour was within 20 % in 45
  and 40 of 46 cases.
* *The end of the distribution* has three wakings in it (the generator's, the server's, the generator's again), any
  of which may come late, and what is due meanwhile waits, too. So p99 lies where the distribution is flat, and
  some ten pauses more or less of the machine, in a replay of four seconds, move it far; simulations scatter
  likewise, by half for the same costs. How often the machine's stalls strike is fitted to one number, the end of
  the profile's distribution, so the configurations of one model and profile are off together: the forest's
  idle-flood on two cores, whose calibration had seen 1.9 to 4.8 ms.
* *offline*, {rows} rows at a time: requests are rare, and each finds a server as cold as it gets, on a core that
  others have used meanwhile. Under the defaults, p50 of the linear model was 0.32 to 0.95 ms in one calibration.
* *network, one core*: its p50 is above by a fifth to a quarter. The calibration met more of it under the defaults,
  too (0.33 and 0.36 ms where the replays had 0.31 and 0.30), but that is not all.
* *network, bursts, two sessions*: p50 is below in every round. Two runs at once take a few per cent longer each
  here (a trial by hand: one after the other 70 µs, at once 74; the forest 65 and 78), which the simulator does not
  know. That is less than what is missing.
"""
_PLANS = """\
A plan for a million requests a second, with replicas of one core (so that the generator has the other to
itself), and one such replica asked for real: as much as it is planned to get, where the SLO should hold, and
{beyond} times what it is said to bear, where it should not, if the plan is not too careful.
"""
_GAINS = f"""\
For each, `rapide tune` with up to {GAIN_ROUNDS} rounds of paired replays: the defaults and the best candidates, in
turn, each on a server of its own, the load generator on the same cores. The gain is the defaults' median p95 / the
tuned one's (p95, since p99 is the machine's more than the server's here, as the pairs above show). Where all
rounds of the tuned server are below all of the defaults', an SLO lies between: the tuned server meets it in every
round, and the defaults in none. Where nothing was clearly better in every round, the defaults stay; a round is
the last one when no candidate is left. The figures are those by which the choice was made, so a gain is flattered
a little by having been chosen.
"""
_CAPS = """
Caps on rows per run: by the measured curves one pays somewhere for {found}, and the tuner proposed it by itself
wherever the simulator found a use for it; {won}. On a curve with a cliff the cap is found and chosen
(`tests/tuning/test_search.py`).
"""
_ROWS_PER_RUN = """\
A cap on rows per run pays where a row costs more in a large run than in a smaller one. What a row costs on one
thread, in µs, with other rows in each run, as a tuning measures and a server meets them, and with the same rows
again and again, when the processor remembers its way through the model. (The runtime's operator for trees works
through 128 rows at a time since its pull request 13835: a run of 256 rows is two of 128 to it. Before, it had a
cliff there, which is why there is this knob.)
"""
_NO_CAPS = "none of the models"


def page(document: Mapping[str, Any]) -> str:
    """The page."""
    parts = [
        _INTRODUCTION.format(
            models="\n".join(f"* *{name}*: {words}" for name, words in document.get("models", {}).items()),
            cores=document.get("cores", "?"),
            measured="; ".join(f"{part} {when}" for part, when in document.get("measured", {}).items()) or "never",
        )
    ]
    if document.get("accuracy"):
        parts += ["## Simulated against real", _METHOD, *_accuracy(document["accuracy"])]
    if document.get("gains"):
        parts += ["## Tuned against default", *_gains(document["gains"])]
    if document.get("caps"):
        parts += ["## Rows per run", *_rows_per_run(document["caps"])]
    if document.get("plans"):
        parts += ["## Planned against real", *_plans(document["plans"])]
    return "\n".join(parts).rstrip() + "\n"


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "| model | cores | configuration | profile | requests/s | p50, ms: predicted | measured | ratio "
        "| p99: predicted | measured | ratio |"
    )
    yield "|---|---:|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in rows:
        (p50, p99), (m50, m99) = row["predicted_ms"], row["measured_ms"]
        mark = " †" if row["busy"] > SATURATED else ""
        yield (
            f"| {row['model']} | {row['cores']} | {row['configuration']}{mark} | {row['profile']} "
            f"| {row['rate_per_s']} | {p50:.3f} | {m50:.3f} | {_marked(p50 / m50)} "
            f"| {p99:.3f} | {m99:.3f} | {_marked(p99 / m99)} |"
        )
    yield ""
    unsaturated = [row for row in rows if row["busy"] <= SATURATED]
    for place, name in enumerate(("p50", "p99")):
        near, factor = _near([row["predicted_ms"][place] / row["measured_ms"][place] for row in unsaturated])
        unseen = [row for row in unsaturated if row["calibrated_ms"] is None]
        new, _ = _near([row["predicted_ms"][place] / row["measured_ms"][place] for row in unseen])
        apart, twice = _near([row["apart_ms"][0][place] / row["apart_ms"][1][place] for row in unsaturated])
        yield (
            f"{name}: **{near} of {len(unsaturated)}** where the machine is not saturated are within {NEAR:.0%}, "
            f"{factor} within a factor of two; of the {len(unseen)} of configurations other than the defaults, "
            f"{new}. By the calibration of the first {APART} rounds alone, in the replays of the last {APART}: "
            f"{apart} and {twice}."
        )
        yield ""
    yield _REPEATS
    yield from _repeats(rows)
    yield _OFF
    yield from _off(unsaturated)
    yield _BAD.format(rows=OFFLINE_ROWS)


def _near(ratios: Sequence[float]) -> tuple[int, int]:
    """How many are near 1, and how many within a factor of two."""
    return sum(abs(ratio - 1) <= NEAR for ratio in ratios), sum(0.5 <= ratio <= 2 for ratio in ratios)


def _repeats(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How well a replay repeats itself: the simulator cannot be nearer to it than that."""
    both = [row for row in rows if row["calibrated_ms"] is not None]
    for place, name in enumerate(("p50", "p99")):
        factors = sorted(
            max(one[place], other[place]) / min(one[place], other[place])
            for row in rows
            for one, other in itertools.pairwise(row["rounds_ms"])
        )
        near = sum(factor <= 1 + NEAR for factor in factors)
        again, _ = _near([row["calibrated_ms"][place] / row["measured_ms"][place] for row in both])
        error = math.hypot(*(_error(row["rounds_ms"], place) for row in rows)) / math.sqrt(len(rows))
        yield (
            f"* {name}: {near} of {len(factors)} such pairs are within {NEAR:.0%} of each other, the furthest "
            f"{factors[-1]:.1f} times apart. A median of {ROUNDS} has a standard error of {error:.0%}; those of "
            f"the defaults in the calibration and in the table, of the same rounds, are within {NEAR:.0%} in "
            f"{again} of {len(both)}."
        )


def _error(rounds_ms: Sequence[Sequence[float]], place: int) -> float:
    """Of the median, as a share of it: 1.25 σ/√n, as for a normal distribution of the logarithms."""
    logarithms = [math.log(each[place]) for each in rounds_ms]
    return 1.25 * statistics.stdev(logarithms) / math.sqrt(len(logarithms))


def _off(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row, (place, name) in itertools.product(rows, enumerate(("p50", "p99"))):
        predicted, measured = row["predicted_ms"][place], row["measured_ms"][place]
        if abs(predicted / measured - 1) <= NEAR:
            continue
        rounds = [each[place] for each in row["rounds_ms"]]
        side = "below" if predicted < min(rounds) else "above" if predicted > max(rounds) else "between"
        yield (
            f"| {row['model']} | {row['cores']} | {row['configuration']} | {row['profile']} | {name} "
            f"| {predicted:.3f} | {' '.join(f'{each:.3f}' for each in rounds)} | {side} |"
        )


def _marked(ratio: float) -> str:
    return f"{ratio:.2f}" if abs(ratio - 1) <= NEAR else f"**{ratio:.2f}**"


def _gains(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield _GAINS
    yield (
        "| model | profile | requests/s × rows | p95 of the defaults, ms | tuned, ms | gain | SLO between, ms "
        "| CPU per request, µs | chosen |"
    )
    yield "|---|---|---|---|---|---:|---:|---|---|"
    for row in rows:
        before, after = (" ".join(f"{value:.2f}" for value in row[name]) for name in ("default_ms", "chosen_ms"))
        between = "–" if row["slo_between_ms"] is None else f"{row['slo_between_ms']:.2f}"
        yield (
            f"| {row['model']} | {row['profile']} | {_asked(row)} | {before} | {after} "
            f"| {row['ratio']:.2f} | {between} | {row['cpu_us'][0]} → {row['cpu_us'][1]} | {row['chosen']} |"
        )
    yield ""
    better = [row for row in rows if row["slo_between_ms"] is not None]
    yield (
        f"In {len(better)} of {len(rows)} the tuned server meets an SLO in every round that the defaults miss in "
        "every round."
    )
    kept = [f"{row['model']} {row['profile']}" for row in rows if row["chosen"] == "the defaults"]
    if kept:
        yield f"Tuning could not help, said so, and left the defaults: {', '.join(kept)}."
    near = [
        f"{row['model']} {row['profile']}"
        for row in rows
        if row["slo_between_ms"] is None and row["chosen"] != "the defaults"
    ]
    if near:
        yield (
            "Better in each pair of rounds, but the slowest round of the tuned server is not below the fastest of "
            f"the defaults: {', '.join(near)}."
        )
    capped = sorted({row["model"] for row in rows if row["caps"]})
    won = [f"{row['model']} {row['profile']}" for row in rows if "max_rows_per_run" in row["chosen"]]
    yield _CAPS.format(
        found=", ".join(capped) or _NO_CAPS,
        won=f"it was chosen for {', '.join(won)}" if won else "here none won its replays",
    )


def _rows_per_run(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield _ROWS_PER_RUN
    yield "| model | rows | other rows, µs a row | the same rows, µs a row |"
    yield "|---|---:|---:|---:|"
    for entry in entries:
        yield f"| {entry['model']} | {entry['rows']} | {entry['other_us']:.2f} | {entry['same_us']:.2f} |"
    yield ""
    for model in dict.fromkeys(entry["model"] for entry in entries):
        known = [entry for entry in entries if entry["model"] == model]
        words = [_dearness(known, kind) for kind in ("other_us", "same_us")]
        yield f"* *{model}*: with other rows {words[0]}; with the same ones {words[1]}."


def _dearness(entries: Sequence[Mapping[str, Any]], kind: str) -> str:
    """How much dearer a row of the largest run is than where it is cheapest."""
    cheapest, largest = min(entries, key=lambda entry: entry[kind]), entries[-1]
    if cheapest is largest:
        return "a row is cheapest in the largest run, so no cap can pay"
    times = largest[kind] / cheapest[kind]
    return f"a row of a run of {largest['rows']} costs {times:.2f} times one of a run of {cheapest['rows']}"


def _asked(row: Mapping[str, Any]) -> str:
    """Requests per second and their rows."""
    large_per_s = row.get("large_per_s", 0)
    few = f"{row['rate_per_s'] - round(large_per_s)} × {row['rows']}"
    return f"{few} + {large_per_s:g} × {LARGE}" if large_per_s else few


def _plans(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield _PLANS.format(beyond=BEYOND)
    yield (
        "| model | SLO | bears/s | planned/s | p99 predicted, ms | measured | SLO | beyond: measured | SLO "
        "| cores for 1,000,000/s | as |"
    )
    yield "|---|---|---:|---:|---:|---:|---|---:|---|---:|---|"
    for row in rows:
        plan, shown = row["plan"], ["never" if value is None else f"{value:.2f}" for value in row["measured_ms"]]
        holds = ["holds" if value else "missed" for value in row["holds"]]
        predicted = "never" if plan["percentile_ms"] is None else f"{plan['percentile_ms']:.2f}"
        yield (
            f"| {row['model']} | {row['slo'].partition(',')[0]} | {plan['bears_per_s']:,.0f} "
            f"| {plan['planned_per_s']:,.0f} | {predicted} | {shown[0]} | {holds[0]} | {shown[1]} | {holds[1]} "
            f"| {plan['cores']:,} | {row['words']} |"
        )
    missed = [row["model"] for row in rows if not row["holds"][0]]
    if missed:
        yield ""
        yield (
            f"Too optimistic for {', '.join(missed)}: the real replica missed the SLO at what it was planned to "
            "get. Prove a plan by replay against one replica before it is trusted."
        )
    careful = [row["model"] for row in rows if row["holds"][1]]
    if careful:
        yield ""
        yield (
            f"Too careful for {', '.join(careful)}: the real replica held the SLO for two seconds at {BEYOND} "
            "times what it is said to bear. (A plan asks that no place is busy for more than nine tenths of the "
            "time, since what keeps up for seconds need not do so for hours, and that the unluckiest of three "
            "simulations holds.)"
        )
