"""Hostile peers against a real worker: each is ended or bounded, in memory and time, and others are served on.

Each peer comes again and again, on a new connection when its last one is ended. Others are two clients, one for
each door, that connect meanwhile and ask the same worker all the while; what is bounded is how long they wait.
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
from tests.integration.hostile_crowds import CROWDS, Crowd, come
from tests.integration.hostile_peers import PATH, PEERS, Address, Peer, assault
from tests.integration.other_process import OtherProcess
from tests.integration.server_process import RapideServer, call_on, infer_json, infer_message, running

pytestmark = pytest.mark.integration

MAX_GROWTH_BYTES = 192 << 20
"""What one peer may make a worker hold: a connection's unfinished messages (128 MiB), and what one read brings."""
ASSAULT_S = 0.6
MAX_MEDIAN_S = 0.25
MIN_MEDIAN_OF = 10
"""A call takes 1 ms on an idle machine, and under assault mostly 1 to 10 ms; here attacker, victim and bystander
share two cores with another process of tests. Where one read brings thousands of calls (answers that are not read,
windows that dribble), each of the few calls waits for a read or two, and the median of so few says nothing."""
MAX_WAIT_S = 3.0
"""The longest wait, the connection's beginning included: 0.1 to 0.7 s were measured."""
CROWD_S = 2.0
CROWD_PAUSE_S = 0.01
"""Between two calls of the bystander: many are not to be slowed by more, who asks without a pause may be."""
CROWD_GROWTH_BYTES = MAX_GROWTH_BYTES + (128 << 20)
"""Each of 500 has had a quarter of a megabyte read, which waits; else as much as one peer alone."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RapideServer]:
    root = models.repository(tmp_path_factory.mktemp("models"), {"linear": {1: models.linear()}})
    with running(root, "--workers", "1", "--no-reserve") as running_server:
        with bystander(running_server):
            pass  # everything has been used once: what is measured later is growth
        yield running_server


@pytest.fixture(scope="module")
def assailant() -> Iterator[OtherProcess]:
    process = OtherProcess()
    yield process
    process.close()


class Waits:
    """How long each call took."""

    def __init__(self) -> None:
        self.http_s: list[float] = []
        self.grpc_s: list[float] = []


@contextmanager
def bystander(server: RapideServer, pause_s: float = 0.0) -> Iterator[Waits]:
    """Asks on both doors, in turn, until the end of the block; answers must be right."""
    waits = Waits()
    is_over = threading.Event()
    failures: list[Exception] = []

    def ask() -> None:
        try:
            _ask(server, waits, is_over, pause_s)
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


def _ask(server: RapideServer, waits: Waits, is_over: threading.Event, pause_s: float) -> None:
    expected = np.ones((1, 4), np.float32) @ models.LINEAR_WEIGHTS + models.LINEAR_BIAS
    connection = http.client.HTTPConnection(*server.http_address, timeout=30)
    with grpc.insecure_channel(server.grpc_target) as channel:
        infer = channel.unary_unary(PATH.decode(), None, None)
        while not (is_over.is_set() and waits.http_s):
            begun_s = time.monotonic()
            answer = pb.ModelInferResponse.FromString(infer(infer_message("linear", 1, 4), timeout=30))
            waits.grpc_s.append(time.monotonic() - begun_s)
            assert answer.raw_output_contents == [expected.tobytes()]
            begun_s = time.monotonic()
            status, _, body = call_on(connection, "POST", "/v2/models/linear/infer", infer_json(1, 4))
            waits.http_s.append(time.monotonic() - begun_s)
            assert status == 200
            assert body["outputs"][0]["data"] == expected[0].tolist()
            is_over.wait(pause_s)
    connection.close()


def resident_bytes(pid: int, what: str) -> int:
    """``VmRSS`` now, or ``VmHWM``: the most since it was last reset (proc_pid_clear_refs(5))."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1]) << 10


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def door_of(server: RapideServer, who: Peer | Crowd) -> Address:
    """Where they come in."""
    host, port = server.grpc_target.split(":")
    return server.http_address if who.door == "http" else (host, int(port))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.door}: {peer.name}")
def test_a_hostile_peer_harms_nobody(peer: Peer, server: RapideServer, assailant: OtherProcess) -> None:
    (worker,) = server.children
    reset_peak(worker)
    before_bytes = resident_bytes(worker, "VmRSS")
    with bystander(server) as waits:
        taken = assailant.call(assault, door_of(server, peer), PEERS.index(peer), ASSAULT_S)
    growth_bytes = resident_bytes(worker, "VmHWM") - before_bytes
    for one in taken:
        assert one.is_ended or not peer.is_ended
        assert peer.said in one.got or (one.is_reset and peer.door == "grpc")
    assert server.children == [worker], "the worker was lost"
    assert growth_bytes < MAX_GROWTH_BYTES
    for waits_s in (waits.grpc_s, waits.http_s):
        assert len(waits_s) < MIN_MEDIAN_OF or statistics.median(waits_s) < MAX_MEDIAN_S
        assert max(waits_s) < MAX_WAIT_S


@pytest.mark.parametrize("crowd", CROWDS, ids=lambda crowd: f"{crowd.door}: {crowd.name}")
def test_a_hostile_crowd_starves_nobody(crowd: Crowd, server: RapideServer, assailant: OtherProcess) -> None:
    (worker,) = server.children
    reset_peak(worker)
    before_bytes = resident_bytes(worker, "VmRSS")
    with bystander(server, CROWD_PAUSE_S) as waits:
        heard = assailant.call(come, door_of(server, crowd), CROWDS.index(crowd), CROWD_S)
    growth_bytes = resident_bytes(worker, "VmHWM") - before_bytes
    assert heard.got_bytes, "nobody has answered the crowd: it was no test"
    assert server.children == [worker], "the worker was lost"
    assert growth_bytes < CROWD_GROWTH_BYTES
    for waits_s in (waits.grpc_s, waits.http_s):
        assert statistics.median(waits_s) < MAX_MEDIAN_S
        assert max(waits_s) < MAX_WAIT_S
