from __future__ import annotations

import numpy as np
import pytest

from rapide.tuning.errors import TuningError
from rapide.tuning.slo import Slo, percentile, seconds

MS = np.arange(1, 101) / 1e3


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("p99<100ms", True),
        ("p99<98ms", False),
        ("p99.9<0.101s", True),
        ("p50<50500us,p90<80ms", False),
        ("p50 < 50500µs", True),
        ("p99<=100", True),
    ],
)
def test_all_limits_must_hold(text: str, holds: bool) -> None:
    assert Slo.parse(text).holds(MS) is holds


def test_refusing_is_no_way_to_meet_a_percentile() -> None:
    latency_s = np.array([1e-3] * 97 + [np.inf] * 3)
    assert not Slo.parse("p95<2ms").holds(latency_s)
    assert Slo.parse("p95<2ms,errors<5%").holds(latency_s)
    assert percentile(latency_s, 99) == np.inf


def test_nothing_was_asked_is_no_proof() -> None:
    assert not Slo.parse("p99<1s").holds(np.array([]))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "names no limit"),
        ("p99", "'p99' is no objective"),
        ("p99>5ms", "'p99>5ms' is no objective that can be tuned for"),
        ("p99<5ms,rps>=200", "'rps>=200' is no objective that can be tuned for"),
        ("p100<5ms", "'p100' is unknown"),
        ("p99<5min", "p99 is given in us"),
        ("mean<5ms", "'mean<5ms' is no objective that can be tuned for"),
        ("errors<1%", "names no limit"),
        ("p99<0ms", "names no limit of a latency above 0"),
    ],
)
def test_what_is_no_objective_is_told_with_what_would_be_one(text: str, complaint: str) -> None:
    with pytest.raises(TuningError, match=complaint) as told:
        Slo.parse(text)
    assert "such as p99<5ms" in told.value.hint


def test_the_highest_percentile_is_the_main_one() -> None:
    slo = Slo.parse("p50<1ms,p99<5ms")
    assert slo.main.name == "p99"
    assert str(slo) == "p50<1ms,p99<5ms,errors<0.1%"
    assert Slo.parse(str(slo)) == slo


def test_times_are_written_as_people_do() -> None:
    assert [seconds(value) for value in (2.5, 0.0042, 37e-6, np.inf)] == ["2.5 s", "4.2 ms", "37 µs", "never"]


def test_the_figure_is_worse_beyond_any_limit_than_within_all() -> None:
    slo = Slo.parse("p99<5ms,p50<1ms,errors<0.1%")
    within = np.array([0.5e-3] * 900 + [4e-3] * 100)
    slow_median, refusing = np.full(1000, 2e-3), np.array([0.5e-3] * 995 + [np.inf] * 5)
    nobody = np.full(1000, np.inf)
    assert slo.figure(within) == pytest.approx(4e-3)
    assert slo.figure(within, cost=7.0) == 7.0
    for cost in (None, 1e-6):
        figures = [slo.figure(each, cost) for each in (slow_median, refusing, nobody)]
        assert min(figures) > slo.figure(within, None if cost is None else 3600.0)
        assert np.isfinite(figures).all()
        assert max(figures) == figures[2]
