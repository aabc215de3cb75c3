"""What ``rapide convert`` shows: progress while it works, the parity table, what was published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from rich.console import Console

from rapide.cli.optimise_report import print_optimised
from rapide.cli.tables import print_table, size_text
from rapide.converters.convert import Published
from rapide.converters.options import ConvertOptions
from rapide.converters.row_kinds import by_set

_COLUMNS = ("rows", "number", "output", "worst", "relative", "limit", "over")
_RIGHT = frozenset({"number", "worst", "relative", "limit", "over"})
_SHOWN_PLACES = 3
_TOLD = "told only"
"""In the place of a limit, for rows so far outside that differences refuse nothing."""
_SHOWN_COLUMNS = 6
Result = TypeVar("Result")


def with_progress(work: Callable[[Callable[[str, str], None]], Result]) -> Result:
    """Runs ``work`` with a listener that shows each step, on standard error."""
    console = Console(stderr=True, highlight=False)
    with console.status("starting") as status:

        def listen(kind: str, text: str) -> None:
            if kind == "step":
                status.update(text)
            else:
                console.print(text if kind == "caution" else f"Note: {text}", markup=False)

        return work(listen)


def print_published(published: Published, options: ConvertOptions) -> None:
    """The parity tables and the summary, on standard output."""
    for attempt in published.attempts:
        _print_attempt({"precision": attempt.precision, **attempt.examination})
    manifest, examination = published.manifest, published.chosen.examination
    if examination["refused_missing"]:
        columns = _listed(examination["refused_missing"])
        print(f"Missing values will be refused in {columns}: there the graph would not follow the original.\n")
    lines = [
        ("published", f"{manifest.model} version {published.version} in {published.folder}"),
        ("digest", manifest.digest),
        ("label", published.label if published.labelled == published.version else ""),
        ("graph", _graph(published)),
        ("takes", _listed([f"{feature.name} ({feature.kind})" for feature in manifest.features])),
        ("answers", _listed([prediction.name for prediction in manifest.predictions])),
        ("quality", _quality(manifest.quality)),
        ("bar", _bar(examination["quality_gate"])),
        ("speed", _speed(examination["latency_us"])),
        ("trial", _trial(manifest.gates["trial"])),
        ("took", f"{published.elapsed_s:.1f} s"),
    ]
    for name, text in lines:
        if text:
            print(f"{name:<10}{text}")
    if published.optimised is not None:
        print()
        print_optimised(published.optimised, published.label)
    else:
        print(f"\nNext: rapide serve {options.repository}")


def print_attempts(attempts: Iterable[Mapping[str, Any]]) -> None:
    """The parity tables of what was refused, with the rows that differ most."""
    for attempt in attempts:
        _print_attempt(attempt)
        for text in _places(attempt["table"]):
            print(text)


def _print_attempt(attempt: Mapping[str, Any]) -> None:
    verdict = "answers like the original" if attempt["passed"] else "differs from the original"
    print(f"{attempt['precision']}: the graph {verdict}")
    tolerances = attempt["tolerance"]["outputs"]
    rows = []
    notes = []
    for line in by_set(attempt["table"]):
        limit = tolerances[line["output"]]
        allowed = f"{limit['absolute']:.2g} + {limit['relative']:.0e} of it"
        cells = (
            ("" if not line["over"] else "flips", "", _TOLD if line["advisory"] else "0")
            if line["is_label"]
            else (
                f"{float(line['worst_absolute']):.2g}",
                f"{float(line['worst_relative']):.2g}",
                _TOLD if line["advisory"] else allowed,
            )
        )
        rows.append((line["set"], str(line["rows"]), line["output"], *cells, str(line["over"])))
        if line["note"] and (line["set"], line["note"]) not in notes:
            notes.append((line["set"], line["note"]))
    print_table(_COLUMNS, rows, right=_RIGHT)
    for name, note in notes:
        print(f"  {name}: {note}")
    print()


def _places(table: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows that differ most, one a kind, in words."""
    shown = []
    for line in [line for line in table if line["over"] and line["where"] and not line["advisory"]][
        :_SHOWN_PLACES
    ]:
        where = line["where"]
        row = ", ".join(f"{name}={value}" for name, value in list(where["row"].items())[:_SHOWN_COLUMNS])
        why = f" ({where['why']})" if where["why"] else ""
        shown.append(
            f"  {line['set']}, {line['output']}: {where['original']} became {where['graph']}{why}\n    at {row}"
        )
    return shown


def _graph(published: Published) -> str:
    examination = published.chosen.examination
    alone = "" if published.manifest.signature.batchable else ", rows depend on each other: requests run alone"
    size = size_text(examination["bytes"])
    return f"{size}, {examination['nodes']} nodes, {published.chosen.precision}{alone}"


def _quality(quality: Mapping[str, Any]) -> str:
    figures = [f"{name} {value:.4g}" for name, value in quality.items() if isinstance(value, float)]
    return f"{', '.join(figures)} on {quality['rows']} rows of the sample" if figures else ""


def _bar(gate: Mapping[str, Any] | None) -> str:
    """What the figure was held against."""
    if gate is None or (gate["baseline"] is None and gate["hurdle"] is None):
        return ""
    parts = [] if gate["baseline"] is None else [f"baseline {gate['baseline']:.4g} ({gate['rule']})"]
    parts += [] if gate["hurdle"] is None else [f"hurdle {gate['hurdle']:.4g}"]
    return f"{gate['metric']} {gate['figure']:.4g} passes {', '.join(parts)}"


def _trial(trial: Mapping[str, Any]) -> str:
    return f"loaded and answered in {trial['seconds']:.2f} s with {size_text(trial['peak_bytes'])} of memory"


def _speed(latency_us: Mapping[str, float]) -> str:
    return ", ".join(f"{rows} row{'s' * (rows != '1')} {value:.0f} µs" for rows, value in latency_us.items())


def _listed(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
