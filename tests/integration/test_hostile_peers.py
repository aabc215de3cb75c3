"""Hostile peers against a real worker: each is ended or bounded, in memory and time, and others are served on.

Others are two clients, one for each door, that ask the same worker all the while. What is bounded is the median of
their waits: the machine's own stalls make single ones long.
"""

from __future__ import annotations

import http.client
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest

from rapide.proto import open_inference_pb2 as pb
from tests import models
from tests.integration.hostile_peers import PATH, PEERS, Peer, attack
from tests.integration.server_process import RapideServer, call_on, infer_json, infer_message, running

pytestmark = pytest.mark.integration

MAX_GROWTH_BYTES = 192 << 20
"""What one peer may make a worker hold: a connection's unfinished messages (128 MiB), and what one read brings."""
MAX_MEDIAN_S = 0.25
"""A call takes 1 ms on an idle machine; here attacker, victim and bystander share two cores."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RapideServer]:
    root = models.repository(tmp_path_factory.mktemp("models"), {"linear": {1: models.linear()}})
    with running(root, "--workers", "1", "--no-reserve") as running_server:
        with bystander(running_server):
            pass  # everything has been used once: what is measured later is growth
        yield running_server


class Waits:
    """How long each call took."""

    def __init__(self) -> None:
        self.http_s: list[float] = []
        self.grpc_s: list[float] = []


@contextmanager
def bystander(server: RapideServer, at_least: int = 20) -> Iterator[Waits]:
    """Asks on both doors, in turn, until the end of the block, and at least so often; answers must be right."""
    waits = Waits()
    is_over = threading.Event()
    failures: list[Exception] = []

    def ask() -> None:
        try:
            _ask(server, waits, is_over, at_least)
        except Exception as error:  # noqa: BLE001 - told by the test's own thread
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield waits
    finally:
        is_over.set()
        thread.join(60)
    assert not thread.is_alive(), "the others' calls hang"
    assert not failures, failures


def _ask(server: RapideServer, waits: Waits, is_over: threading.Event, at_least: int) -> None:
    expected = np.ones((1, 4), np.float32) @ models.LINEAR_WEIGHTS + models.LINEAR_BIAS
    connection = http.client.HTTPConnection(*server.http_address, timeout=30)
    with grpc.insecure_channel(server.grpc_target) as channel:
        infer = channel.unary_unary(PATH.decode(), None, None)
        while not is_over.is_set() or len(waits.grpc_s) < at_least:
            begun_s = time.monotonic()
            answer = pb.ModelInferResponse.FromString(infer(infer_message("linear", 1, 4), timeout=30))
            waits.grpc_s.append(time.monotonic() - begun_s)
            assert answer.raw_output_contents == [expected.tobytes()]
            begun_s = time.monotonic()
            status, _, body = call_on(connection, "POST", "/v2/models/linear/infer", infer_json(1, 4))
            waits.http_s.append(time.monotonic() - begun_s)
            assert status == 200
            assert body["outputs"][0]["data"] == expected[0].tolist()
    connection.close()


def resident_bytes(pid: int, what: str) -> int:
    """``VmRSS`` now, or ``VmHWM``: the most since it was last reset (proc_pid_clear_refs(5))."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) << 10


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.door}: {peer.name}")
def test_a_hostile_peer_harms_nobody(peer: Peer, server: RapideServer) -> None:
    (worker,) = server.children
    host, port = server.grpc_target.split(":")
    address = server.http_address if peer.door == "http" else (host, int(port))
    reset_peak(worker)
    before_bytes = resident_bytes(worker, "VmRSS")
    with bystander(server) as waits:
        taken = attack(address, peer)
    growth_bytes = resident_bytes(worker, "VmHWM") - before_bytes
    for one in taken:
        assert one.is_ended or not peer.is_ended
        assert peer.said in one.got or (one.is_reset and peer.door == "grpc")
    assert server.children == [worker], "the worker was lost"
    assert growth_bytes < MAX_GROWTH_BYTES
    assert statistics.median(waits.grpc_s) < MAX_MEDIAN_S
    assert statistics.median(waits.http_s) < MAX_MEDIAN_S
