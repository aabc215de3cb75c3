"""A run's results as a page: medians over the rounds, ratios within each round, and how far they spread. Pure."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rapide.loadtests.bench.contestants import CONTESTANTS, Contestant
from rapide.loadtests.bench.workloads import WORKLOADS

Entry = Mapping[str, Any]
WIDTH = 116
_PINNED = {
    True: "the servers pinned to one core and the generator to another",
    False: "nothing pinned, as there is one core",
}
_METHOD = """\
One run, {pinned}. Every server answers from one process, with one thread in `session.run`, which does not spin.

{rounds} round(s); in each, all contestants in turn, {duration_s:g} s each after a warm-up. A figure is the median
over the rounds. A ratio is taken within a round, against the hand-written server of the same protocol; its median
is shown, and between which values it lay.

Closed loops: {grpc} for gRPC, on at most {most_connections} connections, and {http} for HTTP. Before, an ordinary
client compared every contestant's answer with what the bare model answers.

Fixed arrival rate: our own generator (`loadtests/wire`), the same arrivals for everybody in a round. Where its own
lateness nears a p99, it measured itself.

RSS counts shared pages in every process, PSS divides them among those that share them."""
NAMES = {contestant.name: contestant for contestant in CONTESTANTS}


def render(results: Mapping[str, Any]) -> str:
    """The whole page, in Markdown."""
    parts = ["# Benchmarks", "", *_preface(results)]
    for model in results["method"]["workloads"]:
        closed = [entry for entry in results["closed"] if entry["model"] == model]
        opened = [entry for entry in results["open"] if entry["model"] == model]
        parts += ["", f"## {WORKLOADS[model].title[0].upper()}{WORKLOADS[model].title[1:]}, one row", ""]
        parts += [_bare(results["bare_us"][model]), ""]
        parts += ["### Requests per second, by requests in flight", "", *_rates(closed)]
        parts += ["", "### Mean latency, µs, by requests in flight", "", *_latencies(closed)]
        parts += ["", *_open(opened)]
    parts += ["", "## Start and memory", "", *_starts(results)]
    parts += ["", "## Method", "", *_method(results)]
    return "\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _preface(results: Mapping[str, Any]) -> list[str]:
    where = results["machine"]
    lines = [
        _wrapped(
            f"{where['cpu']}, {where['cores']} cores, {where['memory_gib']} GiB; {where['system']}, "
            f"Linux {where['kernel']}; {where['when']}; load average before the run {where['load_before']}."
        ),
        "",
        _wrapped(", ".join(f"{name} {version}" for name, version in results["versions"].items()) + "."),
    ]
    if results["quick"]:
        lines += ["", "**A quick run: one short round. Good for a glance, not for a claim.**"]
    lines += [
        "",
        "Written by `scripts/bench --render` from the JSON of one run of `scripts/bench`; not edited by hand.",
    ]
    return lines


def _bare(run_us: Mapping[str, float]) -> str:
    figures = ", ".join(f"{float(value):.1f} µs for {rows}" for rows, value in run_us.items())
    return f"The model alone, `session.run` in a loop, by rows: {figures}."


def _rates(entries: Sequence[Entry]) -> list[str]:
    def cell(name: str, in_flight: int) -> str:
        rates = _values(entries, name, in_flight, "requests_per_s")
        shown = f"{statistics.median(rates):,.0f}"
        against = NAMES[name].against
        if not against:
            return shown
        ratios = _ratios(rates, _values(entries, against, in_flight, "requests_per_s"))
        return f"{shown} · {spread(ratios)}"

    return _by_in_flight(entries, cell)


def _latencies(entries: Sequence[Entry]) -> list[str]:
    def cell(name: str, in_flight: int) -> str:
        times = _values(entries, name, in_flight, "mean_us")
        shown = f"{statistics.median(times):,.0f}"
        against = NAMES[name].against
        if not against:
            return shown
        return f"{shown} · {spread(_ratios(times, _values(entries, against, in_flight, 'mean_us')))}"

    return _by_in_flight(entries, cell)


def _by_in_flight(entries: Sequence[Entry], cell: Callable[[str, int], str]) -> list[str]:
    loads = sorted({entry["in_flight"] for entry in entries})
    return table(
        ["", *(str(load) for load in loads)],
        ([contestant.title, *(cell(contestant.name, load) for load in loads)] for contestant in _present(entries)),
    )


def _open(entries: Sequence[Entry]) -> list[str]:
    def row(contestant: Contestant) -> list[str]:
        mine = [entry for entry in entries if entry["contestant"] == contestant.name]
        figures = [f"{statistics.median(entry[name] for entry in mine):,.0f}" for name in columns]
        failures = sum(entry["failures"] for entry in mine)
        if contestant.against:
            base = [entry for entry in entries if entry["contestant"] == contestant.against]
            ratios = _ratios([entry["p99_us"] for entry in mine], [entry["p99_us"] for entry in base])
            figures.append(spread(ratios))
        else:
            figures.append("")
        return [contestant.title, f"{mine[0]['rate_per_s']:,.0f}", *figures, str(failures)]

    columns = ("p50_us", "p99_us", "p999_us", "max_us", "late_p99_us")
    head = ["", "per second", "p50", "p99", "p99.9", "max", "generator late, p99", "p99 ratio", "failed"]
    return [
        "### Latency at a fixed arrival rate, µs",
        "",
        "Poisson arrivals at half of what the protocol's hand-written server does, timed from when each was due.",
        "",
        *table(head, (row(contestant) for contestant in _present(entries))),
    ]


def _starts(results: Mapping[str, Any]) -> list[str]:
    starts = results["starts"]
    ready_s = [start["ready_s"] for start in starts]
    rows = [
        ("rapide, one model, idle: " + role, *_weights([start["memory"] for start in starts], role))
        for role in _roles(starts[0]["memory"])
    ]
    rows += [
        (
            f"{server}, {len(results['method']['workloads'])} model(s), after the load: {role}",
            *_weights([memory], role),
        )
        for server, memory in results["memory_after_load"].items()
        for role in _roles(memory)
    ]
    return [
        f"`rapide serve` with one small model and one worker is ready {statistics.median(ready_s):.2f} s after "
        f"the command was given ({min(ready_s):.2f}–{max(ready_s):.2f}).",
        "",
        *table(["MiB", "RSS", "PSS"], rows),
    ]


def _roles(memory: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(process["role"] for process in memory))


def _weights(memories: Sequence[Sequence[Entry]], role: str) -> tuple[str, str]:
    """Medians over all processes of that role, in all starts."""
    mine = [process for memory in memories for process in memory if process["role"] == role]
    return (
        f"{statistics.median(process['rss_mib'] for process in mine):.0f}",
        f"{statistics.median(process['pss_mib'] for process in mine):.0f}",
    )


def _method(results: Mapping[str, Any]) -> list[str]:
    method = results["method"]
    text = _METHOD.format(
        pinned=_PINNED[method["pinned"]],
        grpc=method["generators"]["grpc"],
        http=method["generators"]["http"],
        **{name: method[name] for name in ("rounds", "duration_s", "most_connections")},
    )
    return [_wrapped(f"- {paragraph}", "  ") for paragraph in text.split("\n\n")]


def _wrapped(text: str, indent: str = "") -> str:
    """``text`` in lines of the width that the other pages have."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def spread(ratios: Sequence[float]) -> str:
    """The median ratio, and between which it lay."""
    median = f"{statistics.median(ratios):.2f}×"
    return median if len(ratios) == 1 else f"{median} ({min(ratios):.2f}–{max(ratios):.2f})"


def _ratios(mine: Sequence[float], base: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(mine, base, strict=True)]


def _values(entries: Sequence[Entry], name: str, in_flight: int, figure: str) -> list[float]:
    """One figure of a contestant at one load, in the order of the rounds."""
    mine = (entry for entry in entries if (entry["contestant"], entry["in_flight"]) == (name, in_flight))
    return [float(entry[figure]) for entry in mine]


def _present(entries: Sequence[Entry]) -> list[Contestant]:
    names = {entry["contestant"] for entry in entries}
    return [contestant for contestant in CONTESTANTS if contestant.name in names]
