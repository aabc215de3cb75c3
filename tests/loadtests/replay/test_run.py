"""Replays end to end, in seconds: against real servers, and against small ones that stall, refuse and vanish."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rapide.loadtests.replay.plan import ModelArrivals, ReplayError, ReplayPlan
from rapide.loadtests.replay.run import Progress, replay
from rapide.loadtests.wire.connection import LOST
from rapide.profiles.arrivals import Arrivals
from tests import models
from tests.loadtests.replay.stalling import Behaviour
from tests.loadtests.replay.stalling import serving as stalling
from tests.serving import Served, serving

pytestmark = pytest.mark.integration


def steady(rate_per_s: float, duration_s: float, rows: int = 1) -> Arrivals:
    count = round(rate_per_s * duration_s)
    return Arrivals(np.arange(count) / rate_per_s, np.full(count, rows))


def plan(url: str, model: str, arrivals: Arrivals, **more: object) -> ReplayPlan:
    return replace(ReplayPlan(url, [ModelArrivals(model, "", arrivals)]), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("replay")
    repository = models.repository(
        folder / "models",
        {
            "linear": {1: models.linear()},
            "wide": {1: models.identity(shape=("N", 1000))},
            "lookup": {1: models.lookup(rows=1)},
            "mixed": {1: models.mixed_columns()},
            "sequence": {1: models.sequence()},
        },
    )
    with serving(repository, folder / "server.log") as served:
        yield served


def url_of(server: Served, protocol: str) -> str:
    return f"grpc://{server.grpc}" if protocol == "grpc" else server.http_url


@pytest.mark.parametrize("protocol", ["grpc", "json", "binary"])
def test_every_request_is_sent_and_answered(server: Served, protocol: str) -> None:
    told: list[Progress] = []
    found = replay(
        plan(url_of(server, protocol), "linear", steady(200, 1.0), protocol=protocol, processes=2), told.append
    )
    assert (found.requests, found.answered, found.stopped) == (200, 200, "")
    assert found.counts() == {"OK": 200}
    assert (found.latency_s >= found.lateness_s).all()
    assert (found.lateness_s >= 0).all()
    assert len(found.busy) == 2
    assert told
    assert told[-1].total == 200


@pytest.mark.parametrize("protocol", ["grpc", "json"])
def test_models_are_mixed_with_their_own_rows(server: Served, protocol: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.npz"
    np.savez(rows, fuel=np.array([["diesel"], ["petrol"]]), mileage=np.ones((2, 1), np.float32))
    many = steady(20, 0.5, rows=2)
    requests = [ModelArrivals("linear", "1", steady(50, 0.5, rows=7)), ModelArrivals("mixed", "", many)]
    found = replay(ReplayPlan(url_of(server, protocol), requests, rows_from={"mixed": rows}))
    assert found.answered == 35
    assert found.of_model("mixed").rows.tolist() == [2] * 10
    assert found.of_model("linear").rows.tolist() == [7] * 25


def test_dimensions_that_callers_choose_have_the_wanted_sizes(server: Served) -> None:
    requests = ModelArrivals("sequence", "", steady(100, 0.3, rows=2), sizes={"x[1]": [3, 70]})
    found = replay(ReplayPlan(url_of(server, "grpc"), [requests]))
    assert found.counts() == {"OK": 30}, found.errors
    with urllib.request.urlopen(f"{server.http_url}/profile") as answer:
        (known,) = (one for one in json.load(answer)["models"] if one["model"] == "sequence")
    assert [size["axis"] for size in known["inputs"]["sizes"]] == ["x[1]"]
    assert dict(known["inputs"]["sizes"][0]["bins"]) == {3: pytest.approx(15, abs=17), 80: 15}


def test_messages_larger_than_a_frame_and_a_window_arrive_whole(server: Served) -> None:
    """1,000 rows of 1,000 floats: 4 MB in one request, beside small ones on the same connection."""
    rows = np.array([1, 1000, 1, 1, 500, 1])
    arrivals = Arrivals(np.arange(6) * 0.01, rows)
    found = replay(plan(url_of(server, "grpc"), "wide", arrivals, connections=1))
    assert found.counts() == {"OK": 6}, found.errors


def test_requests_that_the_model_cannot_take_are_found_in_the_rehearsal(server: Served) -> None:
    """The table of ``lookup`` has one row, and drawn indices are beyond it: its run fails."""
    with pytest.raises(ReplayError, match="does not answer as it should: I"):
        replay(plan(url_of(server, "grpc"), "lookup", steady(100, 0.2)))


@pytest.mark.parametrize("protocol", ["grpc", "json"])
def test_the_servers_example_is_sent_where_drawn_values_make_no_sense(server: Served, protocol: str) -> None:
    requests = [ModelArrivals(name, "", steady(40, 0.5, rows=3)) for name in ("lookup", "mixed")]
    found = replay(ReplayPlan(url_of(server, protocol), requests, examples_url=server.metrics_url))
    assert found.counts() == {"OK": 40}, found.errors


def test_examples_are_not_for_the_public(server: Served) -> None:
    with pytest.raises(ReplayError, match=r"no request can be made for 'linear': HTTP Error 404"):
        replay(plan(url_of(server, "grpc"), "linear", steady(10, 0.2), examples_url=server.http_url))


@pytest.mark.parametrize("protocol", ["grpc", "json"])
def test_what_cannot_be_replayed_is_said_before_anything_runs(server: Served, protocol: str) -> None:
    url = url_of(server, protocol)
    with pytest.raises(ReplayError, match=r"there is no model 'nope' here\. Models here: "):
        replay(plan(url, "nope", steady(10, 0.2)))
    nobody = f"{url.partition(':')[0]}://127.0.0.1:1"
    with pytest.raises(ReplayError, match=r"cannot reach .*127\.0\.0\.1:1"):
        replay(plan(nobody, "linear", steady(10, 0.2)))
    with pytest.raises(ReplayError, match="there is no request to replay"):
        replay(plan(url, "linear", Arrivals(np.zeros(0), np.zeros(0, np.int64))))


@pytest.mark.parametrize("speed", [1e-9, 1e-320])
def test_a_replay_that_nobody_would_see_the_end_of_is_refused(speed: float) -> None:
    with pytest.raises(ReplayError, match=r"it would take (1.04e\+04|inf) days"):
        replay(plan("grpc://127.0.0.1:1", "m", steady(10, 1.0), speed=speed))


@pytest.mark.parametrize("said", [b"", b"\x00\x00", (1000).to_bytes(8, "big") + b"\x80"])
def test_a_generator_whose_parent_ended_ends_without_a_word(said: bytes) -> None:
    command = [sys.executable, "-m", "rapide.loadtests.replay.sender"]
    found = subprocess.run(command, input=said, capture_output=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (1, b"", b"")


def test_one_request_is_a_replay(server: Served) -> None:
    found = replay(plan(url_of(server, "grpc"), "linear", steady(1, 1.0), processes=3))
    assert (found.requests, found.answered) == (1, 1)
    assert found.percentile_s(50) == found.percentile_s(99) == found.latency_s[0]


def test_a_stall_is_felt_by_all_who_came_meanwhile() -> None:
    """Nothing is answered from 0.3 to 0.7 s of 2 s at 100/s: a fifth of all requests is due in the stall.

    A closed loop with 8 in flight would count eight slow answers of some thousand, and say that p99 is fine.
    """
    with stalling(Behaviour(stall=(0.3, 0.7))) as url:
        found = replay(plan(url, "m", steady(100, 2.0), protocol="json"))
    assert found.answered == 200
    assert found.percentile_s(99) > 0.3
    assert found.percentile_s(50) < 0.1
    slow = (found.latency_s > 0.05).mean()
    assert 0.12 < slow < 0.3, "0.35 of 2 s"
    assert found.lateness_percentile_s(99) < 0.1, "the generator went on"


def test_a_server_that_dies_midway_ends_the_replay_cleanly() -> None:
    with stalling(Behaviour(dies_at_s=0.5)) as url:
        found = replay(plan(url, "m", steady(100, 5.0), protocol="json", timeout_s=0.5))
    assert 20 < found.answered < 80
    assert "no connection to 127.0.0.1" in found.stopped
    assert found.counts()["not sent"] > 200
    assert found.requests == found.answered + found.failures
    assert found.counts()["no connection"] > 5
    assert found.percentile_s(99) == float("inf")


def test_refusals_are_failures_and_the_first_reason_is_kept() -> None:
    with stalling(Behaviour(refuse_every=4)) as url:
        found = replay(plan(url, "m", steady(100, 0.5), protocol="json"))
    assert found.counts()["HTTP 429"] == pytest.approx(12, abs=2)
    assert found.errors == {429: '{"error": "the queue is full"}'}


def test_a_server_that_is_still_busy_is_waited_for() -> None:
    with stalling(Behaviour(busy_until_s=0.5)) as url:
        found = replay(plan(url, "m", steady(100, 0.2), protocol="json"))
    assert found.counts() == {"OK": 20}
    assert not found.errors


def test_what_is_not_answered_in_time_is_given_up() -> None:
    with stalling(Behaviour(stall=(0.2, 3.0))) as url:
        found = replay(plan(url, "m", steady(50, 1.0), protocol="json", timeout_s=0.3))
    assert found.counts()["timed out"] > 20
    assert found.answered < 25


def test_an_interrupted_replay_gives_what_was_measured(server: Served) -> None:
    interrupt = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    found = replay(plan(url_of(server, "grpc"), "linear", steady(100, 30.0)))
    interrupt.join()
    assert found.stopped == "interrupted"
    assert 20 < found.answered < 200
    assert found.requests < 200


@pytest.mark.parametrize("protocol", ["grpc", "json", "binary"])
def test_the_reference_engines_are_replayed_at_too(tmp_path: Path, protocol: str) -> None:
    """C-core announces a window of 64 KB for each stream, and uvicorn closes what is idle."""
    repository = models.repository(tmp_path / "models", {"wide": {1: models.identity(shape=("N", 1000))}})
    rows = np.tile([1, 1, 1, 50], 10)
    flags = ("--grpc-engine", "grpcio", "--http-engine", "uvicorn")
    with serving(repository, tmp_path / "server.log", *flags) as served:
        arrivals = Arrivals(np.arange(40) * 0.01, rows)
        found = replay(plan(url_of(served, protocol), "wide", arrivals, protocol=protocol, connections=2))
    assert found.counts() == {"OK": 40}, found.errors


def test_a_killed_worker_loses_what_it_held_and_the_replay_goes_on(tmp_path: Path) -> None:
    repository = models.repository(tmp_path / "models", {"slow": {1: models.slow(300)}})
    with serving(repository, tmp_path / "server.log") as served:
        killed: list[int] = []
        victim = threading.Timer(1.0, kill_the_listener, [served, killed])
        victim.start()
        found = replay(plan(url_of(served, "grpc"), "slow", steady(100, 4.0)))
        victim.join()
    assert killed
    assert found.stopped == ""
    assert found.requests == 400
    assert found.percentile_s(99.9) > 0.03, "nobody answers in an instant whose server has just died"
    assert found.failures <= 100, found.counts()
    assert (found.codes[-100:] == 0).all(), "answered again long before the end"
    assert (found.codes[found.codes != 0] == LOST).all(), "nothing else went wrong"


def kill_the_listener(served: Served, killed: list[int]) -> None:
    """Of the server's processes, the one that has the replay's connections."""
    port = f":{served.ports.grpc:04X}"
    established = {
        row.split()[9]
        for row in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if row.split()[1].endswith(port) and row.split()[3] == "01"
    }
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(path.readlink()).removeprefix("socket:[").removesuffix("]") in established:
                os.kill(int(path.parts[2]), signal.SIGKILL)
                killed.append(int(path.parts[2]))
                return
