"""A tuning as one HTML page: what was measured, what was simulated, what was proven, and why."""

from __future__ import annotations

import numpy as np

from rapide.reports import plots
from rapide.reports.page import Page
from rapide.reports.series import Series, ranked
from rapide.tuning.found import Found
from rapide.tuning.proof import Proof
from rapide.tuning.slo import seconds


def page(found: Found) -> Page:
    """The page. Raises NoMatplotlib without the extra ``reports``."""
    request = found.request
    made = Page(f"Tuning of {request.entry.model}/{request.entry.version}", f"{request.slo}, on {request.cpu}")
    made.facts(
        {
            "chosen": "" if found.chosen is None else found.chosen.words,
            "objective": request.objective,
            "load": f"{request.arrivals.count} requests at {request.arrivals.rate_per_s:.0f}/s",
            "simulated": f"{found.simulated} configurations",
            "proven": f"{len(found.proofs)} by replay, up to {request.rounds} rounds each",
            "replayed": f"at {found.load.rate_per_s:.0f}/s",
        }
    )
    for note in found.notes:
        made.text(note)
    made.heading("Why")
    made.table(["choice", "why"], [[choice, why] for choice, why in found.reasons])
    _proofs(made, found)
    _curves(made, found)
    _front(made, found)
    return made


def _proofs(made: Page, found: Found) -> None:
    if not found.proofs:
        return
    made.heading("Predicted and measured")
    percent = found.request.slo.main.percent
    names = [_role(proof, found) or f"candidate {number}" for number, proof in enumerate(found.proofs)]
    rows = [[name, *_figures(proof, found, percent)] for name, proof in zip(names, found.proofs, strict=True)]
    headers = ["", "configuration", f"p{percent:g} predicted", "measured", "p50 predicted", "measured", "SLO"]
    made.table(headers, rows, "Measured: the median of the rounds, each a replay against a server of its own.")
    series = []
    for name, proof in zip(names, found.proofs, strict=True):
        candidate = found.candidate_of(proof.configuration)
        series.append(ranked(f"{name}, measured", _finite_ms(proof.latency_s)))
        if candidate is not None:
            series.append(ranked(f"{name}, predicted", _finite_ms(candidate.outcome.latency_s), "dashed"))
    made.plot(
        plots.quantiles(series, y="latency, ms", title="Latency by percentile"),
        "Predicted (dashed) and measured latency by percentile.",
    )


def _figures(proof: Proof, found: Found, percent: float) -> list[str]:
    candidate = found.candidate_of(proof.configuration)
    predicted = ["–", "–"]
    if candidate is not None:
        predicted = [seconds(candidate.percentile_s(each)) for each in (percent, 50.0)]
    measured = [seconds(proof.percentile_s(each)) for each in (percent, 50.0)]
    holds = "holds" if proof.holds(found.request.slo) else "missed"
    return [proof.configuration.words, predicted[0], measured[0], predicted[1], measured[1], holds]


def _curves(made: Page, found: Found) -> None:
    made.heading("What a run costs")
    series = [
        Series(
            curve.knobs.words, [float(point.rows) for point in curve.points], [point.us for point in curve.points]
        )
        for curve in found.curves
    ]
    made.plot(
        plots.lines(series, x="rows in a run", y="µs", log_x=True, log_y=True, title="Cost curves"),
        "Time of one run by its number of rows, with different rows each time; what is dominated is left out.",
    )
    made.table(
        ["session", "1 row", "largest", "load", "memory"],
        [
            [
                curve.knobs.words,
                f"{curve.points[0].us:.1f} µs ± {(curve.points[0].high_us - curve.points[0].low_us) / 2:.1f}",
                f"{curve.points[-1].rows} rows: {curve.points[-1].us:.0f} µs",
                f"{curve.load_ms:.0f} ms",
                f"{curve.memory_bytes / 2**20:.1f} MiB",
            ]
            for curve in found.curves
        ],
    )


def _front(made: Page, found: Found) -> None:
    """Latency against processor time, of the candidates that were simulated to the end."""
    if not found.candidates:
        return
    percent = found.request.slo.main.percent
    made.heading("Latency against cost")
    points = [
        (one.outcome.cpu_s / max(1, len(one.outcome.latency_s)) * 1e6, one.percentile_s(percent) * 1e3)
        for one in found.candidates
        if np.isfinite(one.percentile_s(percent))
    ]
    front = sorted(
        (cpu, ms) for cpu, ms in points if not any(a <= cpu and b <= ms and (a, b) != (cpu, ms) for a, b in points)
    )
    series = [
        Series("simulated", [cpu for cpu, _ in points], [ms for _, ms in points], "points"),
        Series("Pareto front", [cpu for cpu, _ in front], [ms for _, ms in front], "step"),
    ]
    made.plot(
        plots.lines(series, x="processor time per request, µs", y=f"p{percent:g}, ms", title="Pareto front"),
        "What less latency costs: each point is a configuration that was simulated to the end.",
    )


def _role(proof: Proof, found: Found) -> str:
    names = [("chosen", found.chosen), ("default", found.default)]
    return ", ".join(name for name, configuration in names if proof.configuration == configuration)


def _finite_ms(
    latency_s: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return latency_s[np.isfinite(latency_s)] * 1e3
