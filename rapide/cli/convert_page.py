"""The page that ``rapide convert --html`` writes: what was converted, proofs with their limits, the worst rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rapide.cli.optimise_page import add_variants
from rapide.cli.tables import size_text
from rapide.converters.convert import Published
from rapide.converters.errors import GateRefused
from rapide.converters.options import ConvertOptions
from rapide.converters.quality_bar import QualityVerdict
from rapide.converters.row_kinds import by_set
from rapide.converters.trial_gate import GATE as TRIAL
from rapide.reports import plots
from rapide.reports.page import Page
from rapide.server.model.graph_rules import MAX_NODES

_SHOWN_COLUMNS = 8
_SHOWN_WORST = 12
_SHOWN_FEATURES = 24
_LOADED = (
    "trial",
    "a server's loader takes it, within limits, and it answers its golden rows",
    "yes",
    "yes",
)
"""The last gate's line, but for the verdict."""


def page(published: Published, options: ConvertOptions) -> Page:
    """The whole page. Raises ImportError without matplotlib."""
    manifest = published.manifest
    made = Page(
        f"{manifest.model} version {published.version}", manifest.description or "Converted and published."
    )
    _add_facts(made, published)
    _add_model(made, published)
    examination = published.chosen.examination
    _add_gates(made, [*_gates(examination, options), (*_LOADED, "passed")])
    _add_parity(made, [(attempt.precision, attempt.examination) for attempt in published.attempts])
    _add_speed(made, examination["latency_us"])
    if published.optimised is not None:
        made.heading("Optimised")
        add_variants(made, published.optimised)
    _add_lineage(made, manifest.lineage)
    return made


def refusal_page(error: GateRefused, options: ConvertOptions) -> Page:
    """What was found of a model that a gate refused: as much as was examined by then. Raises ImportError as
    above."""
    made = Page(f"{options.name}: refused by the {error.gate} gate", "Nothing was published.")
    made.text(_sentence(error.message))
    if error.hint:
        made.text(error.hint)
    made.facts(
        {
            "model": options.constant or str(options.model),
            "sample": "none" if options.sample is None else str(options.sample),
            "repository": str(options.repository),
        }
    )
    attempts = error.report.get("attempts", [])
    if not attempts:
        _add_gates(made, [(error.gate, _sentence(error.message), "–", "–", "refused")])
        return made
    chosen = error.report.get("chosen", attempts[-1]["precision"])
    examination = next(each for each in attempts if each["precision"] == chosen)
    loaded = "refused" if error.gate == TRIAL else "not reached"
    _add_gates(made, [*_gates(examination, options), (*_LOADED[:2], "–", *_LOADED[3:], loaded)])
    _add_parity(made, [(each["precision"], each) for each in attempts])
    _add_speed(made, examination["latency_us"])
    return made


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _add_facts(made: Page, published: Published) -> None:
    examination, manifest = published.chosen.examination, published.manifest
    facts = {
        "model": f"{manifest.model} version {published.version}",
        "precision": published.chosen.precision,
        "graph": f"{size_text(examination['bytes'])}, {examination['nodes']} nodes",
        "digest": manifest.digest[:19] + "…",
        "label": _label(published),
        "took": f"{published.elapsed_s:.1f} s",
    }
    made.facts({name: text for name, text in facts.items() if text})
    for note in published.notes:
        made.text(f"Note: {note}")


def _label(published: Published) -> str:
    of = "" if published.labelled == published.version else f", of version {published.labelled}"
    return f"{published.label}{of}" if published.label else ""


def _add_model(made: Page, published: Published) -> None:
    manifest = published.manifest
    made.heading("What was converted")
    steps = manifest.lineage.get("steps", ())
    if steps:
        made.text(f"Steps: {' → '.join(map(str, steps))}.")
    if manifest.features:
        made.table(
            ("feature", "kind", "must be given", "known texts"),
            [
                (
                    feature.name,
                    feature.kind,
                    "yes" if feature.required else "no",
                    ", ".join(feature.categories[:_SHOWN_COLUMNS]),
                )
                for feature in manifest.features[:_SHOWN_FEATURES]
            ],
            caption=_takes(len(manifest.features)),
        )
    made.table(
        ("tensor", "direction", "datatype", "shape"),
        [
            (spec.name, direction, str(spec.datatype), str(list(spec.shape)))
            for direction, specs in (("input", manifest.signature.inputs), ("output", manifest.signature.outputs))
            for spec in specs
        ],
        caption="Tensors; −1: each request chooses. "
        + ("Rows of different requests may be run together." if manifest.signature.batchable else "Runs alone."),
    )


def _takes(features: int) -> str:
    more = features - _SHOWN_FEATURES
    return "What it takes" + (f": the first {_SHOWN_FEATURES}, and {more} more" if more > 0 else "")


def _add_gates(made: Page, lines: Sequence[tuple[str, ...]]) -> None:
    made.heading("Proofs")
    made.table(("gate", "what", "figure", "limit", ""), lines)


def _gates(examination: Mapping[str, Any], options: ConvertOptions) -> Iterator[tuple[str, str, str, str, str]]:
    """What each gate but the last asked, what it found, and what it says to that."""
    yield "graph", "nodes, all of known operators", str(examination["nodes"]), str(MAX_NODES), "passed"
    binding = [line for line in examination["table"] if not line["advisory"]]
    flips = sum(line["over"] for line in binding if line["is_label"])
    over = sum(line["over"] for line in binding if not line["is_label"])
    rows = sum(line["rows"] for line in binding)
    if any(line["is_label"] for line in binding):
        limit = options.max_flips
        yield (
            "parity",
            f"labels that differ, of {rows} compared",
            str(flips),
            str(limit),
            _verdict(flips <= limit),
        )
    yield "parity", f"answers beyond the limit, of {rows} compared", str(over), "0", _verdict(not over)
    quality = examination["quality_gate"]
    if quality is not None:
        for name in ("baseline", "hurdle"):
            if quality[name] is not None:
                rule = f" ({quality['rule']})" if name == "baseline" else ""
                yield "quality", f"{quality['metric']} against the {name}{rule}", *_held_against(quality, name)
    one_row_us, limit_us = float(examination["latency_us"]["1"]), options.max_latency_us
    allowed = "not limited" if limit_us is None else f"{limit_us:g} µs"
    passed = limit_us is None or one_row_us <= limit_us
    yield "speed", "one row, on this machine", f"{one_row_us:.0f} µs", allowed, _verdict(passed)


def _verdict(passed: bool) -> str:
    return "passed" if passed else "refused"


def _held_against(quality: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    """The figure, the limit called ``name``, and the verdict."""
    figure = math.nan if quality["figure"] is None else float(quality["figure"])
    one = QualityVerdict(
        metric=quality["metric"],
        figure=figure,
        higher_is_better=quality["higher_is_better"],
        baseline=None,
        rule="",
        hurdle=quality[name],
    )
    return f"{figure:.4g}", f"{quality[name]:.4g}", _verdict(one.passed)


def _add_parity(made: Page, attempts: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """``attempts``: precision and what was found of it."""
    for precision, examination in attempts:
        verdict = "answers like the original" if examination["passed"] else "differs from the original"
        made.heading(f"Parity, {precision}: the graph {verdict}")
        made.table(
            ("rows", "number", "output", "worst", "relative", "limit", "over"),
            [_parity_line(line, examination["tolerance"]["outputs"]) for line in by_set(examination["table"])],
        )
        worst = _worst(examination["table"])
        if worst:
            made.table(
                ("rows", "output", "original", "graph", "sits on", "row"),
                worst,
                caption="Where graph and original are farthest apart, even if that is within the limit",
            )


def _parity_line(line: Mapping[str, Any], tolerances: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    limit = tolerances[line["output"]]
    allowed = "told only" if line["advisory"] else f"{limit['absolute']:.2g} + {limit['relative']:.0e} of it"
    if line["is_label"]:
        return (line["set"], str(line["rows"]), line["output"], "–", "–", "0 flips", str(line["over"]))
    worst = (f"{float(line['worst_absolute']):.2g}", f"{float(line['worst_relative']):.2g}")
    return (line["set"], str(line["rows"]), line["output"], *worst, allowed, str(line["over"]))


def _worst(table: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    placed = [line for line in table if line["where"]]
    placed.sort(key=lambda line: (-line["over"], -float(line["worst_relative"])))
    return [
        (
            line["set"],
            line["output"],
            line["where"]["original"],
            line["where"]["graph"],
            line["where"]["why"] or "–",
            ", ".join(f"{name}={value}" for name, value in list(line["where"]["row"].items())[:_SHOWN_COLUMNS]),
        )
        for line in placed[:_SHOWN_WORST]
    ]


def _add_speed(made: Page, latency: Mapping[str, float]) -> None:
    made.heading("Speed")
    made.plot(
        plots.bars(
            [f"{rows} row{'s' * (rows != '1')}" for rows in latency], list(latency.values()), y="µs in one run"
        ),
        "Median time of one run on one thread, while it was converted: a first impression, not a benchmark.",
    )


def _add_lineage(made: Page, lineage: Mapping[str, Any]) -> None:
    made.heading("Where it came from")
    plain = {name.replace("_", " "): str(value) for name, value in lineage.items() if isinstance(value, str | int)}
    versions = lineage.get("versions", {})
    made.facts(plain | {name: str(value) for name, value in versions.items()})
