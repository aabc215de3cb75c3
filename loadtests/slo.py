"""Service-level objectives as text (``p99<50ms,errors<0.1%``), judged against what a run measured. Pure.

An objective is ``<quantity><comparison><limit>``; several are joined by commas and must all hold.

| quantity | unit | example |
|---|---|---|
| a percentile of the response time (``p50``, ``p99.9``), ``mean``, ``max`` | ms; us, s if said | ``p99<50ms`` |
| ``errors``: the share of requests that failed | %, or a share from 0 to 1 | ``errors<0.1%`` |
| ``rps``: requests per second | – | ``rps>=200`` |
| ``requests``: how many there were | – | ``requests>1000`` |
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TIMES_MS: Mapping[str, float] = {"": 1.0, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_UNITS: Mapping[str, Mapping[str, float]] = {
    "time": _TIMES_MS,
    "share": {"": 1.0, "%": 0.01},
    "count": {"": 1.0},
}
_KINDS: Mapping[str, str] = {"mean": "time", "max": "time", "errors": "share", "rps": "count", "requests": "count"}
_FORM = re.compile(
    r"(?P<quantity>[a-z]+[0-9.]*)(?P<comparison><=|>=|<|>)(?P<limit>[0-9]+(?:\.[0-9]+)?)(?P<unit>[a-zµ%]*)"
)
_PERCENTILE = re.compile(r"p[0-9]{1,2}(\.[0-9]+)?")

LOCUST_RESOLUTION_MS = 1.0
"""Locust rounds the response times it keeps to the millisecond, so percentiles below this say nothing."""


class Measured(Protocol):
    """What a run found. Times are in milliseconds."""

    @property
    def requests(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def duration_s(self) -> float: ...
    @property
    def mean_ms(self) -> float: ...
    @property
    def max_ms(self) -> float: ...
    def percentile_ms(self, share: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective. ``limit`` is in milliseconds, a share, or a count, by what ``quantity`` is."""

    text: str
    quantity: str
    comparison: str
    limit: float

    @property
    def is_percentile(self) -> bool:
        return _PERCENTILE.fullmatch(self.quantity) is not None

    def value(self, measured: Measured) -> float:
        """What ``measured`` has to say on this quantity, in the unit of ``limit``."""
        match self.quantity:
            case "errors":
                return measured.failures / measured.requests
            case "rps":
                return measured.requests / measured.duration_s
            case "requests":
                return measured.requests
            case "mean":
                return measured.mean_ms
            case "max":
                return measured.max_ms
        return measured.percentile_ms(float(self.quantity.removeprefix("p")) / 100)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One objective, held against a run."""

    objective: Objective
    value: float
    holds: bool

    def __str__(self) -> str:
        return f"{'ok    ' if self.holds else 'MISSED'}  {self.objective.text:<16} measured {self.shown}"

    @property
    def shown(self) -> str:
        """The measured value with its unit."""
        match _kind(self.objective.quantity):
            case "time":
                return f"{self.value:.4g} ms"
            case "share":
                return f"{self.value:.4%}"
        return f"{self.value:.6g}"


def parse(text: str, *, resolution_ms: float = 0.0) -> tuple[Objective, ...]:
    """The objectives in ``text``. Raises ValueError, saying what is wrong with which one.

    ``resolution_ms``: percentiles are not known finer than this, and a finer limit is refused.
    """
    return tuple(_parse_one(part.strip(), resolution_ms) for part in text.split(",") if part.strip())


def judge(objectives: tuple[Objective, ...], measured: Measured) -> tuple[Verdict, ...]:
    """Each objective's verdict. A run without a single request meets none: silence is no proof of health."""
    if not measured.requests:
        return tuple(Verdict(objective, float("nan"), holds=False) for objective in objectives)
    values = [objective.value(measured) for objective in objectives]
    return tuple(
        Verdict(objective, value, _COMPARISONS[objective.comparison](value, objective.limit))
        for objective, value in zip(objectives, values, strict=True)
    )


def _parse_one(text: str, resolution_ms: float) -> Objective:
    form = _FORM.fullmatch(text.replace(" ", ""))
    if form is None:
        raise ValueError(f"{text!r} is no objective; write one like p99<50ms, errors<0.1% or rps>=200")
    quantity, comparison, number, unit = form.group("quantity", "comparison", "limit", "unit")
    units = _UNITS[_kind(quantity)]
    if unit not in units:
        raise ValueError(f"{text!r}: {quantity} is given in {' or '.join(filter(None, units)) or 'no unit'}")
    limit = float(number) * units[unit]
    if quantity.startswith("p") and limit < resolution_ms:
        raise ValueError(
            f"{text!r}: percentiles are kept to the millisecond; use mean, or rapide replay for finer questions"
        )
    return Objective(text, quantity, comparison, limit)


def _kind(quantity: str) -> str:
    if _PERCENTILE.fullmatch(quantity):
        return "time"
    if quantity not in _KINDS:
        raise ValueError(f"{quantity!r} is unknown; there are {', '.join(_KINDS)} and percentiles such as p99")
    return _KINDS[quantity]
