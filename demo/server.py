"""Starts ``rapide serve`` on free ports, waits until it is ready, and stops it."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
DEFAULT_PORTS = (8000, 8001, 8002)
READY_S = 60
STOP_S = 40


class NotServing(Exception):
    """The server did not become ready, or ended."""


@dataclass(frozen=True, slots=True)
class Ports:
    http: int
    grpc: int
    metrics: int


def free_ports() -> Ports:
    """The usual ports; where one of them is taken, three free ones."""
    if all(_is_free(port) for port in DEFAULT_PORTS):
        return Ports(*DEFAULT_PORTS)
    sockets = [socket.create_server((HOST, 0)) for _ in DEFAULT_PORTS]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return Ports(*ports)


class Server:
    """A context: the server runs and is ready inside of it."""

    def __init__(self, rapide: Path, models: Path, ports: Ports, log: Path) -> None:
        self.ports = ports
        self._log = log
        self._command = [
            str(rapide), "serve", str(models), "--host", HOST,
            "--http-port", str(ports.http), "--grpc-port", str(ports.grpc), "--metrics-port", str(ports.metrics),
        ]  # fmt: skip

    def __enter__(self) -> Server:
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C reaches us alone, and we stop it in order.
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        status = self._stop()
        if status != 0:
            raise NotServing(f"rapide serve ended with status {status}:\n{self._tail()}")

    def wait(self) -> None:
        """Returns when the server ends by itself."""
        self._process.wait()

    def _wait_until_ready(self) -> None:
        url = f"http://{HOST}:{self.ports.http}/v2/health/ready"
        give_up_s = time.monotonic() + READY_S
        while time.monotonic() < give_up_s:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(url, timeout=2):
                    return
            except (OSError, urllib.error.URLError):
                time.sleep(0.05)
        raise NotServing(f"rapide serve did not become ready:\n{self._tail()}")

    def _stop(self) -> int:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _tail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]


def _is_free(port: int) -> bool:
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True
