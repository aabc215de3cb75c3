"""``rapide serve`` as users run it: a process that says on standard output when and where it is ready."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rapide.proto import open_inference_pb2

HOST = "127.0.0.1"
_FREE_PORTS = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
_PATIENCE_S = 60.0
"""For waits that end after fractions of a second unless something is wrong, or the machine very busy."""


class RapideServer:
    """One ``rapide serve``; ``ready`` is the line that it printed when it was, as fields."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("RAPIDE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rapide", "serve", *_FREE_PORTS, "--log-format", "json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**own, **(environment or {})},
        )
        self.ready: dict[str, Any] = {}
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()

    def wait_ready(self) -> RapideServer:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"not ready; it said:\n{self.errors}"
        self.ready = json.loads(line)
        return self

    @property
    def errors(self) -> str:
        """All of standard error until now."""
        return "".join(self._errors)

    @property
    def http_address(self) -> tuple[str, int]:
        url = urlsplit(self.ready["http"])
        assert url.hostname
        assert url.port
        return url.hostname, url.port

    @property
    def metrics_address(self) -> tuple[str, int]:
        url = urlsplit(self.ready["metrics"])
        assert url.hostname
        assert url.port
        return url.hostname, url.port

    @property
    def grpc_target(self) -> str:
        return str(self.ready["grpc"])

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def children(self) -> list[int]:
        """Workers, and the process in reserve if there is one."""
        return children_of(self.pid)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = _PATIENCE_S) -> int:
        """The exit code, once all of standard error was read."""
        code = self.process.wait(timeout_s)
        self._reader.join(_PATIENCE_S)
        return code

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)

    def close(self) -> None:
        pids = self.children
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()


@contextmanager
def running(models: Path, *flags: str, environment: dict[str, str] | None = None) -> Iterator[RapideServer]:
    """A ready server for ``models``; killed at the end, unless the test ended it."""
    server = RapideServer(str(models), *flags, environment=environment)
    try:
        yield server.wait_ready()
    finally:
        server.close()


def children_of(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def eventually(condition: Callable[[], Any], what: str, within_s: float = _PATIENCE_S) -> float:
    """Waits for ``condition``; returns how many seconds it took."""
    begun_s = time.monotonic()
    while not condition():
        assert time.monotonic() - begun_s < within_s, f"still not: {what}"
        time.sleep(0.01)
    return time.monotonic() - begun_s


def call(
    address: tuple[str, int], method: str, path: str, body: Any = None, *, timeout_s: float = 30.0
) -> tuple[int, dict[str, str], Any]:
    """One HTTP call on a connection of its own, so that any worker may get it: status, headers, JSON (or text)."""
    connection = http.client.HTTPConnection(*address, timeout=timeout_s)
    try:
        return call_on(connection, method, path, body)
    finally:
        connection.close()


def call_on(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None
) -> tuple[int, dict[str, str], Any]:
    """The same on an open connection."""
    connection.request(method, path, None if body is None else json.dumps(body))
    response = connection.getresponse()
    raw = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    is_json = headers.get("content-type", "").startswith("application/json")
    return response.status, headers, json.loads(raw) if is_json and raw else raw.decode()


def infer_json(rows: int = 1, width: int = 1) -> dict[str, Any]:
    """A request for the models of tests/models.py that take ``x`` [N, width] FP32."""
    return {"inputs": [{"name": "x", "shape": [rows, width], "datatype": "FP32", "data": [1.0] * (rows * width)}]}


def infer_message(model: str, rows: int = 1, width: int = 1) -> bytes:
    """The same as a serialised ModelInferRequest."""
    request = open_inference_pb2.ModelInferRequest(model_name=model)
    tensor = request.inputs.add()
    tensor.name, tensor.datatype = "x", "FP32"
    tensor.shape.extend([rows, width])
    tensor.contents.fp32_contents.extend([1.0] * (rows * width))
    return request.SerializeToString()


def owner_of(connection: http.client.HTTPConnection, candidates: list[int]) -> int:
    """The process among ``candidates`` that has the other end of ``connection``."""
    local, remote = connection.sock.getsockname()[1], connection.sock.getpeername()[1]
    inode = ""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if (int(fields[1].rpartition(":")[2], 16), int(fields[2].rpartition(":")[2], 16)) == (remote, local):
            inode = fields[9]
    for pid in candidates:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor) == f"socket:[{inode}]":
                    return pid
    raise AssertionError(f"nobody has socket {inode}")
