"""What the server has to reach, and what a run found of it. Pure: a run's results in, lines out."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = Mapping[str, Any]
LATE_SHARE = 0.25
"""A p99 counts only if the generator's own lateness stays below this share of it."""
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
    names = ("rapide-grpc", "grpc-aio")
    for in_flight, bound in ((32, 10), (64, 12)):
        found = closed.ratios(*names, "requests_per_s", in_flight)
        yield Goal(f"gRPC, {title}, requests/s at {in_flight} in flight", found, AT_LEAST, bound)
    one = ("rapide-grpc-one", "grpc-aio-one")
    found = closed.ratios(*one, "requests_per_s", 64)
    yield Goal(f"gRPC, {title}, requests/s at 64 in flight on one connection", found, AT_LEAST, 12)
    found = closed.ratios(*names, "mean_us", 1)
    yield Goal(f"gRPC, {title}, mean latency at 1 in flight", found, AT_MOST, 0.55)
    doubt = opened.lateness(*names)
    found = opened.ratios(*names, "p99_us")
    yield Goal(f"gRPC, {title}, p99 at a fixed arrival rate", found, AT_MOST, 0.5, doubt=doubt)
    found = opened.ratios(*names, "p99_by_second_us")
    yield Goal(f"gRPC, {title}, the same, median of each second's p99", found, AT_MOST, 0.5, doubt=doubt)


def _http(title: str, closed: _Table) -> Iterator[Goal]:
    found = closed.ratios("rapide-json", "starlette", "requests_per_s", 8)
    yield Goal(f"HTTP JSON, {title}, requests/s at 8 in flight", found, AT_LEAST, 3)
    found = closed.ratios("rapide-binary", "rapide-json", "requests_per_s", 8)
    yield Goal(f"HTTP binary against JSON, {title}, requests/s at 8 in flight", found, AT_LEAST, 1)


def _larger(title: str, entries: Sequence[Entry]) -> Iterator[Goal]:
    alone = _by_round([entry for entry in entries if entry["how"] == "bare"], "rows_per_s")
    for how, words in (("batches", "requests of a whole batch"), ("rows", "requests of one row")):
        served = _by_round([entry for entry in entries if entry["how"] == how], "rows_per_s")
        yield Goal(
            f"{title}, rows/s against the best loop of `session.run`, {words}",
            _divided(served, alone),
            AT_LEAST,
            0.95,
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
    yield Goal(what, _divided(two, one), AT_LEAST, 1.8)


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

    def ratios(self, mine: str, base: str, figure: str, in_flight: int | None = None) -> tuple[float, ...]:
        return _divided(self._values(mine, figure, in_flight), self._values(base, figure, in_flight))

    def lateness(self, *names: str) -> str:
        """Why a p99 is the generator's own, if it is."""
        rows = [entry for entry in self._entries if entry["contestant"] in names]
        late = [entry for entry in rows if entry["late_p99_us"] > LATE_SHARE * entry["p99_us"]]
        return f"the generator was late in {len(late)} of {len(rows)} loops" if len(late) * 4 > len(rows) else ""

    def _values(self, name: str, figure: str, in_flight: int | None) -> dict[int, float]:
        mine = [
            entry
            for entry in self._entries
            if entry["contestant"] == name and entry.get("in_flight") in (None, in_flight)
        ]
        return _by_round(mine, figure)


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
