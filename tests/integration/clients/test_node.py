"""Node's clients: @grpc/grpc-js from npm, and the http2 that comes with Node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import grpc
import pytest

from tests import tools
from tests.integration.clients.echo import connections, request, row
from tests.serving import Served

pytestmark = pytest.mark.integration
SCRIPTS = Path(__file__).parent / "node"
PROTO = Path(__file__).parents[3] / "proto" / "open_inference.proto"
INSTALL_WITHIN_S = 90
AGEING_S = "4.5"
"""Connections are told to come again after a second or so."""


def node(*arguments: str, folder: Path) -> None:
    command = [tools.program("node"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts beside the packages that they need."""
    npm = tools.program("npm")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
    quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline", "--fetch-retries", "1")
    done = subprocess.run(
        [npm, "install", *quiet],
        cwd=folder,
        env={**os.environ, "PATH": tools.PATH},
        capture_output=True,
        text=True,
        timeout=INSTALL_WITHIN_S,
        check=False,
    )
    if done.returncode:
        tools.missing(f"npm cannot install @grpc/grpc-js here: {done.stderr.strip()[-300:]}")
    return folder


def test_grpc_js(lanes: Served, scripts: Path) -> None:
    node("grpc_js.js", lanes.grpc, str(PROTO), folder=scripts)


def test_grpc_js_loses_no_call_when_connections_age(ageing: Served, scripts: Path) -> None:
    before = connections(ageing)
    node("grpc_js.js", ageing.grpc, str(PROTO), AGEING_S, folder=scripts)
    assert connections(ageing) >= before + 3


def test_http2(lanes: Served, tmp_path: Path) -> None:
    node(str(SCRIPTS / "http2.js"), lanes.grpc, *call_files(lanes, tmp_path), folder=tmp_path)


def test_http2_loses_no_call_when_connections_age(ageing: Served, tmp_path: Path) -> None:
    before = connections(ageing)
    node(str(SCRIPTS / "http2.js"), ageing.grpc, *call_files(ageing, tmp_path), AGEING_S, folder=tmp_path)
    assert connections(ageing) >= before + 3


def call_files(lanes: Served, tmp_path: Path) -> tuple[str, str]:
    """Files with a request and its answer, as gRPC frames them."""
    message = request(row(1)).SerializeToString()
    with grpc.insecure_channel(lanes.grpc) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer", request_serializer=bytes, response_deserializer=bytes
        )
        answer = call(message, timeout=10)
    for name, octets in (("request", message), ("answer", answer)):
        (tmp_path / name).write_bytes(b"\0" + len(octets).to_bytes(4, "big") + octets)
    return "request", "answer"
