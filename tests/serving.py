"""Real servers for tests: ``rapide serve`` as a process of its own, on free ports of loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rapide.loadtests.bench.contestants import HOST, Ports, rapide_command, rapide_is_ready
from rapide.loadtests.bench.processes import ServerProcess


@dataclass(frozen=True, slots=True)
class Served:
    """A running server and where it listens."""

    process: ServerProcess
    ports: Ports

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.ports.http}"

    @property
    def grpc(self) -> str:
        """``host:port``."""
        return f"{HOST}:{self.ports.grpc}"

    @property
    def metrics_url(self) -> str:
        return f"http://{HOST}:{self.ports.metrics}"


@contextmanager
def serving(models: Path, log: Path, *flags: str) -> Iterator[Served]:
    """``rapide serve models`` with one worker and these flags, ready; stopped at the end. It prints to ``log``."""
    ports = Ports()
    with ServerProcess(rapide_command(models, ports, *flags), log) as process:
        process.wait_until(lambda: rapide_is_ready(ports))
        yield Served(process, ports)
