"""The page that ``rapide optimise --html`` writes: variants, what they cost and lose, and why which was chosen."""

from __future__ import annotations

from collections.abc import Sequence

from rapide.cli.optimise_report import loss_text, time_text
from rapide.cli.tables import size_text
from rapide.converters.optimise.measures import MEANINGS
from rapide.converters.optimise.optimise import Optimised, Tried
from rapide.converters.optimise.recipes import ORIGINAL
from rapide.reports import plots
from rapide.reports.page import Page


def page(optimised: Optimised) -> Page:
    """The whole page. Raises ImportError without matplotlib."""
    parent = optimised.parent
    made = Page(f"{parent.model}: variants of version {parent.version}", _outcome(optimised))
    add_variants(made, optimised)
    return made


def add_variants(made: Page, optimised: Optimised) -> None:
    """Appends everything about the variants."""
    facts = optimised.facts
    rows = facts["rows"]
    made.facts(
        {
            "from": f"version {optimised.parent.version}",
            "published": "nothing" if optimised.version is None else f"version {optimised.version}",
            "default": next(each.name for each in optimised.tried if each.verdict and each.verdict.is_default),
            "held-out rows": f"{rows['held_out']}{' (golden rows)' if rows['golden_only'] else ''}",
            "calibration rows": str(rows["calibration"]),
            "judged by": "true answers" if rows["truth"] else "the original's answers",
            "took": f"{optimised.elapsed_s:.1f} s",
        }
    )
    _add_table(made, optimised)
    _add_plots(made, optimised)
    _add_losses(made, optimised)
    made.heading("Why")
    made.table(
        ("variant", "method", "decision", "reason"),
        [(each.name, method_text(each), _decision(each), _reason(each)) for each in optimised.tried],
    )
    _add_method(made, optimised)


def method_text(tried: Tried) -> str:
    """How it was made, with the options that say something."""
    options = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in tried.options.items() if value is not True
    )
    return f"{tried.method}{f' ({options})' if options else ''}"


def _outcome(optimised: Optimised) -> str:
    if optimised.version is None:
        return "Nothing was published: no variant is faster where it matters and near enough."
    kept = [each.name for each in optimised.tried if each.verdict and each.verdict.is_kept]
    return f"Published as version {optimised.version} with {len(kept)} variants: {', '.join(kept)}."


def _add_table(made: Page, optimised: Optimised) -> None:
    sizes = _sizes(optimised.tried)
    made.heading("Variants")
    made.table(
        (
            "variant",
            "size",
            "load",
            "memory",
            *(f"{rows} row{'s' * (rows != 1)}" for rows in sizes),
            "loss",
            "decision",
        ),
        [
            (
                each.name,
                size_text(each.trial["bytes"]),
                f"{each.trial['load_ms']:.3g} ms",
                size_text(each.trial["memory_bytes"]),
                *(time_text(each.latency_us.get(rows)) or "–" for rows in sizes),
                loss_text(each),
                _decision(each),
            )
            for each in optimised.tried
            if each.trial
        ],
        caption="Time of one run by its rows, median of all rounds; one thread.",
    )


def _add_plots(made: Page, optimised: Optimised) -> None:
    timed = [each for each in optimised.tried if each.latency_us]
    if len(timed) < 2:
        return
    made.plot(
        plots.lines(
            [
                plots.Series(
                    each.name, sorted(each.ratios), [1 / each.ratios[rows][1] for rows in sorted(each.ratios)]
                )
                for each in timed
            ],
            x="rows in one run",
            y="times as fast as the original",
            log_x=True,
            title="Speed",
        ),
        "Above 1 is faster than the original. Each point is the middle of all rounds.",
    )
    made.plot(
        plots.bars(
            [each.name for each in timed],
            [each.trial["bytes"] / 1e6 for each in timed],
            y="MB",
            title="Size of the file",
        ),
        "What a server reads and keeps on disk for each variant.",
    )


def _add_losses(made: Page, optimised: Optimised) -> None:
    limits = optimised.options.max_loss
    lines = [
        (
            each.name,
            loss["output"],
            loss["measure"],
            f"{loss['loss']:.2g}",
            f"{limits[loss['measure']]:g}",
            "over" if loss["loss"] > limits[loss["measure"]] else "within",
        )
        for each in optimised.tried
        if each.name != ORIGINAL
        for loss in each.trial.get("losses", ())
    ]
    if not lines:
        return
    made.heading("Loss of quality")
    used = {line[2] for line in lines}
    made.text(" ".join(f"{name.capitalize()}: {MEANINGS[name]}." for name in MEANINGS if name in used))
    made.table(("variant", "output", "measure", "loss", "limit", ""), lines)


def _add_method(made: Page, optimised: Optimised) -> None:
    made.heading("How it was measured")
    made.text(
        "Every variant was loaded and run alone in a process of its own (size, load time, memory, answers), then "
        "all of them were timed in turn within one process, on one thread with spinning off, as a server runs "
        "them. A round runs each some times and keeps the median; what decides is the ratio to the original "
        "within a round. Loss is measured on held-out rows, which no quantiser was calibrated with."
    )
    cleaned = optimised.facts["cleaned"]
    changes = ", ".join(f"{what}: {number}" for what, number in cleaned["changes"].items()) or "nothing to do"
    graph = optimised.facts["graph"]
    made.facts(
        {
            "operators": ", ".join(f"{name} {count}" for name, count in list(graph["operators"].items())[:8]),
            "clean-up": f"{cleaned['nodes'][0]} nodes to {cleaned['nodes'][1]} ({changes})",
        }
    )


def _decision(tried: Tried) -> str:
    verdict = tried.verdict
    if verdict is None or not verdict.is_kept:
        return "not kept"
    return "default" if verdict.is_default else "kept"


def _reason(tried: Tried) -> str:
    reason = tried.verdict.reason if tried.verdict else ""
    return f"{reason}; {tried.note}" if tried.note else reason


def _sizes(tried: Sequence[Tried]) -> list[int]:
    return sorted({rows for each in tried for rows in each.latency_us})
