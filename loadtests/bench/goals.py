"""What the server has to reach, and what a run found of it. Pure: a run's results in, lines out."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rapide.loadtests.bench.meter import disturbed

Entry = Mapping[str, Any]
LATE_SHARE = 0.25
"""A p99 counts only if the generator's own lateness stays below this share of it."""
DOUBTFUL_SHARE = 0.5
"""Figures decide nothing if more than this share of their measurements was disturbed or late."""
AT_LEAST, AT_MOST = "≥", "≤"
_HOLDS: Mapping[str, Callable[[float, float], bool]] = {AT_LEAST: operator.ge, AT_MOST: operator.le}


@dataclass(frozen=True, slots=True)
class Goal:
    """One line. ``found`` are ratios (or figures) round by round; none where nothing was measured."""

    what: str
    found: tuple[float, ...]
    relation: str
    bound: float
    unit: str = "×"
    doubt: str = ""
    """Why the figures decide nothing, if they do not."""

    @property
    def verdict(self) -> str:
        if not self.found:
            return "not measured"
        if self.doubt:
            return f"undecided: {self.doubt}"
        return "met" if _HOLDS[self.relation](statistics.median(self.found), self.bound) else "**not met**"

    @property
    def measured(self) -> str:
        return spread(self.found, self.unit) if self.found else ""

    @property
    def goal(self) -> str:
        return f"{self.relation} {self.bound:g}{self.unit}"


def goals(results: Mapping[str, Any], titles: Mapping[str, str]) -> list[Goal]:
    """All of them, in the order in which they are shown. ``titles``: the models' names in words."""
    lines: list[Goal] = []
    for model in results["method"]["workloads"]:
        closed = _Table(results["closed"], model)
        opened = _Table(results["open"], model)
        lines += _grpc(titles[model], closed, opened)
        lines += _http(titles[model], closed)
    for model in results["curves"]:
        lines += _larger(titles.get(model, model), [e for e in results["larger"] if e["model"] == model])
    lines += _workers(results["workers"], titles)
    lines += _crowd(results["crowd"])
    return lines


def _grpc(title: str, closed: _Table, opened: _Table) -> Iterator[Goal]:
    names, one = ("rapide-grpc", "grpc-aio"), ("rapide-grpc-one", "grpc-aio-one")
    rate, mean = "requests_per_s", "mean_us"
    yield closed.goal(f"gRPC, {title}, requests/s at 32 in flight", names, rate, AT_LEAST, 10, 32)
    yield closed.goal(f"gRPC, {title}, requests/s at 64 in flight", names, rate, AT_LEAST, 12, 64)
    yield closed.goal(f"gRPC, {title}, requests/s at 64 in flight on one connection", one, rate, AT_LEAST, 12, 64)
    yield closed.goal(f"gRPC, {title}, mean latency at 1 in flight", names, mean, AT_MOST, 0.55, 1)
    yield opened.goal(f"gRPC, {title}, p99 at a fixed arrival rate", names, "p99_us", AT_MOST, 0.5)
    turns = f"gRPC, {title}, the same, median of each turn's p99"
    yield opened.goal(turns, names, "p99_by_turn_us", AT_MOST, 0.5)
    polling = ("rapide-polling", "grpc-aio")
    yield opened.goal(
        f"gRPC, {title}, p99 at a fixed arrival rate, with --busy-poll-us", polling, "p99_us", AT_MOST, 0.5
    )


def _http(title: str, closed: _Table) -> Iterator[Goal]:
    rate = "requests_per_s"
    json, binary = ("rapide-json", "starlette"), ("rapide-binary", "rapide-json")
    yield closed.goal(f"HTTP JSON, {title}, requests/s at 8 in flight", json, rate, AT_LEAST, 3, 8)
    what = f"HTTP binary against JSON, {title}, requests/s at 8 in flight"
    yield closed.goal(what, binary, rate, AT_LEAST, 1, 8)


def _larger(title: str, entries: Sequence[Entry]) -> Iterator[Goal]:
    alone = _by_round([entry for entry in entries if entry["how"] == "bare"], "rows_per_s")
    for how, words in (("batches", "requests of a whole batch"), ("rows", "requests of one row")):
        served = _by_round([entry for entry in entries if entry["how"] == how], "rows_per_s")
        yield Goal(
            f"{title}, rows/s against the best loop of `session.run`, {words}",
            _divided(served, alone),
            AT_LEAST,
            0.95,
            doubt=_doubt([entry for entry in entries if entry["how"] in ("bare", how)]),
        )


def _workers(entries: Sequence[Entry], titles: Mapping[str, str]) -> Iterator[Goal]:
    if not entries:
        yield Goal("two workers on two cores against one, requests/s", (), AT_LEAST, 1.8)
        return
    model = entries[0]["model"]  # the larger one: its generator leaves both cores to the workers
    mine = [entry for entry in entries if entry["model"] == model]
    one = _by_round([entry for entry in mine if entry["workers"] == 1], "requests_per_s")
    two = _by_round([entry for entry in mine if entry["workers"] == 2], "requests_per_s")
    what = f"two workers on two cores against one, {titles.get(model, model)}, requests/s"
    yield Goal(what, _divided(two, one), AT_LEAST, 1.8, doubt=_doubt(mine))


def _crowd(found: Entry) -> Iterator[Goal]:
    if not found:
        yield Goal("idle connections still answered after a crowd", (), AT_LEAST, 100, " %")
        return
    still = 100 * found["idle_answered_after"] / found["idle"]
    what = f"{found['idle']:,} idle connections beside {found['active']:,} active ones: still answered at the end"
    yield Goal(what, (still,), AT_LEAST, 100, " %")
    smallest = min(share["smallest_share"] for share in found["shares"].values())
    yield Goal("the active one with the fewest answers, against their mean", (smallest,), AT_LEAST, 0.5)


class _Table:
    """The rows of one model, looked up by contestant."""

    def __init__(self, entries: Sequence[Entry], model: str) -> None:
        self._entries = [entry for entry in entries if entry["model"] == model]

    def goal(
        self,
        what: str,
        names: tuple[str, str],
        figure: str,
        relation: str,
        bound: float,
        in_flight: int | None = None,
    ) -> Goal:
        """The first of two contestants over the second."""
        mine, base = (self._values(name, figure, in_flight) for name in names)
        return Goal(what, _divided(mine, base), relation, bound, doubt=self.doubt(*names, in_flight=in_flight))

    def doubt(self, *names: str, in_flight: int | None = None) -> str:
        """Why figures are not the server's, if they are not: others were at work, or the generator itself, or what
        failed is not in them."""
        rows = [row for name in names for row in self._rows(name, in_flight)]
        late = [row for row in rows if row.get("late_p99_us", 0.0) > LATE_SHARE * row.get("p99_us", 0.0)]
        failed = [row for row in rows if row.get("failures")]
        return (
            _doubt(rows)
            or _said("the generator was late", late, rows)
            or (f"requests failed in {len(failed)} of {len(rows)} measurements" if failed else "")
        )

    def _values(self, name: str, figure: str, in_flight: int | None) -> dict[int, float]:
        return _by_round(self._rows(name, in_flight), figure)

    def _rows(self, name: str, in_flight: int | None) -> list[Entry]:
        mine = (entry for entry in self._entries if entry["contestant"] == name)
        return [entry for entry in mine if entry.get("in_flight") in (None, in_flight)]


def _doubt(rows: Sequence[Entry]) -> str:
    return _said("others were at work", [row for row in rows if disturbed(row)], rows)


def _said(why: str, bad: Sequence[Entry], rows: Sequence[Entry]) -> str:
    """``why``, if it was so in too many of the measurements."""
    return f"{why} in {len(bad)} of {len(rows)} measurements" if len(bad) > DOUBTFUL_SHARE * len(rows) else ""


def _by_round(entries: Sequence[Entry], figure: str) -> dict[int, float]:
    return {entry["round"]: float(entry[figure]) for entry in entries}


def _divided(mine: Mapping[int, float], base: Mapping[int, float]) -> tuple[float, ...]:
    """Ratios within the rounds that both were measured in."""
    return tuple(mine[number] / base[number] for number in sorted(mine) if number in base)


def spread(ratios: Sequence[float], unit: str = "×") -> str:
    """The median ratio, and between which it lay."""
    digits = 0 if unit == " %" else 2
    median = f"{statistics.median(ratios):.{digits}f}{unit}"
    if len(ratios) == 1:
        return median
    return f"{median} ({min(ratios):.{digits}f}–{max(ratios):.{digits}f})"
