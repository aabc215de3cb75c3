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


def test_two_users_of_one_gauge_share_it() -> None:
    source = telemetry()
    source.scalar("rapide_open_connections", protocol="grpc").add(3)
    source.scalar("rapide_open_connections", protocol="http").add(1)
    source.scalar("rapide_open_connections", protocol="grpc").add(2)
    assert source.scalar("rapide_open_connections", protocol="grpc").value == 5


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

    def add() -> None:
        for _ in range(5000):
            counter.add()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.value == 20_000
