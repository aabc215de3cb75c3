"""The benchmark's arithmetic, and its reading of other tools' output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rapide.loadtests.bench import report
from rapide.loadtests.bench.contestants import CONTESTANTS
from rapide.loadtests.bench.generators import GeneratorFailed, Load, Rate, read_h2load, read_wrk

DOCS = Path(__file__).parents[2] / "docs"
H2LOAD = """
starting benchmark...
finished in 1.00s, {rate} req/s, 550.44KB/s
requests: {done} total, {done} started, {done} done, {done} succeeded, {failed} failed, 0 errored, 0 timeout
status codes: {done} 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 550.44KB (563652) total, 91.46KB (93653) headers (space savings 90.48%), 297.25KB ({data}) data
                     min         max         mean         sd        +/- sd
time for request:      212us      1.21ms       {mean}        43us    86.22%
time for connect:      111us       111us       111us         0us   100.00%
"""


@pytest.mark.parametrize(("mean", "mean_us"), [("305us", 305), ("9.92ms", 9920), ("1.02s", 1_020_000)])
def test_h2loads_figures_are_read(mean: str, mean_us: float) -> None:
    printed = H2LOAD.format(rate="3204.00", done=3204, failed=0, data=304_380, mean=mean)
    assert read_h2load(printed, answer_bytes=95) == Rate(3204.0, mean_us)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"failed": 3}, "3 failed"),
        ({"done": 0}, "0 done"),
        ({"data": 0}, "answers of 0.0 bytes on average, and a right one has 95"),
        ({"mean": "soon"}, "something else than expected"),
    ],
)
def test_h2load_does_not_pass_wrong_answers(changed: dict[str, Any], said: str) -> None:
    good = {"rate": "3204.00", "done": 3204, "failed": 0, "data": 304_380, "mean": "305us"}
    with pytest.raises(GeneratorFailed, match=said):
        read_h2load(H2LOAD.format(**{**good, **changed}), answer_bytes=95)


def test_wrks_figures_are_read() -> None:
    assert read_wrk("  8 connections\nfound 6200 1000000 0 228.732169\n") == Rate(6200.0, 228.732169)
    with pytest.raises(GeneratorFailed, match="5 of 100"):
        read_wrk("found 100 1000000 5 228.7")
    with pytest.raises(GeneratorFailed, match="something else"):
        read_wrk("unable to connect")


@pytest.mark.parametrize(
    ("in_flight", "protocol", "split"),
    [(1, "grpc", (1, 1)), (8, "grpc", (8, 1)), (32, "grpc", (8, 4)), (64, "grpc", (8, 8)), (32, "http", (32, 1))],
)
def test_requests_in_flight_are_spread_over_connections(
    in_flight: int, protocol: str, split: tuple[int, int]
) -> None:
    assert Load(in_flight, 0, 1).split(protocol) == split


def results(rounds: int, quick: bool) -> dict[str, Any]:
    """What a run would have found if every contestant were 1,000 a second faster than the one before."""
    closed = [
        {
            "round": number,
            "contestant": contestant.name,
            "model": "logistic-regression",
            "in_flight": in_flight,
            "requests_per_s": (place + 1) * 1000.0 * number,
            "mean_us": 1000.0 / (place + 1),
        }
        for number in range(1, rounds + 1)
        for in_flight in (1, 8)
        for place, contestant in enumerate(CONTESTANTS)
    ]
    figures = {"p50_us": 200.0, "p99_us": 400.0, "p999_us": 900.0, "max_us": 1200.0, "late_p99_us": 20.0}
    opened = [
        {"round": number, "contestant": contestant.name, "model": "logistic-regression", "rate_per_s": 500}
        | {"failures": 0, **figures}
        for number in range(1, rounds + 1)
        for contestant in CONTESTANTS
    ]
    memory = [
        {"role": "supervisor", "rss_mib": 20.0, "pss_mib": 15.0},
        {"role": "worker", "rss_mib": 90.0, "pss_mib": 70.0},
    ]
    return {
        "quick": quick,
        "machine": {
            "when": "2026-11-23T12:00:00+00:00", "cpu": "A CPU", "cores": 2, "memory_gib": 8.0,
            "kernel": "6.1", "system": "Debian", "load_before": 0.1,
        },
        "versions": {"python": "3.11.2 (optimised build)", "h2load": "1.52.0"},
        "method": {
            "pinned": True, "generators": {"grpc": "h2load", "http": "wrk"}, "most_connections": 8,
            "rounds": rounds, "duration_s": 3.0, "workloads": ["logistic-regression"],
        },
        "bare_us": {"logistic-regression": {"1": 5.2, "64": 18.0}},
        "starts": [{"ready_s": ready_s, "memory": memory} for ready_s in (0.7, 0.8, 0.9)],
        "memory_after_load": {"rapide": memory},
        "closed": closed,
        "open": opened,
    }  # fmt: skip


def test_the_page_shows_medians_and_ratios_within_rounds() -> None:
    page = report.render(results(rounds=3, quick=False))
    assert "| rapide, gRPC | 4,000 · 2.00× (2.00–2.00) | 4,000 · 2.00× (2.00–2.00) |" in page
    assert "| rapide, HTTP, JSON | 10,000 · 1.25× (1.25–1.25) |" in page
    assert "| rapide, gRPC | 500 · 0.50× (0.50–0.50) |" in page
    assert "| rapide, gRPC | 500 | 200 | 400 | 900 | 1,200 | 20 | 1.00× (1.00–1.00) | 0 |" in page
    assert "ready 0.80 s after the command was given (0.70–0.90)" in page
    assert "| rapide, one model, idle: worker | 90 | 70 |" in page
    assert "5.2 µs for 1, 18.0 µs for 64" in page
    assert "A CPU, 2 cores" in page
    assert "quick run" not in page


def test_a_quick_run_says_so() -> None:
    page = report.render(results(rounds=1, quick=True))
    assert "A quick run" in page
    assert "2,000 · 2.00× |" in page, "one round has no spread"


def test_the_published_page_is_what_the_published_results_say() -> None:
    """scripts/bench --render docs/benchmarks.json"""
    kept = json.loads((DOCS / "benchmarks.json").read_text())
    assert (DOCS / "benchmarks.md").read_text() == report.render(kept)


def test_every_contestant_but_the_baselines_is_compared_within_its_protocol() -> None:
    named = {contestant.name: contestant for contestant in CONTESTANTS}
    for contestant in CONTESTANTS:
        if contestant.against:
            assert named[contestant.against].protocol == contestant.protocol
            assert not named[contestant.against].against
