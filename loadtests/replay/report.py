"""A replay as a page, as lines for a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rapide.loadtests.replay.compare import Comparison, Ratio
from rapide.loadtests.replay.result import PERCENTILES, ReplayResult, finite
from rapide.loadtests.slo import Verdict
from rapide.loadtests.wire.connection import ANSWERED, NOT_SENT, code_name
from rapide.reports import plots
from rapide.reports.page import Page
from rapide.reports.series import Series, ranked

LEAST_SLICES, MOST_SLICES, REQUESTS_PER_SLICE = 10, 240, 50
"""Of the time, in the plots over time: not so many that a percentile of one says nothing."""


def ms(seconds: float) -> str:
    """Three digits in milliseconds: what latencies are read in."""
    if np.isnan(seconds):
        return "–"
    return f"{seconds * 1e3:.3g} ms" if np.isfinite(seconds) else "never"


def to_json(
    found: ReplayResult, verdicts: Sequence[Verdict], compared: Comparison | None = None
) -> dict[str, Any]:
    """What scripts read: the figures, the verdicts, and the comparison with an earlier replay if there is one."""
    judged = [
        {"objective": each.objective.text, "measured": finite(each.value), "holds": each.holds}
        for each in verdicts
    ]
    document = {**found.to_json(), "objectives": judged}
    if compared is not None:
        document["against"] = {
            "pairs": compared.pairs,
            "failures_before": compared.failures_before,
            "failures_after": compared.failures_after,
            "percentiles": [
                {
                    "percentile": f"p{one.percent:g}",
                    "before_ms": finite(one.before_s * 1e3),
                    "after_ms": finite(one.after_s * 1e3),
                    "ratio": finite(one.ratio),
                    "low": finite(one.low),
                    "high": finite(one.high),
                    "verdict": one.verdict,
                }
                for one in compared.ratios
            ],
        }
    return document


def lines(found: ReplayResult, verdicts: Sequence[Verdict], compared: Comparison | None = None) -> list[str]:
    """What a terminal shows."""
    sent = f"{found.requests:,} requests in {found.duration_s:,.1f} s, {found.offered_rate_per_s:,.1f}/s asked"
    said = [f"{sent}, {found.achieved_rate_per_s:,.1f}/s answered"]
    if found.skipped_s:
        said.append(f"{found.skipped_s:,.1f} s of quiet time were left out")
    said.append("")
    said.append("latency from the intended instant        the generator's own lateness in it")
    said += [
        f"  {_name(q):<7} {ms(found.percentile_s(q)):>10}{ms(found.lateness_percentile_s(q)):>34}"
        for q in PERCENTILES
    ]
    models = list(dict.fromkeys(found.names))
    if len(models) > 1:
        said += ["", "by model          requests       p50        p99"]
        for name in models:
            one = found.of_model(name)
            said.append(
                f"  {name:<15} {one.requests:>8,} {ms(one.percentile_s(50)):>10} {ms(one.percentile_s(99)):>10}"
            )
    if found.failures or found.requests < len(found.codes):
        said += ["", "not answered"]
        said += [f"  {count:>8,}  {name}{_reason(found, name)}" for name, count in _endings(found)]
    if compared is not None:
        said += ["", f"against the earlier replay, {compared.pairs:,} requests in both"]
        said += [f"  p{one.percent:<6g} {' '.join(_compared_cells(one))}" for one in compared.ratios]
    if verdicts:
        said += ["", "objectives", *(f"  {verdict}" for verdict in verdicts)]
    if found.generator_limited:
        said += ["", f"⚠ The generator itself was the bottleneck: {found.generator_limited}."]
    if found.stopped:
        said += ["", f"⚠ Ended early: {found.stopped}."]
    return said


def page(
    found: ReplayResult,
    facts: Mapping[str, str],
    verdicts: Sequence[Verdict],
    compared: Comparison | None = None,
) -> Page:
    """The report. ``facts``: what was asked for. Needs the extra ``reports``."""
    made = Page("Replay", f"{found.requests:,} requests at their own instants, timed from them")
    made.facts(
        {
            "answered": f"{found.answered:,} of {len(found.codes):,}",
            "p50": ms(found.percentile_s(50)),
            "p99": ms(found.percentile_s(99)),
            "p99.9": ms(found.percentile_s(99.9)),
            "asked": f"{found.offered_rate_per_s:,.1f}/s",
            "answered per second": f"{found.achieved_rate_per_s:,.1f}/s",
        }
    )
    if found.generator_limited:
        made.text(f"⚠ The generator itself was the bottleneck: {found.generator_limited}.")
    if found.stopped:
        made.text(f"⚠ Ended early: {found.stopped}.")
    if verdicts:
        made.heading("Objectives")
        made.table(
            ("objective", "measured", "verdict"),
            [(each.objective.text, each.shown, "holds" if each.holds else "missed") for each in verdicts],
        )
    if compared is not None:
        made.heading("Against the earlier replay")
        made.table(
            ("percentile", "before", "now", "now / before", "verdict"),
            [(f"p{one.percent:g}", *_compared_cells(one)) for one in compared.ratios],
            f"{compared.pairs:,} requests in both; the interval holds the ratio in 95 of 100 such comparisons.",
        )
    _latency(made, found)
    _over_time(made, found)
    _models(made, found)
    _failures(made, found)
    made.heading("How it was run")
    made.facts(facts)
    made.text(
        "An open loop: every request leaves at its intended instant, whatever comes back, and its latency counts "
        "from that instant. What was refused, lost or timed out was never answered: it counts as infinitely late. "
        "The generator's lateness is the part of the latency that passed before the request left."
    )
    return made


def _compared_cells(one: Ratio) -> tuple[str, str, str, str]:
    interval = f" ({one.low:.2f}–{one.high:.2f})" if np.isfinite(one.low) else ""
    return ms(one.before_s), ms(one.after_s), f"{one.ratio:.2f}×{interval}", one.verdict


def _latency(made: Page, found: ReplayResult) -> None:
    made.heading("Latency")
    made.table(
        ("percentile", "latency", "generator's lateness"),
        [(_name(q), ms(found.percentile_s(q)), ms(found.lateness_percentile_s(q))) for q in PERCENTILES],
    )
    good = found.codes == ANSWERED
    if good.any():
        made.plot(
            plots.quantiles(
                [
                    ranked("latency of good answers", found.latency_s[good] * 1e3),
                    ranked("generator's lateness", found.lateness_s[found.codes != NOT_SENT] * 1e3, "dashed"),
                ],
                y="ms",
            ),
            "Latency by percentile; each further nine has the same room. Where the two lines meet, the generator "
            "measured itself.",
        )


def _over_time(made: Page, found: ReplayResult) -> None:
    good = found.codes == ANSWERED
    if good.sum() < 2:
        return
    made.heading("Over time")
    slices = min(MOST_SLICES, max(LEAST_SLICES, len(found.codes) // REQUESTS_PER_SLICE))
    edges_s = np.linspace(0.0, max(1e-3, float(found.intended_s[-1])), slices + 1)
    width_s = edges_s[1]
    asked, _ = np.histogram(found.intended_s, edges_s)
    made.plot(
        plots.lines([Series("requests", edges_s[:-1], asked / width_s, "step")], x="seconds", y="per second"),
        "When requests were due.",
    )
    slice_of = np.minimum((found.intended_s[good] / width_s).astype(np.int64), slices - 1)
    latency_ms = found.latency_s[good] * 1e3
    middle, top = [np.full(slices, np.nan) for _ in range(2)]
    for place in np.unique(slice_of):
        middle[place], top[place] = np.percentile(latency_ms[slice_of == place], [50, 99])
    there = np.isfinite(middle)
    made.plot(
        plots.lines(
            [
                Series("p99", edges_s[:-1][there], top[there]),
                Series("p50", edges_s[:-1][there], middle[there]),
            ],
            x="seconds",
            y="ms",
            log_y=True,
        ),
        "Latency of the requests that were due then.",
    )


def _models(made: Page, found: ReplayResult) -> None:
    names = list(dict.fromkeys(found.names))
    if len(names) < 2:
        return
    made.heading("By model")
    parts = [(name, found.of_model(name)) for name in names]
    made.table(
        ("model", "requests", "failed", "p50", "p99", "p99.9"),
        [
            (name, f"{one.requests:,}", f"{one.failures:,}", *(ms(one.percentile_s(q)) for q in (50, 99, 99.9)))
            for name, one in parts
        ],
    )


def _failures(made: Page, found: ReplayResult) -> None:
    endings = _endings(found)
    if endings:
        made.heading("Not answered")
        rows = [(name, f"{count:,}", _reason(found, name).removeprefix(": ")) for name, count in endings]
        made.table(("ending", "requests", "the first reason"), rows)


def _endings(found: ReplayResult) -> list[tuple[str, int]]:
    return [(name, count) for name, count in found.counts().items() if name != code_name(ANSWERED)]


def _reason(found: ReplayResult, name: str) -> str:
    texts = [text for code, text in found.errors.items() if code_name(code) == name and text]
    return f": {texts[0][:160]}" if texts else ""


def _name(q: float) -> str:
    return "max" if q >= 100 else f"p{q:g}"
