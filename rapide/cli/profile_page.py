"""A usage profile as an HTML page."""

from __future__ import annotations

import numpy as np

from rapide.cli import profile_figures as figures
from rapide.profiles.document import Profile
from rapide.profiles.histogram import Histogram
from rapide.profiles.model_profile import ModelProfile
from rapide.reports import plots
from rapide.reports.page import Page


def page(profile: Profile, source: str) -> Page:
    """All models of ``profile`` that were asked. Raises ImportError where matplotlib is not installed."""
    made = Page("Usage profile", source)
    made.facts(figures.head(profile))
    asked = [known for known in profile.models if known.arrivals.count]
    if not asked:
        made.text("No request has been recorded.")
    if len(asked) > 1:
        names, shares = list(profile.mix), list(profile.mix.values())
        made.plot(
            plots.bars(names, shares, y="share of requests", title="Mix of models"),
            "Admitted requests by model and version.",
        )
    for known in asked:
        made.heading(known.name)
        made.facts(figures.facts(profile, known))
        _arrivals(made, known)
        _sizes(made, known)
        _times(made, known)
    return made


def _arrivals(made: Page, known: ModelProfile) -> None:
    arrivals = known.arrivals
    if len(arrivals.seconds) > 1:
        made.plot(
            plots.lines(
                [plots.Series("requests", np.arange(len(arrivals.seconds)), arrivals.seconds, "step")],
                x="time [s]", y="requests per second", title="Arrivals", from_zero=True,
            ),
            f"The last {len(arrivals.seconds)} seconds with traffic.",
        )  # fmt: skip
    if figures.hours_with_traffic(arrivals.hour_of_day.tolist()) > 1:
        hours = [str(hour) for hour in range(24)]
        made.plot(
            plots.bars(hours, arrivals.hour_of_day.tolist(), y="requests", title="By hour of the day"),
            "UTC, all days together.",
        )
    if arrivals.gaps.count:
        edges, counts = _spelled(arrivals.gaps)
        made.plot(
            plots.histogram(edges, counts, x="gap [s]", y="gaps", log_x=True, title="Gaps between requests"),
            "As one worker sees them.",
        )


def _sizes(made: Page, known: ModelProfile) -> None:
    for title, histogram in (
        ("Rows per request", known.rows),
        ("Requests in flight when another came", known.concurrency),
        *((f"Size of {axis}", sizes) for axis, sizes in known.inputs.sizes.items()),
    ):
        labels, counts = figures.row_bars(histogram)
        if len(labels) > 1:
            made.plot(plots.bars(labels, counts, y="requests", title=title), "")
    mix = figures.mix(known)
    if mix:
        rows = [(name, f"{number:,}") for name, number in mix.items()]
        made.table(("protocol and encoding", "requests"), rows)


def _times(made: Page, known: ModelProfile) -> None:
    series = [_by_share(name, getattr(known, key)) for name, key in figures.STAGES.items()]
    shown = [one for one in series if len(np.atleast_1d(one.xs))]
    if not shown:
        return
    made.plot(
        plots.quantiles(shown, y="time [ms]", title="Latency by stage"),
        "From histograms with ten bins to a decade. A run of the model is shared by the requests of its batch.",
    )
    made.table(figures.STAGE_COLUMNS, figures.stages(known))
    if len(known.batches) > 1:
        rows = [batch.rows for batch in known.batches]
        micros = [batch.compute_s / batch.runs * 1e6 for batch in known.batches]
        made.plot(
            plots.lines(
                [plots.Series("run", rows, micros, "points")],
                x="rows in a batch", y="run of the model [µs]", log_x=True, log_y=True, title="Cost of a batch",
            ),
            "The mean of the runs of each size.",
        )  # fmt: skip
    made.table(figures.BATCH_COLUMNS, figures.batches(known), "What batches cost; waiting is per request.")


def _by_share(name: str, histogram: Histogram) -> plots.Series:
    """Times in milliseconds, as far into the tail as there are values."""
    count = histogram.count
    if not count:
        return plots.Series(name, [], [])
    shares = 1 - np.geomspace(1.0, 1 / count, 120) if count > 1 else np.array([0.5])
    return plots.Series(name, shares, [histogram.quantile(float(share)) * 1e3 for share in shares])


def _spelled(histogram: Histogram) -> tuple[list[float], list[int]]:
    """Edges and counts from the first bin that is used to the last, the one without a bound left out."""
    used = np.flatnonzero(histogram.counts[:-1])
    if not len(used):
        return [0.0], []
    edges = [0.0, *histogram.scale.edges]
    first, last = int(used[0]), int(used[-1])
    return edges[first : last + 2], histogram.counts[first : last + 1].tolist()
