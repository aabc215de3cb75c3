"""Who is measured: how each server is started, what it is sent, and what it is compared with."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from rapide.loadtests.bench.processes import free_port, port_answers
from rapide.loadtests.payloads import DTYPES, Payload
from rapide.loadtests.wire.lane import OpenLane, grpc_opener, http_opener
from rapide.proto import open_inference_pb2, services

INFER = f"/{services.OPEN_INFERENCE}/ModelInfer"
HOST = "127.0.0.1"
MOST_CONNECTIONS = 8
"""More in flight than this share connections over gRPC, as the calls of one client do."""
BUSY_POLL_US = 1000
"""About twice the mean gap between two requests at a fixed arrival rate: seven of eight find it awake."""
JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a server listens; each is free when the record is made."""

    http: int = field(default_factory=free_port)
    grpc: int = field(default_factory=free_port)
    metrics: int = field(default_factory=free_port)


@dataclass(frozen=True, slots=True)
class Server:
    """A server to start: one process tree that answers one or more contestants."""

    name: str
    command: Callable[[Path, Ports], list[str]]
    is_ready: Callable[[Ports], bool]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to ask one server. ``against`` is the contestant that it is divided by; a baseline has none."""

    name: str
    title: str
    server: Server
    protocol: str
    against: str = ""
    binary: bool = False
    connections: int = MOST_CONNECTIONS
    only_in_flight: tuple[int, ...] = ()
    """Where it is measured in closed loops; empty for everywhere."""
    is_in_open_loop: bool = True
    """Whether its latency at a fixed rate is measured."""

    def is_measured_at(self, in_flight: int) -> bool:
        return not self.only_in_flight or in_flight in self.only_in_flight


@dataclass(frozen=True, slots=True)
class Target:
    """One contestant with one model: everything that a generator needs."""

    protocol: str
    port: int
    path: str
    headers: Mapping[str, str]
    body: bytes
    """An HTTP body, or a serialised gRPC message without its five bytes in front."""

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}{self.path}"

    @property
    def open_lane(self) -> OpenLane:
        if self.protocol == "grpc":
            return grpc_opener(HOST, self.port, self.path, self.body)
        return http_opener(HOST, self.port, self.path, self.headers, self.body)

    def ask(self) -> tuple[dict[str, list[float]], int]:
        """One call by an ordinary client: outputs by name, flat, and the bytes of the answer's body."""
        return _ask_grpc(self) if self.protocol == "grpc" else _ask_http(self)


def _python(module: str) -> Callable[[Path, Ports], list[str]]:
    def command(folder: Path, ports: Ports) -> list[str]:
        port = ports.grpc if module == "grpc_aio" else ports.http
        return [sys.executable, "-m", f"rapide.loadtests.baselines.{module}", str(folder), str(port)]

    return command


def rapide_command(folder: Path, ports: Ports, *flags: str, workers: int = 1) -> list[str]:
    """So many workers on free ports; ``flags`` beside the defaults that a newcomer gets."""
    return [
        str(Path(sys.executable).with_name("rapide")),
        *("serve", str(folder), "--workers", str(workers), "--host", HOST),
        *("--http-port", str(ports.http), "--grpc-port", str(ports.grpc), "--metrics-port", str(ports.metrics)),
        *flags,
    ]


def _rapide(grpc_engine: str, http_engine: str, *flags: str) -> Callable[[Path, Ports], list[str]]:
    return lambda folder, ports: rapide_command(
        folder, ports, "--grpc-engine", grpc_engine, "--http-engine", http_engine, *flags
    )


def rapide_is_ready(ports: Ports) -> bool:
    """As a load balancer would ask."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{ports.http}/v2/health/ready", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


GRPC_AIO = Server("grpc-aio", _python("grpc_aio"), lambda ports: port_answers(ports.grpc))
STARLETTE = Server("starlette", _python("starlette_json"), lambda ports: port_answers(ports.http))
RAPIDE = Server("rapide", _rapide("lane", "lane"), rapide_is_ready)
POLLING = Server("rapide, polling", _rapide("lane", "lane", "--busy-poll-us", str(BUSY_POLL_US)), rapide_is_ready)
REFERENCE = Server("rapide on grpcio and uvicorn", _rapide("grpcio", "uvicorn"), rapide_is_ready)
SERVERS = (GRPC_AIO, STARLETTE, RAPIDE, POLLING, REFERENCE)

CONTESTANTS: Sequence[Contestant] = (
    Contestant("grpc-aio", "hand-written: grpc.aio, uvloop", GRPC_AIO, "grpc"),
    Contestant("rapide-grpc", "rapide, gRPC", RAPIDE, "grpc", against="grpc-aio"),
    Contestant(
        "grpc-aio-one",
        "hand-written, one connection",
        GRPC_AIO,
        "grpc",
        connections=1,
        only_in_flight=(64,),
        is_in_open_loop=False,
    ),
    Contestant(
        "rapide-grpc-one",
        "rapide, gRPC, one connection",
        RAPIDE,
        "grpc",
        against="grpc-aio-one",
        connections=1,
        only_in_flight=(64,),
        is_in_open_loop=False,
    ),
    Contestant(
        "rapide-polling",
        f"rapide, gRPC, --busy-poll-us {BUSY_POLL_US}",
        POLLING,
        "grpc",
        against="grpc-aio",
        only_in_flight=(1,),
    ),
    Contestant(
        "reference-grpc",
        "rapide on grpcio, gRPC",
        REFERENCE,
        "grpc",
        against="grpc-aio",
        only_in_flight=(32,),
        is_in_open_loop=False,
    ),
    Contestant("starlette", "hand-written: uvicorn, Starlette, JSON", STARLETTE, "http"),
    Contestant("rapide-json", "rapide, HTTP, JSON", RAPIDE, "http", against="starlette"),
    Contestant("rapide-binary", "rapide, HTTP, binary tensors", RAPIDE, "http", against="starlette", binary=True),
    Contestant(
        "reference-json",
        "rapide on uvicorn, HTTP, JSON",
        REFERENCE,
        "http",
        against="starlette",
        only_in_flight=(8,),
        is_in_open_loop=False,
    ),
)


def target(contestant: Contestant, payload: Payload, ports: Ports) -> Target:
    """What ``contestant`` is sent."""
    if contestant.protocol == "grpc":
        return Target("grpc", ports.grpc, INFER, {}, payload.to_protobuf().SerializeToString())
    if contestant.binary:
        body, json_bytes = payload.to_binary()
        return Target("http", ports.http, payload.path, {"inference-header-content-length": str(json_bytes)}, body)
    return Target("http", ports.http, payload.path, JSON, payload.to_json())


def check(target_: Target, expected: Mapping[str, np.ndarray[Any, Any]]) -> int:
    """Bytes of a right answer. Raises ValueError where the answer is not what the bare model gives."""
    answer, size_bytes = target_.ask()
    same = answer.keys() == expected.keys() and all(
        np.allclose(answer[name], expected[name].ravel(), rtol=1e-4, atol=1e-5) for name in expected
    )
    if not same:
        raise ValueError(f"{target_.url} answers {answer}, and the model itself {dict(expected)}")
    return size_bytes


def _ask_grpc(target_: Target) -> tuple[dict[str, list[float]], int]:
    with grpc.insecure_channel(f"{HOST}:{target_.port}") as channel:
        request = open_inference_pb2.ModelInferRequest.FromString(target_.body)
        answer = services.stub(channel, services.OPEN_INFERENCE).ModelInfer(request, timeout=10)
    raw = zip(answer.outputs, answer.raw_output_contents, strict=True)
    outputs = {spec.name: _values(spec.datatype, content) for spec, content in raw}
    return outputs, answer.ByteSize() + 5


def _ask_http(target_: Target) -> tuple[dict[str, list[float]], int]:
    request = urllib.request.Request(target_.url, data=target_.body, headers=dict(target_.headers))  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own URL
        body = answer.read()
        json_bytes = int(answer.headers.get("inference-header-content-length", len(body)))
    outputs: dict[str, Any] = {}
    offset = json_bytes
    for spec in json.loads(body[:json_bytes])["outputs"]:
        if "data" in spec:
            outputs[spec["name"]] = np.ravel(spec["data"]).tolist()
        else:
            size_bytes = spec["parameters"]["binary_data_size"]
            outputs[spec["name"]] = _values(spec["datatype"], body[offset : offset + size_bytes])
            offset += size_bytes
    return outputs, len(body)


def _values(datatype: str, content: bytes) -> list[float]:
    values: list[float] = np.frombuffer(content, DTYPES[datatype]).tolist()
    return values
