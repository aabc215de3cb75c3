from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from rapide.loadtests.slo import Objective, judge, parse


@dataclass
class Run:
    """A run whose response times were 1, 2, … 100 ms."""

    requests: int = 1000
    failures: int = 2
    duration_s: float = 10.0
    mean_ms: float = 50.5
    max_ms: float = 100.0

    def percentile_ms(self, share: float) -> float:
        return 100 * share


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("p99<100ms", True),
        ("p99<99ms", False),
        ("p99<=99", True),
        ("p99.9 < 0.1s", True),
        ("p50<50000us", False),
        ("p50<=50000µs", True),
        ("mean<50.6", True),
        ("max<100ms", False),
        ("errors<0.3%", True),
        ("errors<0.1%", False),
        ("errors<=0.002", True),
        ("rps>=100", True),
        ("rps>100", False),
        ("requests>=1000", True),
        ("p99<100ms,errors<1%", True),
        ("p99<100ms,errors<0.1%", False),
        ("", True),
    ],
)
def test_objectives_are_judged(text: str, holds: bool) -> None:
    assert all(verdict.holds for verdict in judge(parse(text), Run())) is holds


def test_a_limit_is_kept_in_one_unit() -> None:
    assert parse("p99<0.05s, errors<0.1%") == (
        Objective("p99<0.05s", "p99", "<", 50.0),
        Objective("errors<0.1%", "errors", "<", 0.001),
    )


def test_no_requests_meet_no_objective() -> None:
    (verdict,) = judge(parse("errors<1%"), Run(requests=0, failures=0))
    assert not verdict.holds
    assert math.isnan(verdict.value)


def test_a_verdict_says_what_was_measured() -> None:
    shown = [str(verdict) for verdict in judge(parse("p99<50ms,errors<0.3%,rps>1"), Run())]
    assert shown == [
        "MISSED  p99<50ms         measured 99 ms",
        "ok      errors<0.3%      measured 0.2000%",
        "ok      rps>1            measured 100",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99", "is no objective"),
        ("p99=50ms", "is no objective"),
        ("p99<50min", "p99 is given in us or µs or ms or s"),
        ("errors<1ms", "errors is given in %"),
        ("rps>5%", "rps is given in no unit"),
        ("latency<5ms", "'latency' is unknown"),
        ("p999<5ms", "'p999' is unknown"),
    ],
)
def test_a_wrong_objective_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


def test_a_limit_finer_than_what_is_kept_is_refused() -> None:
    with pytest.raises(ValueError, match="kept to the millisecond"):
        parse("p99<0.5ms", resolution_ms=1.0)
    assert parse("p99<500us")[0].limit == pytest.approx(0.5)
