"""What makes the load of the closed loops: h2load and wrk where they are installed, our own lanes elsewhere.

Both tools are C programs that cost a fraction of what the servers under test do. They count any answer as good, so
each target is checked by an ordinary client first, and the bytes that h2load received are held against a right
answer's size afterwards: a gRPC error is an HTTP 200 without a body.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rapide.loadtests.bench.contestants import MOST_CONNECTIONS, Target
from rapide.loadtests.wire import driver
from rapide.loadtests.wire.http2 import message_frame


class GeneratorFailed(RuntimeError):
    """The tool failed, or what it measured were not right answers."""


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop: ``in_flight`` requests, for so long."""

    in_flight: int
    duration_s: float
    connections: int = MOST_CONNECTIONS
    """Over gRPC, at most."""
    requests: int = 0
    """So many, however long they take, where the tool can count (h2load): of a few long requests, those under way
    when the time is over would be missing. 0 for as many as the time has room for."""
    yields: bool = False
    """The generator shares its core with a server, and lets it go first."""

    def split(self, protocol: str) -> tuple[int, int]:
        """Connections, and requests in flight on each. HTTP/1.1 has one at a time."""
        connections = self.in_flight if protocol == "http" else min(self.in_flight, self.connections)
        return connections, self.in_flight // connections

    @property
    def prefix(self) -> list[str]:
        """What the generator's command begins with."""
        return ["nice", "-n", "19"] if self.yields else []


@dataclass(frozen=True, slots=True)
class Rate:
    """What a closed loop found."""

    requests: int
    requests_per_s: float
    mean_us: float


def measure(target: Target, load: Load, answer_bytes: int) -> Rate:
    """Requests per second and mean latency. Raises GeneratorFailed for any answer that is not a right one."""
    match name_for(target.protocol):
        case "h2load":
            return _h2load(target, load, answer_bytes)
        case "wrk":
            return _wrk(target, load)
    return _own(target, load)


def name_for(protocol: str) -> str:
    """The generator used for a protocol here, for the report."""
    tool = {"grpc": "h2load", "http": "wrk"}[protocol]
    return tool if shutil.which(tool) else "rapide.loadtests.wire"


def _own(target: Target, load: Load) -> Rate:
    connections, depth = load.split(target.protocol)
    found = asyncio.run(
        driver.closed_loop(
            target.open_lane,
            lanes=connections,
            depth=depth,
            warm_up_s=0.0,
            duration_s=load.duration_s,
        )
    )
    if found.failures:
        raise GeneratorFailed(f"{found.failures} of {found.requests + found.failures} requests failed")
    return Rate(found.requests, found.requests_per_s, found.mean_us)


def _h2load(target: Target, load: Load, answer_bytes: int) -> Rate:
    connections, depth = load.split("grpc")
    with tempfile.NamedTemporaryFile(suffix=".grpc") as body:
        body.write(message_frame(target.body))
        body.flush()
        command = [
            *load.prefix,
            *("h2load", "--threads=1", f"--clients={connections}", f"--max-concurrent-streams={depth}"),
            *(
                f"--data={body.name}",
                "--header=content-type: application/grpc",
                "--header=te: trailers",
                target.url,
            ),
        ]
        until = f"--requests={load.requests}" if load.requests else f"--duration={round(load.duration_s * 1000)}ms"
        return read_h2load(_run([*command, until]), answer_bytes)


def read_h2load(printed: str, answer_bytes: int) -> Rate:
    """h2load's figures from what it prints. Raises GeneratorFailed where answers failed or have the wrong size."""
    counts = re.search(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", printed)
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", printed)
    data = re.search(r"\((\d+)\) data", printed)
    times = re.search(r"time for request:\s+\S+\s+\S+\s+([\d.]+)(us|ms|s)", printed)
    if not (counts and rate and data and times):
        raise GeneratorFailed(f"h2load said something else than expected:\n{printed}")
    done, _, failed, errored = (int(count) for count in counts.groups())
    if not done or failed or errored:
        raise GeneratorFailed(f"h2load: {done} done, {failed} failed, {errored} errored")
    mean_bytes = int(data.group(1)) / done
    if abs(mean_bytes / answer_bytes - 1) > 0.02:
        raise GeneratorFailed(f"answers of {mean_bytes:.1f} bytes on average, and a right one has {answer_bytes}")
    return Rate(done, float(rate.group(1)), float(times.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[times.group(2)])


_WRK_SCRIPT = """
wrk.method = "POST"
wrk.body = "{body}"
{headers}
done = function(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("found %d %d %d %f", summary.requests, summary.duration, failed, latency.mean))
end
"""


def _wrk(target: Target, load: Load) -> Rate:
    body = "".join(f"\\{byte:03d}" for byte in target.body)
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in target.headers.items())
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "request.lua"
        script.write_text(_WRK_SCRIPT.format(body=body, headers=headers))
        command = [*load.prefix, "wrk", "--threads=1", f"--connections={load.in_flight}", f"--script={script}"]
        duration_s = max(1, round(load.duration_s))  # wrk counts in whole seconds
        return read_wrk(_run([*command, f"--duration={duration_s}s", target.url]))


def read_wrk(printed: str) -> Rate:
    """wrk's figures from what the script above prints. Raises GeneratorFailed where a request failed."""
    found = re.search(r"^found (\d+) (\d+) (\d+) ([\d.]+)$", printed, re.MULTILINE)
    if not found:
        raise GeneratorFailed(f"wrk said something else than expected:\n{printed}")
    requests, duration_us, failed = (int(count) for count in found.groups()[:3])
    if not requests or failed:
        raise GeneratorFailed(f"wrk: {failed} of {requests} requests failed:\n{printed}")
    return Rate(requests, requests / (duration_us / 1e6), float(found.group(4)))


def _run(command: list[str]) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        raise GeneratorFailed(f"{command[0]} ended with code {said.returncode}: {said.stderr or said.stdout}")
    return said.stdout
