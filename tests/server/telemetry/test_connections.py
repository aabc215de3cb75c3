"""Connections are counted by protocol."""

from __future__ import annotations

from rapide.server.telemetry.connections import ConnectionMeter
from rapide.server.telemetry.scalars import Scalar


def test_open_ones_go_up_and_down_and_all_only_up() -> None:
    made: dict[tuple[str, str], Scalar] = {}

    def scalar(name: str, protocol: str) -> Scalar:
        return made.setdefault((name, protocol), Scalar(memoryview(bytearray(8))))

    meter = ConnectionMeter(scalar, "grpc")
    meter.opened()
    meter.opened()
    meter.closed()
    assert {key: value.value for key, value in made.items()} == {
        ("rapide_open_connections", "grpc"): 1,
        ("rapide_connections_total", "grpc"): 2,
    }
