"""nghttp, h2load and curl: HTTP/2 as others read it, in the clear and without an upgrade."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from rapide.proto import open_inference_pb2 as pb
from tests import tools
from tests.integration.clients.echo import Array, check, large, request, row
from tests.serving import Served

pytestmark = pytest.mark.integration
INFER = "/inference.GRPCInferenceService/ModelInfer"


def run(*command: str) -> bytes:
    """Standard output of a Debian package's tool."""
    found = tools.program(command[0])
    done = subprocess.run([found, *command[1:]], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stderr.decode()[-2000:]}"
    return done.stdout


def framed(folder: Path, tensor: Array) -> str:
    """A file with the request as gRPC sends it."""
    message = request(tensor).SerializeToString()
    path = folder / "request"
    path.write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    return str(path)


def test_nghttp(lanes: Served, tmp_path: Path) -> None:
    headers = ("-H", "content-type: application/grpc", "-H", "te: trailers")
    said = run(
        *("nghttp", "--verbose", "--null-out", "--data", framed(tmp_path, row(1)), *headers),
        f"http://{lanes.grpc}{INFER}",
    ).decode()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert ":status: 200" in plain
    assert "grpc-status: 0" in plain


@pytest.mark.parametrize(("connections", "streams"), [(1, 1000), (100, 10)])
def test_h2load(lanes: Served, tmp_path: Path, connections: int, streams: int) -> None:
    said = run(
        *("h2load", "-n", "10000", "-c", str(connections), "-m", str(streams)),
        *("--data", framed(tmp_path, row(1)), "-H", "content-type: application/grpc", "-H", "te: trailers"),
        f"http://{lanes.grpc}{INFER}",
    ).decode()
    assert "10000 succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert "10000 2xx, 0 3xx, 0 4xx, 0 5xx" in said


@pytest.mark.parametrize("tensor", [row(1), large()], ids=["small", "large"])
def test_curl(lanes: Served, tmp_path: Path, tensor: Array) -> None:
    body, trailers = tmp_path / "body", tmp_path / "headers"
    run(
        *("curl", "--silent", "--show-error", "--http2-prior-knowledge", "--output", str(body)),
        *("--dump-header", str(trailers), "--data-binary", f"@{framed(tmp_path, tensor)}"),
        *("--header", "content-type: application/grpc", "--header", "te: trailers"),
        f"http://{lanes.grpc}{INFER}",
    )
    assert "grpc-status: 0" in trailers.read_text()
    check(pb.ModelInferResponse.FromString(body.read_bytes()[5:]), tensor)


def test_curl_finds_no_page_on_the_grpc_port(lanes: Served) -> None:
    said = run("curl", "--silent", "--http2-prior-knowledge", "--include", f"http://{lanes.grpc}/v2")
    assert said.startswith(b"HTTP/2 405")
