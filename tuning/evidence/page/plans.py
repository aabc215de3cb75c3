"""What a plan promised, and what one replica of it then did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rapide.tuning.evidence.planned import BEYOND

_PLANS = """\
A plan for a million requests a second, with replicas of one core (so that the generator has the other to
itself), and one such replica asked for real: as much as it is planned to get, where the SLO should hold, and
{beyond} times what it is said to bear, where it should not, if the plan is not too careful.
"""


def plans(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines; ``rows``: one by model (``evidence.planned``)."""
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
    limited = [row["model"] for row in rows if any(row.get("limited", ()))]
    if limited:
        yield ""
        yield f"The load generator was itself the bottleneck, by its own account, for {', '.join(limited)}."
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
