"""The benchmark's arithmetic, and its reading of other tools' output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rapide.loadtests.bench import report, workloads
from rapide.loadtests.bench.contestants import CONTESTANTS
from rapide.loadtests.bench.generators import GeneratorFailed, Load, Rate, read_h2load, read_wrk
from rapide.loadtests.bench.goals import goals
from rapide.loadtests.bench.meter import Accounts, Meter, between, disturbed
from rapide.loadtests.bench.parts import best_rows, half_of_baseline
from rapide.loadtests.bench.plan import left

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
    assert read_h2load(printed, answer_bytes=95) == Rate(3204, 3204.0, mean_us)


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
    assert read_wrk("  8 connections\nfound 6200 1000000 0 228.732169\n") == Rate(6200, 6200.0, 228.732169)
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
    assert Load(in_flight, 1).split(protocol) == split


def test_many_in_flight_fit_on_one_connection() -> None:
    assert Load(64, 1, connections=1).split("grpc") == (1, 64)
    assert Load(32, 1, connections=32, yields=True).split("grpc") == (32, 1)


COST = {"server_us": 100.0, "server_cpu_s": 1.0, "generator_cores": 0.2, "foreign_cores": 0.01, "steal_cores": 0.0}


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
            **COST,
        }
        for number in range(1, rounds + 1)
        for in_flight in (1, 8, 32, 64)
        for place, contestant in enumerate(CONTESTANTS)
        if contestant.is_measured_at(in_flight)
    ]
    figures = {"p50_us": 200.0, "p99_us": 400.0, "p999_us": 900.0, "max_us": 1200.0, "late_p99_us": 20.0}
    opened = [
        {"round": number, "contestant": contestant.name, "model": "logistic-regression", "rate_per_s": 500}
        | {"failures": 0, "p99_by_turn_us": 300.0, **figures, **COST}
        for number in range(1, rounds + 1)
        for contestant in CONTESTANTS
        if contestant.is_in_open_loop
    ]
    larger = [
        {"round": number, "model": "mlp", "how": how, "rows": rows, "rows_per_s": rows_per_s, **COST}
        for number in range(1, rounds + 1)
        for how, rows, rows_per_s in (("bare", 64, 5000.0), ("batches", 64, 4900.0), ("rows", 1, 4500.0))
    ]
    workers = [
        {"round": number, "model": "mlp", "workers": count, "rows": 64, "requests_per_s": 80.0 * count, **COST}
        for number in range(1, rounds + 1)
        for count in (1, 2)
    ]
    share = {"connections": 100, "answers": 5000, "failures": 0, "smallest_share": 0.9}
    waits = {"p50_ms": 10.0, "p99_ms": 20.0, "longest_wait_ms": 40.0}
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
        "took_s": 700.0,
        "rounds": rounds,
        "bare": {"logistic-regression": {"1": {"run_us": 5.2}, "64": {"run_us": 18.0}}},
        "curves": {"mlp": {"1": {"run_us": 2000.0, "rows_per_s": 500.0}}},
        "starts": [{"ready_s": ready_s, "memory": memory} for ready_s in (0.7, 0.8, 0.9)],
        "crowd": {
            "idle": 1000, "active": 200, "seconds": 5.0, "bytes_per_idle_connection": 4096,
            "bytes_per_active_connection": None, "shares": {"http": share | waits, "grpc": share | waits},
            "idle_answered_after": 1000,
        },
        "memory_after_load": {"rapide": memory},
        "closed": closed,
        "open": opened,
        "larger": larger,
        "workers": workers,
    }  # fmt: skip


def test_the_page_shows_medians_and_ratios_within_rounds() -> None:
    page = report.render(results(rounds=3, quick=False))
    assert "| rapide, gRPC | 4,000 · 2.00× (2.00–2.00) | 4,000 · 2.00× (2.00–2.00) |" in page
    assert "| rapide, gRPC, one connection |  |  |  | 8,000 · 1.33× (1.33–1.33) |" in page
    assert "| rapide, HTTP, JSON | 16,000 · 1.14× (1.14–1.14) |" in page
    assert "| rapide, gRPC | 500 · 0.50× (0.50–0.50) |" in page
    assert "| rapide, gRPC | 500 | 200 | 400 | 300 | 900 | 1,200 | 20 | 1.00× (1.00–1.00) | 0 |" in page
    assert "| rapide, gRPC | 100 · 20% |" in page
    assert "ready 0.80 s after the command was given (0.70–0.90)" in page
    assert "| rapide, one model, idle: worker | 90 | 70 |" in page
    assert "5.2 µs for 1, 18.0 µs for 64" in page
    assert "| rapide, gRPC, whole batches | 64 | 4,900 | 0.98× (0.98–0.98) |" in page
    assert "1,000 idle connections, 4.0 KiB each" in page
    assert "A CPU, 2 cores" in page
    assert "3 round(s) of 3, 12 minutes in all" in " ".join(page.split())
    assert "short run" not in page


def test_goals_stand_beside_what_was_measured() -> None:
    page = report.render(results(rounds=3, quick=False))
    assert (
        "| gRPC, logistic regression, requests/s at 32 in flight | 2.00× (2.00–2.00) | ≥ 10× | **not met** |"
        in page
    )
    assert "| gRPC, logistic regression, mean latency at 1 in flight | 0.50× (0.50–0.50) | ≤ 0.55× | met |" in page
    assert "of a whole batch | 0.98× (0.98–0.98) | ≥ 0.95× | met |" in page
    assert "of one row | 0.90× (0.90–0.90) | ≥ 0.95× | **not met** |" in page
    assert "| two workers on two cores against one, MLP, requests/s | 2.00× (2.00–2.00) | ≥ 1.8× | met |" in page
    assert "still answered at the end | 100 % | ≥ 100 % | met |" in page


def test_goals_take_the_median_of_ratios_within_rounds() -> None:
    """A slow round is slow for both: the ratio of medians would be another."""
    found = results(rounds=3, quick=False)
    for entry in found["closed"]:
        if entry["contestant"] == "rapide-grpc" and entry["in_flight"] == 32:
            entry["requests_per_s"] = {1: 9_000.0, 2: 24_000.0, 3: 45_000.0}[entry["round"]]
    lines = {line.what: line for line in goals(found, {"logistic-regression": "LR", "mlp": "MLP"})}
    line = lines["gRPC, LR, requests/s at 32 in flight"]
    assert line.found == (9.0, 12.0, 15.0)
    assert (line.measured, line.verdict) == ("12.00× (9.00–15.00)", "met")


def test_a_late_generator_decides_nothing() -> None:
    found = results(rounds=4, quick=False)
    for entry in found["open"]:
        entry["late_p99_us"] = 150.0
    lines = goals(found, {"logistic-regression": "LR"})
    (line,) = [each for each in lines if each.what == "gRPC, LR, p99 at a fixed arrival rate"]
    assert line.verdict == "undecided: the generator was late in 8 of 8 measurements"


def test_what_was_not_measured_is_no_goal_met() -> None:
    found = results(rounds=1, quick=True) | {"closed": [], "open": [], "larger": [], "workers": [], "curves": {}}
    found |= {"crowd": {}, "starts": []}
    assert {line.verdict for line in goals(found, {"logistic-regression": "LR"})} == {"not measured"}
    page = report.render(found)
    assert "## A crowd" not in page
    assert "## Start and memory" not in page


def test_a_busy_machine_is_said_at_the_top() -> None:
    found = results(rounds=2, quick=False)
    assert "0 of" in report.render(found).split("## Goals")[0]
    for entry in found["closed"]:
        entry["foreign_cores"] = 0.4
    top = report.render(found).split("## Goals")[0]
    assert "The machine was busy" in top
    assert "others took at most 40% of a core" in top
    verdicts = {line.what: line.verdict for line in goals(found, {"logistic-regression": "LR", "mlp": "MLP"})}
    assert (
        verdicts["gRPC, LR, requests/s at 32 in flight"] == "undecided: others were at work in 4 of 4 measurements"
    )
    assert verdicts["two workers on two cores against one, MLP, requests/s"] == "met"


def test_a_short_run_says_so() -> None:
    page = report.render(results(rounds=1, quick=True))
    assert "A short run" in page
    assert "2,000 · 2.00× |" in page, "one round has no spread"


def test_the_published_page_is_what_the_published_results_say() -> None:
    """scripts/bench --render docs/benchmarks.json"""
    kept = json.loads((DOCS / "benchmarks.json").read_text())
    assert (DOCS / "benchmarks.md").read_text() == report.render(kept)


def test_every_contestant_but_the_baselines_is_compared_with_its_like() -> None:
    named = {contestant.name: contestant for contestant in CONTESTANTS}
    for contestant in CONTESTANTS:
        if contestant.against:
            base = named[contestant.against]
            assert (base.protocol, base.connections) == (contestant.protocol, contestant.connections)
            assert not base.against


def test_the_rate_is_half_of_what_the_baseline_does_where_it_is_busy() -> None:
    named = {contestant.name: contestant for contestant in CONTESTANTS}
    closed = results(rounds=3, quick=False)["closed"]
    assert half_of_baseline(named["rapide-grpc"], "logistic-regression", closed) == 1000
    assert half_of_baseline(named["grpc-aio"], "logistic-regression", closed) == 1000


def test_processor_time_of_others_is_told_from_ours() -> None:
    """Within 2 s: the server took 1 s, the generator 0.5 s, somebody else 0.3 s, the host 0.1 s."""
    before = Accounts(at_s=100.0, busy_s=50.0, stolen_s=1.0, ours_s=20.0, server_s=5.0, generator_s=10.0)
    after = Accounts(at_s=102.0, busy_s=51.8, stolen_s=1.1, ours_s=21.5, server_s=6.0, generator_s=10.5)
    cost = between(before, after)
    assert cost.server_cpu_s == 1.0
    assert cost.generator_cores == pytest.approx(0.25)
    assert cost.foreign_cores == pytest.approx(0.15)
    assert cost.steal_cores == pytest.approx(0.05)
    assert cost.was_disturbed
    assert not disturbed({"foreign_cores": 0.04, "steal_cores": 0.01})


def test_a_process_and_its_children_are_charged() -> None:
    """Work done by a child that ended, and by this process, is found in the accounts of ``/proc``."""
    with Meter() as meter:
        subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert meter.cost.generator_cores > 0.1
    assert meter.cost.server_cpu_s == 0


@pytest.mark.parametrize(("took_s", "seconds"), [([], 0.0), ([100.0], 300.0), ([100.0, 200.0], 300.0)])
def test_the_estimate_comes_from_the_rounds_done(took_s: list[float], seconds: float) -> None:
    assert left(took_s, rounds=4) == seconds


def test_the_best_batch_has_the_most_rows_a_second() -> None:
    assert best_rows({"1": {"rows_per_s": 500}, "16": {"rows_per_s": 5000}, "64": {"rows_per_s": 4900}}) == 16


def test_requests_are_drawn_for_any_model(tmp_path: Path) -> None:
    """From a file's own description, and the bare model answers them."""
    path = workloads.export(workloads.WORKLOADS["logistic-regression"], tmp_path)
    (tmp_path / "other").mkdir()
    adopted = workloads.adopt(path, tmp_path / "other")
    asked = workloads.payload(adopted, 3)
    answer = workloads.answer(adopted, asked)
    assert asked.arrays[0].shape == (3, workloads.FEATURES)
    assert {name: values.shape for name, values in answer.items()} == {"label": (3,), "probabilities": (3, 2)}
