"""What tuning gained over the defaults."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rapide.tuning.evidence.gains import LARGE, ROUNDS, SECONDS

_GAINS = f"""\
For each, `rapide tune` with half of its usual effort, on {SECONDS:g} s of the profile, with up to {ROUNDS}
rounds of paired replays: the defaults and the best candidates, in turn, each on a server of its own, the load
generator on the same cores. The gain is the defaults' median p95 / the tuned one's (p95, since p99 is the
machine's more than the server's here, as the pairs above show). Where all rounds of the tuned server are below all
of the defaults', an SLO lies between: the tuned server meets it in every round, and the defaults in none. Where
nothing was clearly better in every round, the defaults stay; a round is the last one when no candidate is left.
The figures are those by which the choice was made, so a gain is flattered a little by having been chosen.
"""
_CAPS = """
Caps on rows per run: by the measured curves one pays somewhere for {found}, and the tuner proposed it by itself
wherever the simulator found a use for it; {won}. On a curve with a cliff the cap is found and chosen
(`tests/tuning/test_search.py`).
"""
_NO_CAPS = "none of the models"


def gains(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines; ``rows``: one by model and profile (``evidence.gains``)."""
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
    for row in rows:
        if row.get("more"):
            yield _more(row)
    capped = sorted({row["model"] for row in rows if row["caps"]})
    won = [f"{row['model']} {row['profile']}" for row in rows if "max_rows_per_run" in row["chosen"]]
    yield _CAPS.format(
        found=", ".join(capped) or _NO_CAPS,
        won=f"it was chosen for {', '.join(won)}" if won else "here none won its replays",
    )


def _more(row: Mapping[str, Any]) -> str:
    more = row["more"]
    default, chosen = (" ".join(f"{value:.2f}" for value in more[name]) for name in ("default_ms", "chosen_ms"))
    holds = statistics.median(more["chosen_ms"]) <= statistics.median(more["default_ms"])
    times, percent = f"{more['times']:g} times the load", f"p{row['percent']:g}"
    return (
        f"{row['model']} {row['profile']}, replayed once more in turn, the tuned server with {times}: {percent} "
        f"{chosen} ms, the defaults with the load itself {default}. So it "
        f"{'serves' if holds else 'does not serve'} {times} at the same {percent}."
    )


def _asked(row: Mapping[str, Any]) -> str:
    """Requests per second and their rows."""
    large_per_s = row.get("large_per_s", 0)
    few = f"{row['rate_per_s'] - round(large_per_s)} × {row['rows']}"
    return f"{few} + {large_per_s:g} × {LARGE}" if large_per_s else few
