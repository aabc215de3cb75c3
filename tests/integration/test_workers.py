"""Real workers: started, agreed, killed, drained; what users see of it from outside."""

from __future__ import annotations

import http.client
import json
import os
import pty
import queue
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from rapide.proto import health_pb2
from tests import models
from tests.alive import is_alive, still_alive
from tests.integration.server_process import (
    HOST,
    RapideServer,
    call,
    call_on,
    children_of,
    eventually,
    infer_json,
    infer_message,
    owner_of,
    running,
)
from tests.versions import publish_version

pytestmark = pytest.mark.integration
TWO = ("--workers", "2")
SLOW_ITERATIONS = 30_000
"""Of models.slow: a tenth of a second for a row, and more than one for a load, which runs made-up rows."""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SLOW_ROWS = 24
"""These take a second or more."""


@pytest.fixture
def constant(tmp_path: Path) -> Path:
    """A repository with one model that answers 1."""
    return models.repository(tmp_path / "models", {"m": {1: models.constant(1.0)}})


def slow_repository(root: Path) -> Path:
    return models.repository(root, {"m": {1: models.constant(1.0)}, "slow": {1: models.slow(SLOW_ITERATIONS)}})


def asks(server: RapideServer, path: str, method: str = "GET", times: int = 12) -> set[str]:
    """What all workers say: each call on a connection of its own, so that each worker gets some."""
    body = infer_json() if path.endswith("/infer") else None
    return {json.dumps(call(server.http_address, method, path, body)[::2]) for _ in range(times)}


class Call(threading.Thread):
    """One call in the background; ``result`` is what came of it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__()
        self._make = make
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._make()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.result = error


def in_flight(server: RapideServer, model: str) -> float:
    _, _, page = call(server.metrics_address, "GET", "/metrics")
    lines = [line for line in page.splitlines() if line.startswith("rapide_in_flight{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if f'model="{model}"' in line)


def requests_total(server: RapideServer, model: str) -> float:
    _, _, page = call(server.metrics_address, "GET", "/metrics")
    lines = [line for line in page.splitlines() if line.startswith("rapide_requests_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if f'model="{model}"' in line)


# Starting.


def test_the_ready_line_says_where_and_what_and_its_curl_line_works(constant: Path) -> None:
    with running(constant, *TWO) as server:
        assert server.ready["models"] == [{"name": "m", "versions": [1], "labels": []}]
        assert server.ready["workers"] == 2
        words = shlex.split(server.ready["curl"][0])
        assert (words[0], words[2]) == ("curl", "-d")
        with urllib.request.urlopen(words[1], data=words[3].encode(), timeout=10) as answer:
            assert json.load(answer)["outputs"][0]["data"] == [1.0]
        with urllib.request.urlopen(server.ready["docs"], timeout=10) as page:
            assert page.status == 200
        assert call(server.http_address, "GET", "/v2/health/ready")[0] == 200


def test_a_single_file_is_a_model(tmp_path: Path) -> None:
    file = models.save(models.constant(3.0), tmp_path / "answer.onnx")
    with running(file, "--workers", "1", "--no-reserve") as server:
        status, _, answer = call(server.http_address, "POST", "/v2/models/answer/infer", infer_json())
        assert (status, answer["outputs"][0]["data"]) == (200, [3.0])
        assert len(server.children) == 1


@pytest.mark.parametrize("name", ["http", "grpc", "metrics"])
def test_a_port_in_use_is_an_error_with_a_way_out(name: str, constant: Path) -> None:
    with closing(socket.create_server((HOST, 0))) as other:
        port = other.getsockname()[1]
        errors = refused(str(constant), f"--{name}-port", str(port))
        assert f"port {port} ({name}_port) is in use on {HOST}" in errors
        assert f"--{name}-port 0" in errors


def refused(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """What a server that cannot start says; it ends with code 1 and shows no traceback."""
    server = RapideServer(*arguments, environment=environment)
    try:
        assert server.wait() == 1
        assert "Traceback" not in server.errors
        return server.errors
    finally:
        server.close()


def test_a_broken_file_is_an_error_that_says_what_is_wrong(tmp_path: Path) -> None:
    file = models.save(models.unknown_operator(), tmp_path / "broken.onnx")
    errors = refused(str(file))
    assert "can be served" in errors
    assert "broken/1: " in errors


def test_a_missing_repository_is_an_error(tmp_path: Path) -> None:
    assert "nowhere" in refused(str(tmp_path / "nowhere"))


def test_workers_that_cannot_start_are_not_tried_for_ever(constant: Path, tmp_path: Path) -> None:
    """A damaged installation: the supervisor comes up, no worker does."""
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "uvloop.py").write_text("raise ImportError('this library is damaged')\n")
    server = RapideServer(str(constant), "--workers", "1", environment={"PYTHONPATH": str(tmp_path / "damaged")})
    try:
        assert server.wait() == 1
        assert "died 5 times before it could serve" in server.errors
        assert "this library is damaged" in server.errors
        assert server.errors.count("next attempt in") == 4, "each time it waits a little longer"
    finally:
        server.close()


# One truth, one state.


def test_metrics_of_any_worker_are_the_metrics_of_all(constant: Path) -> None:
    with running(constant, *TWO) as server:
        for _ in range(20):
            assert call(server.http_address, "POST", "/v2/models/m/infer", infer_json())[0] == 200
        assert {requests_total(server, "m") for _ in range(8)} == {20.0}


def test_a_loaded_model_is_loaded_in_every_worker(constant: Path) -> None:
    with running(constant, *TWO, "--control", "explicit") as server:
        assert server.ready["models"] == []
        index = call(server.http_address, "POST", "/v2/repository/index")[2]
        assert index == [{"name": "m", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]
        assert all("[404" in answer for answer in asks(server, "/v2/models/m/ready"))
        assert call(server.http_address, "POST", "/v2/repository/models/m/load")[0] == 200
        assert asks(server, "/v2/models/m/ready") == {'[200, {"ready": true}]'}
        assert call(server.http_address, "POST", "/v2/repository/models/m/unload")[0] == 200
        assert all("[404" in answer for answer in asks(server, "/v2/models/m/ready"))


def test_a_model_that_fails_to_load_is_loaded_nowhere(tmp_path: Path) -> None:
    root = models.repository(tmp_path, {"m": {1: models.constant(1.0)}, "bad": {1: models.unknown_operator()}})
    with running(root, *TWO, "--control", "explicit", "--load", "m") as server:
        status, _, answer = call(server.http_address, "POST", "/v2/repository/models/bad/load")
        assert status >= 400
        assert "bad/1" in answer["error"]
        assert "Nothing has changed" in answer["error"]
        assert all("[404" in reply for reply in asks(server, "/v2/models/bad/infer", "POST"))
        assert call(server.http_address, "POST", "/v2/models/m/infer", infer_json())[0] == 200


def test_a_worker_killed_while_it_loads_leaves_everything_as_it_was(tmp_path: Path) -> None:
    root = slow_repository(tmp_path)
    with running(root, *TWO, "--no-reserve", "--control", "explicit", "--load", "m") as server:
        connection = http.client.HTTPConnection(*server.http_address, timeout=60)
        assert call_on(connection, "GET", "/v2/health/ready")[0] == 200
        asked = owner_of(connection, server.children)
        (other,) = set(server.children) - {asked}
        loading = Call(lambda: call_on(connection, "POST", "/v2/repository/models/slow/load"))
        eventually(lambda: "LOADING" in "".join(asks(server, "/v2/repository/index", "POST", 1)), "it is loading")
        os.kill(other, signal.SIGKILL)
        loading.join()
        status, _, answer = loading.result
        assert status == 503
        assert "died while preparing; nothing has changed" in answer["error"]
        eventually(lambda: len(server.children) == 2, "the worker is replaced")
        assert all("[404" in reply for reply in asks(server, "/v2/models/slow/infer", "POST"))
        connection.close()


def test_hangup_looks_at_the_repository_again(constant: Path) -> None:
    with running(constant, "--workers", "1", "--control", "none") as server:
        models.save(models.constant(2.0), constant / "m" / "2" / "model.onnx")

        def answer() -> Any:
            # A file without a manifest is taken when a second look finds it unchanged.
            server.signal(signal.SIGHUP)
            return call(server.http_address, "POST", "/v2/models/m/infer", infer_json())[2]["outputs"][0]["data"]

        eventually(lambda: answer() == [2.0], "version 2 answers")


def test_a_repository_that_vanishes_takes_nothing_away(constant: Path) -> None:
    with running(constant, "--workers", "1", "--poll-interval-s", "0.1") as server:
        shutil.move(constant, constant.with_name("elsewhere"))
        eventually(lambda: "goes on being served" in server.errors, "the log says so")
        assert call(server.http_address, "POST", "/v2/models/m/infer", infer_json())[0] == 200


# Deaths.


def test_a_killed_worker_is_replaced_within_a_second_and_its_siblings_notice_nothing(constant: Path) -> None:
    with running(constant, *TWO) as server:
        eventually(lambda: len(server.children) == 3, "two workers and one in reserve")
        eventually(lambda: is_idle(max(server.children)), "the one in reserve has imported everything")
        connections = [http.client.HTTPConnection(*server.http_address, timeout=10) for _ in range(16)]
        for connection in connections:
            assert call_on(connection, "GET", "/v2/health/live")[0] == 200
        owners = [owner_of(connection, server.children) for connection in connections]
        victim = owners[0]
        survivors = [connection for connection, owner in zip(connections, owners, strict=True) if owner != victim]
        assert survivors, "all of 16 connections went to one worker"
        before = requests_total(server, "m")
        stop, failures, answered = threading.Event(), [], []

        def load(connection: http.client.HTTPConnection) -> None:
            while not stop.is_set():
                status, _, _ = call_on(connection, "POST", "/v2/models/m/infer", infer_json())
                (answered if status == 200 else failures).append(status)

        threads = [Call(lambda connection=connection: load(connection)) for connection in survivors[:2]]
        eventually(lambda: len(answered) > 50, "load is on")
        os.kill(victim, signal.SIGKILL)
        took_s = eventually(lambda: "has joined" in server.errors, "a new worker serves")
        stop.set()
        for thread in threads:
            thread.join()
        assert [thread.result for thread in threads] == [None, None], "connections to the sibling go on"
        assert failures == []
        assert took_s < 1.0
        assert requests_total(server, "m") >= before + len(answered), "counters never go back"
        for connection in connections:
            connection.close()


def is_idle(pid: int) -> bool:
    """Whether a process uses no processor time for a while."""
    before = Path(f"/proc/{pid}/stat").read_text().split()[13:15]
    time.sleep(0.2)
    return Path(f"/proc/{pid}/stat").read_text().split()[13:15] == before


def test_workers_do_not_outlive_their_supervisor(constant: Path) -> None:
    with running(constant, *TWO) as server:
        pids = server.children
        os.kill(server.pid, signal.SIGKILL)
        assert still_alive(pids) == []


# Leaving.


def test_termination_waits_for_answers_under_way_on_both_doors(tmp_path: Path) -> None:
    root = slow_repository(tmp_path)
    with running(root, "--workers", "1") as server:
        http_call = Call(
            lambda: call(
                server.http_address, "POST", "/v2/models/slow/infer", infer_json(SLOW_ROWS, 4), timeout_s=60
            )
        )
        channel = grpc.insecure_channel(server.grpc_target)
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        grpc_call = Call(lambda: infer(infer_message("slow", SLOW_ROWS, 4), timeout=60))
        idle = http.client.HTTPConnection(*server.http_address, timeout=10)
        assert call_on(idle, "GET", "/v2/health/live")[0] == 200
        eventually(lambda: in_flight(server, "slow") == 2, "both calls are under way")
        server.signal(signal.SIGTERM)
        http_call.join()
        grpc_call.join()
        assert http_call.result[0] == 200
        assert isinstance(grpc_call.result, bytes)
        assert server.wait() == 0
        channel.close()
        idle.close()


def test_idle_streams_and_watchers_do_not_hold_up_the_end(constant: Path) -> None:
    with running(constant, "--workers", "1", "--drain-s", "600") as server:
        asked: queue.Queue[bytes | None] = queue.Queue()
        asked.put(infer_message("m"))
        with grpc.insecure_channel(server.grpc_target) as channel:
            watcher = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=60)
            stream = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
            answers = stream(iter(asked.get, None), timeout=60)
            assert health_pb2.HealthCheckResponse.FromString(next(watcher)).status == SERVING
            assert next(answers)
            server.signal(signal.SIGTERM)
            told = [health_pb2.HealthCheckResponse.FromString(raw).status for raw in watcher]
            assert told == [NOT_SERVING]
            assert list(answers) == []
            asked.put(None)
            assert server.wait() == 0


def test_during_the_grace_a_server_is_unready_but_answers(constant: Path) -> None:
    with running(constant, *TWO, "--grace-s", "600") as server:
        watched = http.client.HTTPConnection(*server.http_address, timeout=10)
        assert call_on(watched, "GET", "/v2/health/ready")[0] == 200
        server.signal(signal.SIGTERM)
        eventually(lambda: call_on(watched, "GET", "/v2/health/ready")[0] == 503, "unready")
        assert all("[503" in reply for reply in asks(server, "/v2/health/ready"))
        assert call_on(watched, "POST", "/v2/models/m/infer", infer_json())[0] == 200
        assert call(server.http_address, "POST", "/v2/models/m/infer", infer_json())[0] == 200
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        watched.close()


def test_a_second_interrupt_does_not_wait_for_answers(tmp_path: Path) -> None:
    root = slow_repository(tmp_path)
    with running(root, "--workers", "1", "--drain-s", "600") as server:
        many = [
            Call(
                lambda: call(
                    server.http_address, "POST", "/v2/models/slow/infer", infer_json(SLOW_ROWS, 4), timeout_s=60
                )
            )
            for _ in range(20)
        ]
        eventually(lambda: in_flight(server, "slow") == 20, "minutes of work")
        server.signal(signal.SIGINT)
        eventually(lambda: "stopping" in server.errors, "it drains")
        begun_s = time.monotonic()
        server.signal(signal.SIGINT)
        assert server.wait() == 0
        assert time.monotonic() - begun_s < 20
        for one in many:
            one.join()


def test_a_server_ends_with_its_terminal(constant: Path) -> None:
    """A hangup is a wish to look again, except when it says that the window was closed."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "rapide", "serve", str(constant), "--workers", "1", "--http-port", "0"]
    command += ["--grpc-port", "0", "--metrics-port", "0"]
    # The shell leads a new session, so the terminal that it opens becomes the session's own.
    script = f"exec {shlex.join(command)} < {os.ttyname(theirs)}"
    server = subprocess.Popen(
        ["sh", "-c", script], start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert server.stdout is not None
        assert b'"event": "ready"' in server.stdout.readline()
        os.close(theirs)
        os.close(ours)
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_nothing_is_left_behind(constant: Path) -> None:
    with running(constant, *TWO) as server:
        folders = {folder for pid in server.children for folder in _mapped_state_folders(pid)}
        assert len(folders) == 1
        pids = server.children
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not any(folder.exists() for folder in folders)
        assert children_of(server.pid) == []
        assert not any(is_alive(pid) for pid in pids)


def _mapped_state_folders(pid: int) -> set[Path]:
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {Path(line.split()[-1]).parent for line in lines if "rapide-state-" in line}


# What became impossible to load.


def kill_one(server: RapideServer) -> None:
    """Kills a worker that serves, and waits until another has taken its place."""
    connection = http.client.HTTPConnection(*server.http_address, timeout=60)
    assert call_on(connection, "GET", "/v2/health/live")[0] == 200
    joined = server.errors.count("has joined")
    os.kill(owner_of(connection, server.children), signal.SIGKILL)
    connection.close()
    eventually(lambda: server.errors.count("has joined") > joined, "the worker is replaced")


def test_an_unlinked_region_keeps_no_worker_from_being_replaced(constant: Path) -> None:
    with (
        running(constant, *TWO, "--shared-memory") as server,
        tempfile.NamedTemporaryFile(dir="/dev/shm") as region,
    ):
        region.write(bytes(64))
        region.flush()
        wanted = {"key": Path(region.name).name, "offset": 0, "byte_size": 64}
        path = "/v2/systemsharedmemory/region/r"
        assert call(server.http_address, "POST", f"{path}/register", wanted)[0] == 200
        os.unlink(region.name)
        kill_one(server)
        assert {json.loads(answer)[0] for answer in asks(server, "/v2/models/m/infer", "POST")} == {200}
        assert call(server.http_address, "POST", f"{path}/unregister")[0] == 200
        Path(region.name).touch()


def test_a_damaged_version_keeps_no_worker_from_being_replaced(tmp_path: Path) -> None:
    for name in ("m", "other"):
        publish_version(tmp_path, name, models.constant(1.0))
    with running(tmp_path, *TWO, "--poll-interval-s", "0.1") as server:
        path = tmp_path / "m" / "1" / "model.onnx"
        path.chmod(0o644)
        content = path.read_bytes()
        path.write_bytes(b"x" * len(content))
        kill_one(server)
        assert "serves without m/1: model.onnx was changed after publishing" in server.errors
        assert {json.loads(answer)[0] for answer in asks(server, "/v2/models/other/infer", "POST")} == {200}
        eventually(
            lambda: {json.loads(answer)[0] for answer in asks(server, "/v2/models/m/infer", "POST")} == {200, 503},
            "one answers",
        )
        eventually(
            lambda: "was changed after" in "".join(asks(server, "/v2/repository/index", "POST")),
            "the index says it",
        )
        assert "rapide_repository_problems 1" in call(server.metrics_address, "GET", "/metrics")[2]
        path.write_bytes(content)
        eventually(lambda: "serves everything again" in server.errors, "the file was mended")
        assert {json.loads(answer)[0] for answer in asks(server, "/v2/models/m/infer", "POST")} == {200}
