"""The doors of one worker: whoever finds one of them answering finds all of them open."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rapide.server.catalogue import catalogue_of
from rapide.server.control import Change
from rapide.server.doors import Doors
from rapide.server.service import InferenceService
from rapide.server.settings import Settings
from rapide.server.sockets import reserve
from rapide.server.telemetry.telemetry import Telemetry

HOST = "127.0.0.1"
LISTEN = "0A"
"""State of a socket in /proc/net/tcp (proc(5), include/net/tcp_states.h)."""


class NoAdmin:
    """Nobody is to be asked to change anything."""

    async def apply(self, change: Change) -> None:
        raise AssertionError(f"unexpected {change}")


def is_listening(port: int) -> bool:
    """As the kernel lists it: to connect would leave connections behind."""
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()
    ]
    return any(
        words[3] == LISTEN and int(words[1].rpartition(":")[2], 16) == port
        for words in lines[1:]
        if words[0] != "sl"
    )


@pytest.mark.parametrize(("grpc", "http"), [("lane", "lane"), ("grpcio", "uvicorn")])
async def test_all_ports_listen_before_http_says_that_the_server_is_ready(
    grpc: str, http: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = Telemetry()
    with (
        reserve(HOST, {"http_port": 0, "grpc_port": 0}) as held,
        ThreadPoolExecutor(1) as runners,
        ThreadPoolExecutor(1) as loaders,
    ):
        http_port, grpc_port = held.ports
        settings = Settings(
            host=HOST, http_port=http_port, grpc_port=grpc_port, grpc_engine=grpc, http_engine=http
        )
        catalogue = catalogue_of(settings, telemetry.recorder, runners, loaders)
        doors = Doors(settings, InferenceService(catalogue, settings, telemetry, NoAdmin()))
        seen: dict[str, list[bool]] = {}
        for name, door in (("http", doors._http), ("grpc", doors._grpc)):

            async def start(*where: Any, _name: str = name, _start: Any = door.start, **how: Any) -> Any:
                seen[_name] = [is_listening(http_port), is_listening(grpc_port)]
                return await _start(*where, **how)

            monkeypatch.setattr(door, "start", start)
        await doors.open({})
        await doors.close(1.0)
    telemetry.close()
    assert seen["http"] == [True, True], "HTTP begins to answer"
    assert seen["grpc"][0], "gRPC, which says so, too, begins with HTTP's connections waiting at least"
