"""A crowd on one worker: every connection is served, none starves, and what each costs is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rapide.loadtests import crowd
from rapide.loadtests.bench.processes import free_port
from rapide.loadtests.crowd import Crowd, Shares, main, resident_bytes
from tests import models
from tests.integration.server_process import running

MAX_IDLE_BYTES = 64 << 10
"""A thousand idle connections were measured at 4.5 KB each; with fewer, the allocator's steps show."""


@pytest.mark.integration
def test_a_crowd_is_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = models.repository(tmp_path / "models", {"linear": {1: models.linear()}})
    with running(root, "--workers", "1", "--no-reserve") as server:
        ports = [server.http_address[1], int(server.grpc_target.rpartition(":")[2])]
        flags = ["--http-port", str(ports[0]), "--grpc-port", str(ports[1]), "--model", "linear"]
        assert main([*flags, "--idle", "200", "--active", "40", "--seconds", "1.5"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["idle_answered_after"] == 200
    assert 0 <= found["bytes_per_idle_connection"] < MAX_IDLE_BYTES
    for door in crowd.DOORS:
        share = found["shares"][door]
        assert share["connections"] == 20
        assert share["failures"] == 0
        assert share["smallest_share"] > 0.3
        assert share["longest_wait_ms"] < 1000
    assert "200 idle connections at " in printed.err


def test_memory_that_nobody_has_is_unknown() -> None:
    assert resident_bytes([free_port()]) is None


def test_the_line_says_the_figures() -> None:
    share = Shares(1, 10, 0, 0.5, 1.0, 2.0, 3.0)
    found = Crowd(10, 2, 1.0, None, None, 20.0, {"http": share}, 9)
    assert found.line == (
        "10 idle connections at unknown each (9 still served at the end), 2 active ones with 20 answers/s; "
        "http: smallest share 0.50, longest wait 3 ms"
    )
