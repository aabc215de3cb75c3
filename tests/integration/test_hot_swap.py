"""Versions and labels change under load: no request fails, and every answer comes wholly from one version."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from rapide.proto import open_inference_pb2
from rapide.server.repository.labels import parse_changes
from rapide.server.repository.local import LocalRepository
from tests import models
from tests.integration.server_process import RapideServer, call_on, eventually, infer_json, infer_message, running
from tests.versions import publish_version

pytestmark = pytest.mark.integration
ROWS = 5
_SWITCHES = 6
_PAUSE_S = 0.4
"""Between switches, with load on: 6 switches take about 3 s."""


class Load:
    """Threads that ask without pause and check each answer: the value that a version gives is its number."""

    def __init__(self, *loops: Callable[[Load], None]) -> None:
        self.answers: Counter[int] = Counter()
        self.failures: list[str] = []
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=self._guard, args=(loop,)) for loop in loops]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(60)

    def _guard(self, loop: Callable[[Load], None]) -> None:
        try:
            loop(self)
        except Exception as error:  # noqa: BLE001 - whatever a client meets is a failure of the server's
            self.failures.append(repr(error))

    def check(self, values: list[float], version: str, header: str) -> None:
        """One answer: all rows from one version, which is the one that it names."""
        if len(values) != ROWS or set(values) != {float(version)} or header != version:
            self.failures.append(f"version {version} (header {header}) gave {values}")
        self.answers[int(version)] += 1

    def wait_for(self, version: int, answers: int) -> None:
        """Waits until ``version`` has given so many more answers."""
        before = self.answers[version]
        eventually(lambda: self.answers[version] >= before + answers, f"version {version} answers")


def http_loop(server: RapideServer) -> Callable[[Load], None]:
    def loop(load: Load) -> None:
        connection = http.client.HTTPConnection(*server.http_address, timeout=10)
        while not load.stopping.is_set():
            status, headers, answer = call_on(connection, "POST", "/v2/models/m/infer", infer_json(ROWS))
            if status == 200:
                load.check(answer["outputs"][0]["data"], answer["model_version"], headers["rapide-model-version"])
            else:
                load.failures.append(f"{status} {answer}")
        connection.close()

    return loop


def grpc_loop(server: RapideServer) -> Callable[[Load], None]:
    def loop(load: Load) -> None:
        message = infer_message("m", ROWS)
        with grpc.insecure_channel(server.grpc_target) as channel:
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            while not load.stopping.is_set():
                raw, called = infer.with_call(message, timeout=10)
                answer = open_inference_pb2.ModelInferResponse.FromString(raw)
                values = memoryview(answer.raw_output_contents[0]).cast("f").tolist()
                headers = dict(called.initial_metadata())
                load.check(values, answer.model_version, headers["rapide-model-version"])

    return loop


def served_versions(server: RapideServer) -> set[str]:
    """What every worker says, asked on several connections."""
    seen = set()
    for _ in range(8):
        connection = http.client.HTTPConnection(*server.http_address, timeout=10)
        _, _, metadata = call_on(connection, "GET", "/v2/models/m")
        seen.add(",".join(metadata["versions"]))
        connection.close()
    return seen


def publish(root: Path, number: int) -> None:
    assert publish_version(root, "m", models.constant(float(number))) == number


def test_versions_are_switched_under_load_without_a_failed_request(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    with running(tmp_path, "--workers", "2", "--poll-interval-s", "0.1") as server:
        with Load(http_loop(server), grpc_loop(server)) as load:
            for number in range(2, 2 + _SWITCHES):
                publish(tmp_path, number)
                load.wait_for(number, 1)
                time.sleep(_PAUSE_S)
        assert load.failures == []
        assert set(load.answers) == set(range(1, 2 + _SWITCHES))
        assert served_versions(server) == {str(1 + _SWITCHES)}


def test_labels_are_moved_under_load_without_a_failed_request(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    publish(tmp_path, 2)
    repository = LocalRepository(tmp_path)
    repository.set_labels("m", parse_changes(["stable=1"]), who="test")
    with running(tmp_path, "--workers", "2", "--poll-interval-s", "0.1") as server:
        with Load(http_loop(server), grpc_loop(server)) as load:
            for version in (2, 1, 2, 1):
                repository.set_labels("m", parse_changes([f"stable={version}"]), who="test")
                load.wait_for(version, 1)
                time.sleep(_PAUSE_S)
            repository.set_labels("m", parse_changes(["canary=2:50%"]), who="test")
            load.wait_for(2, 10)
        assert load.failures == []
        assert set(load.answers) == {1, 2}


def test_a_broken_version_under_load_changes_nothing_and_is_reported(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    with running(tmp_path, "--workers", "2", "--poll-interval-s", "0.1") as server:
        with Load(http_loop(server), grpc_loop(server)) as load:
            assert publish_version(tmp_path, "m", models.unknown_operator()) == 2
            eventually(lambda: "not served: m/2" in server.errors, "the log says so")
            load.wait_for(1, 50)
        assert load.failures == []
        assert set(load.answers) == {1}
        connection = http.client.HTTPConnection(*server.http_address, timeout=10)
        _, _, index = call_on(connection, "POST", "/v2/repository/index")
        connection.close()
        states = {(entry["name"], entry["version"]): entry["state"] for entry in index}
        assert states == {("m", "1"): "READY", ("m", "2"): "UNAVAILABLE"}
