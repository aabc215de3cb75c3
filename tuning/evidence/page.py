"""docs/tuning.md, from the figures in docs/tuning.json. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rapide.tuning.evidence.accuracy import NEAR, SATURATED
from rapide.tuning.evidence.planned import BEYOND

_INTRODUCTION = """\
# How good tuning is

Two questions: does the simulator behind `rapide tune` and `rapide plan` say what a real server then does,
and does tuning gain anything over the defaults? Both are answered by `scripts/tuning`, which trains three
small models, measures, and writes this page. How tuning is used: [guides/tune.md](guides/tune.md).

Everything runs on one machine: the server, its workers and the load generator share {cores} cores of
{processor} (a virtual machine). So the ends of the distributions hold the machine's own noise and the
generator's, and absolute times are this machine's alone. Measured: {measured}.
"""
_METHOD = f"""\
For each model and profile the simulator's costs are fitted as in a tuning: to lone requests, groups and
random arrivals, and to the profile under the defaults (2 workers). Then each configuration is served by a
real `rapide serve` and the profile replayed over gRPC, open loop, each request timed from the instant at
which it was due. Shown is predicted / measured. The configuration with 2 workers and the defaults is what was
fitted to; all others were not seen. Marked † is what the simulator itself calls saturated (its busiest place
is busy more than {SATURATED:.0%} of the time): there a small error in cost is a large one in waiting. In bold
what is more than {NEAR:.0%} off.
"""
_REPEATS = """\
How well does reality agree with itself? The busiest seconds of *steady* and *idle-flood* are random arrivals
at one rate, replayed some seconds apart against one server:
"""
_BAD = """
So the aim, {near:.0%} for both percentiles, is not reached. Where it is far off, and why, as far as we
know:

* *p99*: often what the machine does to a run, not what the server does (the pairs above). A stall of a few
  milliseconds in two seconds of traffic decides it, and the stalls of one replay are not those of the next.
  The over-predicted bursts come from a fit that saw such stalls in its own replay. The medians say more about
  the simulator.
* *a fast model on a thread* (`inline_below_us=0`, and the forest with two sessions): the loop and the thread
  hand the interpreter's lock to and fro, and what that costs is not steady: the median of one of these
  replays differed by a factor of almost two between two runs some
  minutes apart.
* *spinning*: threads that spin burn a core between runs, which the load generator then lacks; the simulator
  does not know that, and is too optimistic. The proof by replay is what rejects such a configuration.
* *offline* (64 rows, 20 requests/s): the worker sleeps for 50 ms between requests and gets colder than
  anything but the one replay under the defaults shows.
"""
_PLANS = """\
A plan for a million requests a second, with replicas of one core (so that the generator has the other to
itself), and one such replica asked for real: as much as it is planned to get, where the SLO should hold, and
{beyond} times what it is said to bear, where it should not.
"""
_GAINS = """\
For each, `rapide tune` with three rounds of paired replays: the defaults and the best candidates, in turn,
each on a server of its own. The gain is the defaults' median p99 / the tuned one's. Where all rounds of the
tuned server are below all of the defaults', an SLO lies between: the tuned server meets it in every round,
and the defaults in none. Where nothing was clearly better in every round, the defaults stay. The figures are
those by which the choice was made, so a gain is flattered a little by having been chosen.
"""
_CAPS = """
Caps on rows per run: {found}. Measured with rows that differ from run to run, the forest costs less per
row the more there are; a cliff that shows with the same rows repeated is the processor remembering its way
through the trees. On a curve that has a cliff the cap is found by itself (`tests/tuning/test_search.py`).
"""


def page(document: Mapping[str, Any]) -> str:
    """The page."""
    parts = [
        _INTRODUCTION.format(
            cores=document.get("cores", "?"),
            processor=document.get("processor", "?"),
            measured="; ".join(f"{part} {when}" for part, when in document.get("measured", {}).items()) or "never",
        )
    ]
    if document.get("accuracy"):
        parts += ["## Simulated against real", _METHOD, *_accuracy(document["accuracy"])]
    if document.get("gains"):
        parts += ["## Tuned against default", *_gains(document["gains"])]
    if document.get("plans"):
        parts += ["## Planned against real", *_plans(document["plans"])]
    return "\n".join(parts).rstrip() + "\n"


def _accuracy(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "| model | configuration | profile | requests/s | p50, ms: predicted | measured | ratio | p99: predicted "
        "| measured | ratio |"
    )
    yield "|---|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in rows:
        (p50, p99), (m50, m99) = row["predicted_ms"], row["measured_ms"]
        mark = " †" if row["busy"] > SATURATED else ""
        yield (
            f"| {row['model']} | {row['configuration']}{mark} | {row['profile']} | {row['rate_per_s']} "
            f"| {p50:.3f} | {m50:.3f} | {_marked(p50 / m50)} | {p99:.3f} | {m99:.3f} | {_marked(p99 / m99)} |"
        )
    yield ""
    unsaturated = [row for row in rows if row["busy"] <= SATURATED]
    for place, name in enumerate(("p50", "p99")):
        ratios = [row["predicted_ms"][place] / row["measured_ms"][place] for row in unsaturated]
        near = sum(abs(ratio - 1) <= NEAR for ratio in ratios)
        factor = sum(0.5 <= ratio <= 2 for ratio in ratios)
        yield (
            f"{name}: {near} of {len(ratios)} where the machine is not saturated are within {NEAR:.0%}, {factor} "
            "within a factor of two."
        )
        yield ""
    yield _REPEATS
    yield from _repeats(rows)
    yield _BAD.format(near=NEAR)


def _repeats(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How well a replay repeats itself: the simulator cannot be nearer to it than that."""
    found = {(row["model"], row["configuration"], row["profile"]): row["measured_ms"] for row in rows}
    pairs = [
        (found[model, configuration, "steady"], found[model, configuration, "idle-flood"])
        for model, configuration, profile in found
        if profile == "steady" and (model, configuration, "idle-flood") in found
    ]
    for place, name in enumerate(("p50", "p99")):
        factors = sorted(max(one[place], other[place]) / min(one[place], other[place]) for one, other in pairs)
        near = sum(factor <= 1 + NEAR for factor in factors)
        yield (
            f"* {name}: {near} of {len(factors)} such pairs are within {NEAR:.0%} of each other; the furthest are "
            f"{factors[-1]:.1f} times apart."
        )


def _marked(ratio: float) -> str:
    return f"{ratio:.2f}" if abs(ratio - 1) <= NEAR else f"**{ratio:.2f}**"


def _gains(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield _GAINS
    yield (
        "| model | profile | requests/s × rows | p99 of the defaults, ms | tuned, ms | gain | SLO between, ms "
        "| CPU per request, µs | chosen |"
    )
    yield "|---|---|---|---|---|---:|---:|---|---|"
    for row in rows:
        before, after = (" ".join(f"{value:.2f}" for value in row[name]) for name in ("default_ms", "chosen_ms"))
        between = "–" if row["slo_between_ms"] is None else f"{row['slo_between_ms']:.2f}"
        yield (
            f"| {row['model']} | {row['profile']} | {row['rate_per_s']} × {row['rows']} | {before} | {after} "
            f"| {row['ratio']:.2f} | {between} | {row['cpu_us'][0]} → {row['cpu_us'][1]} | {row['chosen']} |"
        )
    yield ""
    capped = sorted({row["model"] for row in rows if row["caps"]})
    yield _CAPS.format(found=f"found for {', '.join(capped)}" if capped else "none pays here for any of the three")


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
