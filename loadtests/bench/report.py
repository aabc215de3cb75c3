"""A run's results as a page: medians over the rounds, ratios within each round, and how far they spread. Pure."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rapide.loadtests.bench.contestants import CONTESTANTS, Contestant
from rapide.loadtests.bench.goals import goals, spread
from rapide.loadtests.bench.meter import FOREIGN_CORES, STEAL, disturbed
from rapide.loadtests.bench.parts import BATCHES_IN_FLIGHT, TURN_S, WORKERS_IN_FLIGHT
from rapide.loadtests.bench.workloads import LARGER, WORKLOADS

Entry = Mapping[str, Any]
WIDTH = 116
_PINNED = {
    True: "the servers pinned to one core and the generator to another",
    False: "nothing pinned, as there is one core",
}
_REAL_TIME = {
    True: "The servers run before all else on their core meanwhile (SCHED_RR).",
    False: "The servers are scheduled like any process: what else the machine does is in everybody's latencies.",
}
_METHOD = """\
One run, {pinned}. Every server answers from one process, with one thread in `session.run`, which does not spin;
telemetry is on, as it always is. The hand-written servers: grpc.aio on uvloop with generated protobuf classes;
uvicorn on uvloop and httptools, Starlette, orjson. Both run each request alone.

{rounds} round(s); in each, all contestants in turn, {duration_s:g} s each after a warm-up; whoever is not
measured is paused (SIGSTOP). A figure is the median over the rounds. A ratio is taken within a round, against the
hand-written server of the same protocol; its median is shown, and between which values it lay.

Closed loops: {grpc} for gRPC, on at most {most_connections} connections (64 in flight are {most_connections} ×
8 streams; where it says "one connection", 1 × 64), and {http} for HTTP, on as many connections as there are
requests in flight. Before, an ordinary client compared every contestant's answer with what the bare model
answers. The generators are written in C; "generator" is the share of its core that it used, and below 1 it did
not hold the server up. Processor time of a request is that of the server's processes over the requests
answered.

Fixed arrival rate: our own generator (that of `rapide replay`), the same Poisson arrivals for everybody, in
turns of {turn_s:g} s, each request timed from when it was due. Where its own lateness nears a p99, it measured
itself. Where it says --busy-poll-us the server stays awake for so long after an answer (docs/guides/serve.md) and
has its defaults otherwise; some seven of eight requests find it awake. {real_time}

Larger model: the loop of `session.run` and the server take turns on the same core, the loop before, between and
after the server's. "Whole batches": each
request carries as many rows as the loop's best batch, {batches} in flight; "one row": as many requests of one
row as make {batches} batches, which the server has to gather.

Two workers: one worker on the servers' core, then two on both cores, with {workers} connections for each worker
and one request in flight on each. The generator shares a core with the second worker and yields to it (nice
19). With the larger model it needs a few hundredths of that core, so requests per second show what two workers
do; with the small one it needs as much as a worker, so that only the processor time of a request can be
compared.

Crowd: a fresh worker. Idle connections, half HTTP and half gRPC, are used once, kept, and asked again at the
end; the active ones ask as soon as they are answered. Memory is the growth of the server's resident memory.

Others at work: the processor time that neither the servers nor the generator took (`/proc/stat`), and what the
host kept (steal). A measurement is disturbed if they took more than {foreign:.0%} of a core or {steal:.0%}. RSS
counts shared pages in every process, PSS divides them among those that share them."""
NAMES = {contestant.name: contestant for contestant in CONTESTANTS}
SHORT = {workload.name: workload.short for workload in (*WORKLOADS.values(), LARGER)}
TITLES = {workload.name: workload.title for workload in (*WORKLOADS.values(), LARGER)}


def render(results: Mapping[str, Any]) -> str:
    """The whole page, in Markdown."""
    parts = ["# Benchmarks", "", *_preface(results)]
    parts += ["", "## Goals", "", *_goals(results)]
    for model in results["method"]["workloads"]:
        parts += _small(results, model)
    for model in results["curves"]:
        parts += _larger(results, model)
    for title, shown in SECTIONS.items():
        lines = shown(results)
        parts += ["", f"## {title}", "", *lines] if lines else []
    parts += ["", "## Method", "", *_method(results)]
    return "\n".join(parts) + "\n"


def _small(results: Mapping[str, Any], model: str) -> list[str]:
    closed = [entry for entry in results["closed"] if entry["model"] == model]
    opened = [entry for entry in results["open"] if entry["model"] == model]
    lines = ["", f"## {_sentence(TITLES[model])}, one row", "", _bare(results["bare"][model])]
    if closed:
        lines += ["", "### Requests per second, by requests in flight", "", *_rates(closed)]
        lines += ["", "### Mean latency, µs, by requests in flight", "", *_latencies(closed)]
        lines += ["", "### Processor time of a request, µs, and the generator's share of its core", ""]
        lines += _processor(closed)
    if opened:
        lines += ["", *_open(opened)]
    return lines


def _goals(results: Mapping[str, Any]) -> list[str]:
    lines = goals(results, SHORT)
    return [
        "Ratios to the hand-written server of the same protocol unless something else is said.",
        "",
        *table(
            ["", "measured", "goal", ""], ([line.what, line.measured, line.goal, line.verdict] for line in lines)
        ),
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table; all columns but the first are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _preface(results: Mapping[str, Any]) -> list[str]:
    where = results["machine"]
    lines = [
        _wrapped(
            f"{where['cpu']}, {where['cores']} cores, {where['memory_gib']} GiB; {where['system']}, "
            f"Linux {where['kernel']}; {where['when']}; load average before the run {where['load_before']}; "
            f"{results['rounds']} round(s) of {results['method']['rounds']}, "
            f"{results['took_s'] / 60:.0f} minutes in all."
        ),
        "",
        _wrapped(", ".join(f"{name} {version}" for name, version in results["versions"].items()) + "."),
    ]
    if results["quick"]:
        lines += ["", "**A short run: good for a glance, not for a claim.**"]
    lines += ["", _wrapped(_company(results))]
    lines += [
        "",
        "Written by `scripts/bench --render` from the JSON of one run of `scripts/bench`; not edited by hand.",
    ]
    return lines


def _company(results: Mapping[str, Any]) -> str:
    """Whether the machine was ours alone."""
    entries = [entry for part in ("closed", "open", "larger", "workers") for entry in results[part]]
    if not entries:
        return "Nothing was measured that others could have disturbed."
    bad = [entry for entry in entries if disturbed(entry)]
    foreign = max(entry["foreign_cores"] for entry in entries)
    steal = max(entry["steal_cores"] for entry in entries)
    said = (
        f"{len(bad)} of {len(entries)} measurements disturbed; others took at most {foreign:.0%} of a core during "
        f"one, and the host kept at most {steal:.0%}."
    )
    if len(bad) * 10 > len(entries):
        return f"**The machine was busy: {said} The figures are worth no more than that.**"
    return f"Others at work: {said}"


def _bare(found: Mapping[str, Mapping[str, float]]) -> str:
    figures = ", ".join(f"{each['run_us']:.1f} µs for {rows}" for rows, each in found.items())
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


def _processor(entries: Sequence[Entry]) -> list[str]:
    def cell(name: str, in_flight: int) -> str:
        mine = _rows(entries, name, in_flight)
        cost_us = statistics.median(entry["server_us"] for entry in mine)
        return f"{cost_us:,.0f} · {max(entry['generator_cores'] for entry in mine):.0%}"

    return _by_in_flight(entries, cell)


def _by_in_flight(entries: Sequence[Entry], cell: Callable[[str, int], str]) -> list[str]:
    loads = sorted({entry["in_flight"] for entry in entries})

    def line(contestant: Contestant) -> list[str]:
        name = contestant.name
        return [contestant.title, *(cell(name, load) if _rows(entries, name, load) else "" for load in loads)]

    return table(["", *(str(load) for load in loads)], (line(contestant) for contestant in _present(entries)))


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

    columns = ("p50_us", "p99_us", "p99_by_turn_us", "p999_us", "max_us", "late_p99_us")
    head = [
        "",
        "per second",
        "p50",
        "p99",
        "p99, median turn",
        "p99.9",
        "max",
        "generator late, p99",
        "p99 ratio",
    ]
    head.append("failed")
    return [
        "### Latency at a fixed arrival rate, µs",
        "",
        "Poisson arrivals at half of what the protocol's hand-written server does, timed from when each was due.",
        "Contestants take turns of a second, and the percentiles are of all turns of a round together. The median",
        "turn is the median of each turn's own p99: a stall of the machine spoils one turn.",
        "",
        *table(head, (row(contestant) for contestant in _present(entries))),
    ]


def _larger(results: Mapping[str, Any], model: str) -> list[str]:
    entries = [entry for entry in results["larger"] if entry["model"] == model]
    curve = results["curves"][model]
    alone = ", ".join(
        f"{each['run_us'] / 1000:.2f} ms for {rows} ({each['rows_per_s']:,.0f} rows/s)"
        for rows, each in curve.items()
    )

    def line(how: str, title: str) -> list[str]:
        mine = [entry for entry in entries if entry["how"] == how]
        ratios = [one["rows_per_s"] / other["rows_per_s"] for one, other in zip(mine, bare, strict=True)]
        figure = f"{statistics.median(entry['rows_per_s'] for entry in mine):,.0f}"
        return [title, str(mine[0]["rows"]), figure, "" if how == "bare" else spread(ratios)]

    bare = [entry for entry in entries if entry["how"] == "bare"]
    hows = {
        "bare": "`session.run` in a loop",
        "batches": "rapide, gRPC, whole batches",
        "rows": "rapide, gRPC, one row",
    }
    return [
        "",
        f"## {_sentence(TITLES.get(model, model))}",
        "",
        _wrapped(f"The model alone, by rows: {alone}."),
        "",
        *table(["", "rows a request", "rows/s", "ratio"], (line(how, title) for how, title in hows.items())),
    ]


def _workers(results: Mapping[str, Any]) -> list[str]:
    entries = results["workers"]
    keys = list(dict.fromkeys((entry["model"], entry["workers"]) for entry in entries))

    def line(model: str, workers: int) -> list[str]:
        mine = [entry for entry in entries if (entry["model"], entry["workers"]) == (model, workers)]
        figures = [
            statistics.median(entry["requests_per_s"] for entry in mine),
            statistics.median(entry["server_us"] for entry in mine),
            100 * statistics.median(entry["generator_cores"] for entry in mine),
        ]
        title = f"{TITLES.get(model, model)}, {mine[0]['rows']} row(s) a request"
        return [title, str(workers), *(f"{figure:,.0f}" for figure in figures)]

    head = ["", "workers", "requests/s", "processor time of a request, µs", "generator, % of a core"]
    return table(head, (line(*key) for key in keys)) if entries else []


def _crowd(results: Mapping[str, Any]) -> list[str]:
    found = results["crowd"]
    if not found:
        return []
    rows = [
        [
            door,
            f"{share['answers'] / found['seconds']:,.0f}",
            *(f"{share[name]:.1f}" for name in ("p50_ms", "p99_ms", "longest_wait_ms")),
            f"{share['smallest_share']:.2f}",
            str(share["failures"]),
        ]
        for door, share in found["shares"].items()
    ]
    text = (
        f"{found['idle']:,} idle connections, {_kib(found['bytes_per_idle_connection'])} each, of which "
        f"{found['idle_answered_after']:,} were answered at the end; {found['active']:,} active ones, "
        f"{_kib(found['bytes_per_active_connection'])} each. The waits hold the generator's own work, too."
    )
    head = ["active", "answers/s", "p50, ms", "p99, ms", "longest wait, ms", "smallest share", "failed"]
    return [_wrapped(text), "", *table(head, rows)]


def _kib(size_bytes: int | None) -> str:
    return "of unknown size" if size_bytes is None else f"{size_bytes / 1024:.1f} KiB"


def _starts(results: Mapping[str, Any]) -> list[str]:
    starts = results["starts"]
    if not starts:
        return []
    ready_s = [start["ready_s"] for start in starts]
    rows = [
        ("rapide, one model, idle: " + role, *_weights([start["memory"] for start in starts], role))
        for role in _roles(starts[0]["memory"])
    ]
    rows += [
        (
            f"{server}, after the load: {role}",
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
        rounds=results["rounds"],
        duration_s=method["duration_s"],
        most_connections=method["most_connections"],
        batches=BATCHES_IN_FLIGHT,
        workers=WORKERS_IN_FLIGHT,
        turn_s=TURN_S,
        real_time=_REAL_TIME[method.get("real_time", False)],
        foreign=FOREIGN_CORES,
        steal=STEAL,
    )
    return [_wrapped(f"- {paragraph}", "  ") for paragraph in text.split("\n\n")]


def _sentence(title: str) -> str:
    return title[0].upper() + title[1:]


def _wrapped(text: str, indent: str = "") -> str:
    """``text`` in lines of the width that the other pages have."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _ratios(mine: Sequence[float], base: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(mine, base, strict=True)]


def _values(entries: Sequence[Entry], name: str, in_flight: int, figure: str) -> list[float]:
    """One figure of a contestant at one load, in the order of the rounds."""
    return [float(entry[figure]) for entry in _rows(entries, name, in_flight)]


def _rows(entries: Sequence[Entry], name: str, in_flight: int) -> list[Entry]:
    return [entry for entry in entries if (entry["contestant"], entry["in_flight"]) == (name, in_flight)]


def _present(entries: Sequence[Entry]) -> list[Contestant]:
    names = {entry["contestant"] for entry in entries}
    return [contestant for contestant in CONTESTANTS if contestant.name in names]


SECTIONS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "Two workers": _workers,
    "A crowd": _crowd,
    "Start and memory": _starts,
}
"""What comes after the models, where it was measured."""
