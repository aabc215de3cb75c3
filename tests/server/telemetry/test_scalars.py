from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.server.telemetry.records import telemetry


def test_counters_go_on_and_gauges_start_again_in_the_next_life(tmp_path: Path) -> None:
    for life in (1, 2):
        source = telemetry(tmp_path)
        counter = source.scalar("rapide_connections_total", protocol="grpc")
        gauge = source.scalar("rapide_open_connections", protocol="grpc")
        counter.add(2)
        gauge.add(3)
        gauge.add(-1)
        assert (counter.value, gauge.value) == (2 * life, 2)
        source.close()


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("rapide_unheard_of_total", {}),
        ("rapide_connections_total", {}),
        ("rapide_connections_total", {"protocol": "grpc", "more": "x"}),
    ],
)
def test_only_the_table_makes_metrics(name: str, labels: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        telemetry().scalar(name, **labels)


def test_threads_lose_nothing() -> None:
    counter = telemetry().scalar("rapide_log_lines_dropped_total")
    threads = [threading.Thread(target=lambda: [counter.add() for _ in range(5000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 20_000
