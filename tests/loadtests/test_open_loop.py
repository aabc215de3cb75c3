"""Latency at a fixed arrival rate: the arithmetic, and the loop against a server of a few lines."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from rapide.loadtests.bench.contestants import HOST, Target
from rapide.loadtests.bench.open_loop import Turn, arrivals, summary, turn

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
STALL_AFTER, STALL_S = 60, 0.4
"""Some 30 of them ask once while the connections are opened."""


def test_arrivals_are_a_poisson_process_and_the_same_for_everybody() -> None:
    """Gaps between them have the mean 1/rate and, being exponential, the same deviation."""
    due_s = arrivals(rate_per_s=1000, duration_s=20, seed=1)
    gaps_s = np.diff(due_s)
    assert gaps_s.mean() == pytest.approx(0.001, rel=0.05)
    assert gaps_s.std() == pytest.approx(0.001, rel=0.05)
    assert (arrivals(1000, 20, seed=1) == due_s).all()
    assert (arrivals(1000, 20, seed=2) != due_s).any()


def test_a_summary_is_exact() -> None:
    latency_s = np.arange(1, 101) / 1e6
    halves = [Turn(latency_s[start::2], np.full(50, 2e-6)) for start in (0, 1)]
    found = summary(halves)
    assert (found.requests, found.failures) == (100, 0)
    assert found.mean_us == pytest.approx(50.5)
    assert found.p50_us == pytest.approx(50.5)
    assert found.p99_us == pytest.approx(99.01)
    assert found.max_us == pytest.approx(100)
    assert found.late_p99_us == pytest.approx(2)


def test_the_median_turn_is_not_spoilt_by_one() -> None:
    """Three turns of a hundred requests each; in the second one the whole machine stood still."""
    turns = [Turn(np.full(100, latency_s), np.zeros(100)) for latency_s in (0.001, 0.5, 0.001)]
    turns[2] = Turn(turns[2].latency_s[1:], turns[2].lateness_s)
    found = summary(turns)
    assert found.p99_by_turn_us == pytest.approx(1000)
    assert found.p99_us == pytest.approx(500_000)
    assert (found.requests, found.failures) == (299, 1)


def test_nothing_answered_is_no_latency() -> None:
    found = summary([Turn(np.zeros(0), np.zeros(3))])
    assert (found.requests, found.failures) == (0, 3)
    assert np.isnan([found.mean_us, found.p99_us, found.p99_by_turn_us]).all()


@pytest.fixture
def port() -> Iterator[int]:
    """A server that answers one request at a time, and stands still once in between."""
    answered = 0
    lock = threading.Lock()

    def serve(connection: socket.socket) -> None:
        nonlocal answered
        with connection:
            while connection.recv(4096):
                with lock:
                    answered += 1
                    if answered == STALL_AFTER:
                        time.sleep(STALL_S)
                connection.sendall(OK)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server((HOST, 0), backlog=64) as listener:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    accepting.join()


def test_a_stall_is_felt_by_all_who_came_meanwhile(port: int) -> None:
    """At 100 a second, some 40 of 100 come while the server stands still. A closed loop would count one."""
    target = Target("http", port, "/", {}, b"body")
    found = summary([turn(target, rate_per_s=100, warm_up_s=0.1, duration_s=1.0, seed=1)])
    assert found.failures == 0
    assert 80 < found.requests < 120
    assert found.max_us > STALL_S * 0.9e6
    assert found.p90_us > STALL_S * 0.2e6
