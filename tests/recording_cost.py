"""What recording costs a request: the real server, compiled, with all of it, with less, and with none.

``python -m tests.recording_cost`` (or scripts/recording-cost). Method: three copies of the source, compiled: in
the first the recorder is as it is, in the second it is without what the usage profile alone needs (metrics and
statistics go on), in the third its methods are empty. (Compiled methods cannot be replaced at run time.) A server
of each, one worker, pinned to one core; h2load on another one sends a fixed number of requests over gRPC to them
in turn. What counts is the worker's processor time by request, and the differences within each group of three
rounds, whose order rotates: so the machine's moods, and whatever is the same for all, cancel out. After some
groups all three servers are started anew, since no two processes lie in memory alike. Needs h2load (Debian:
nghttp2-client), a C compiler and two cores.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import inspect
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from rapide.loadtests.bench.contestants import HOST, Ports, rapide_is_ready
from rapide.loadtests.bench.processes import GENERATOR_CORE, ServerProcess, pinned, two_cores
from rapide.proto import open_inference_pb2 as pb
from rapide.server.telemetry import recorder
from rapide.server.telemetry.version_block import ARRIVALS, BATCHES, FINISHED
from tests import models
from tests.versions import publish_version

ROOT: Final = Path(__file__).parents[1]
RECORDER: Final = "server/telemetry/recorder.py"
LOADS: Final = {"1 in flight": ("1", "1"), "32 in flight": ("8", "4"), "256 in flight": ("16", "16")}
"""Name → h2load's connections, and streams on each."""


def request() -> bytes:
    """A framed ModelInfer of one row of four floats."""
    row = np.arange(4, dtype=np.float32)
    message = pb.ModelInferRequest(
        model_name="linear",
        inputs=[pb.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=(1, 4))],
        raw_input_contents=[row.tobytes()],
    ).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


def round_us(worker: _Worker, data: Path, load: tuple[str, str], requests: int) -> float:
    """Microseconds of the worker's processor time by request."""
    connections, streams = load
    command = [
        *("taskset", "-c", str(GENERATOR_CORE), "h2load", "-n", str(requests), "-c", connections, "-m", streams),
        *("-d", str(data), "-H", "content-type: application/grpc", "-H", "te: trailers"),
        f"http://{HOST}:{worker.ports.grpc}/inference.GRPCInferenceService/ModelInfer",
    ]
    before_s = worker.cpu_s()
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    took_s = worker.cpu_s() - before_s
    succeeded = re.search(r"(\d+) succeeded", printed)
    if succeeded is None or int(succeeded[1]) != requests:
        raise RuntimeError(f"not all of {requests} requests were answered:\n{printed}")
    return took_s / requests * 1e6


# What the recorder did before it recorded usage: the same rings, without concurrency, deadlines, overhead, sums of
# waiting, answers and looks.


def _arrival(self: Any, now_s: float, rows: int) -> None:
    number = self._arrival_n
    place = number & recorder._RECENT_MASK
    self._arrival_s[place] = now_s
    self._arrival_rows[place] = rows
    self._arrival_n = number = number + 1
    self._cursors[ARRIVALS] = number
    if number == self._fold_at[ARRIVALS]:
        self._fold_ring(ARRIVALS)


def _finished(self: Any, context: Any, code: str, duration_s: float, rows: int) -> None:
    answered = context.answered_by
    names = (code, context.protocol, context.encoding, answered.label if answered else "")
    kind = self._kinds.get(names)
    if kind is None:
        kind = self._new_kind(names)
    number = self._finished_n
    place = (number & recorder._RING_MASK) * recorder._FINISHED_BYTES
    self._pack_finished(self._finished, place, duration_s, 0.0, float("inf"), context.payload_bytes, kind, rows)
    self._finished_n = number = number + 1
    self._cursors[FINISHED] = number
    if number == self._fold_at[FINISHED]:
        self._fold_ring(FINISHED)


def _batch(
    self: Any,
    requests: int,
    rows: int,
    queue_s: Sequence[float],
    compute_s: float,
    reason: str,
    input_s: float = 0.0,
) -> None:
    number = self._batch_n
    index = self._reasons.get(reason)
    if index is None:
        index = self._new_reason(reason)
    place = (number & recorder._RING_MASK) * recorder._BATCH_BYTES
    self._pack_batch(self._batches, place, compute_s, input_s, 0.0, 0.0, requests, rows, index)
    self._batch_n = number = number + 1
    self._cursors[BATCHES] = number
    if number == self._fold_at[BATCHES]:
        self._fold_ring(BATCHES)
    self._waits(queue_s)


def _nothing(self: Any) -> None:
    """The silent recorder's methods."""


def _no_look(self: Any) -> None:
    """Never again."""
    self.looks = False


Replaced = Mapping[str, Callable[..., None]]
ARMS: Final[Mapping[str, Replaced]] = {
    "recorded": {},
    "metrics alone": {
        "arrival": _arrival,
        "finished": _finished,
        "batch": _batch,
        "answered": _nothing,
        "look": _no_look,
    },
    "silent": {
        **dict.fromkeys(("arrival", "finished", "batch", "answered", "in_flight", "waiting"), _nothing),
        "look": _no_look,
    },
}
"""The recorder's methods that do something else in each copy."""


class _Bodies(ast.NodeTransformer):
    """Gives methods other bodies."""

    def __init__(self, bodies: Mapping[str, list[ast.stmt]]) -> None:
        self._bodies = bodies

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.body = self._bodies.get(node.name, node.body)
        return node


class _OwnNames(ast.NodeTransformer):
    """``recorder.NAME`` is plain ``NAME`` within the recorder's own module."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        is_own = isinstance(node.value, ast.Name) and node.value.id == "recorder"
        return ast.copy_location(ast.Name(node.attr, node.ctx), node) if is_own else node


def _body(function: Callable[..., None]) -> list[ast.stmt]:
    (parsed,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(parsed, ast.FunctionDef)
    return [_OwnNames().visit(statement) for statement in parsed.body]


def rewritten(source: str, replaced: Replaced) -> str:
    """The recorder's module with these methods instead of its own."""
    bodies = {name: _body(function) for name, function in replaced.items()}
    return ast.unparse(ast.fix_missing_locations(_Bodies(bodies).visit(ast.parse(source))))


def compiled(arm: str) -> Path:
    """The folder of the compiled copy for ``arm``; made anew where the source has changed."""
    base = Path(
        subprocess.run([ROOT / "scripts" / "compiled"], capture_output=True, text=True, check=True).stdout.strip()
    )
    if not ARMS[arm]:
        return base
    copy = ROOT / ".cache" / "recording" / arm.replace(" ", "-")
    stamp, wanted = copy.with_suffix(".is"), base.with_suffix(".is").read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return copy
    print(f"Compiling a server for {arm!r} ...", file=sys.stderr)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(base, copy, symlinks=True, ignore=shutil.ignore_patterns("*.so", "build"))
    path = copy / RECORDER
    path.write_text(rewritten(path.read_text(), ARMS[arm]))
    environment = {**os.environ, "RAPIDE_COMPILE": "1"}
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(command, cwd=copy, env=environment, check=True, stdout=subprocess.DEVNULL)
    stamp.write_text(wanted)
    return copy


class _Worker:
    """The worker of a running server."""

    def __init__(self, process: ServerProcess, ports: Ports) -> None:
        self.ports = ports
        supervisor = process._process.pid
        (self._pid,) = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()

    def cpu_s(self) -> float:
        """Of all its threads (the first figure of schedstat is nanoseconds on a processor)."""
        tasks = Path(f"/proc/{self._pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) * 1e-9


@contextlib.contextmanager
def serving(copy: Path, folder: Path, log: Path) -> Iterator[_Worker]:
    ports = Ports()
    command = [
        *(sys.executable, "-P", "-m", "rapide", "serve", str(folder), "--workers", "1", "--host", HOST),
        *("--http-port", str(ports.http), "--grpc-port", str(ports.grpc), "--metrics-port", str(ports.metrics)),
        *("--no-reserve", "--tuning", "off"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    with ServerProcess(pinned(command), log, environment) as process:
        process.wait_until(lambda: rapide_is_ready(ports))
        yield _Worker(process, ports)


def groups_us(
    workers: Mapping[str, _Worker], data: Path, load: tuple[str, str], groups: int, requests: int
) -> dict[str, list[float]]:
    """Microseconds by request, for each arm by group."""
    found: dict[str, list[float]] = {name: [] for name in workers}
    names = list(workers)
    for group in range(groups):
        for place in range(len(names)):
            name = names[(group + place) % len(names)]
            found[name].append(round_us(workers[name], data, load, requests))
    return found


def told(name: str, found: Mapping[str, Sequence[float]]) -> str:
    """One line: the medians of the arms, and the differences within the groups."""
    medians = "  ".join(f"{arm_} {statistics.median(took):6.2f}" for arm_, took in found.items())
    recorded, metrics, silent = (found[arm_] for arm_ in ARMS)
    return (
        f"{name:<13} {medians} µs   the profile adds {_difference(recorded, metrics)}   "
        f"all recording {_difference(recorded, silent)}"
    )


def _difference(one: Sequence[float], other: Sequence[float]) -> str:
    """The median, and its 95 % interval by order statistics: a round that something disturbed spoils neither."""
    differences = sorted(mine - yours for mine, yours in zip(one, other, strict=True))
    count = len(differences)
    outside = [sum(math.comb(count, below) for below in range(place + 1)) / 2**count for place in range(count)]
    cut = max((place + 1 for place in range(count // 2) if outside[place] <= 0.025), default=0)
    low, high = differences[cut], differences[count - 1 - cut]
    return f"{statistics.median(differences):5.2f} µs ({low:.2f} to {high:.2f})"


def measure(sittings: int, groups: int, requests: int, folder: Path) -> None:
    publish_version(folder / "models", "linear", models.linear())
    data = folder / "request"
    data.write_bytes(request())
    copies = {arm: compiled(arm) for arm in ARMS}
    found: dict[str, dict[str, list[float]]] = {name: {arm: [] for arm in ARMS} for name in LOADS}
    for _ in range(sittings):
        with contextlib.ExitStack() as stack:
            workers = {
                arm: stack.enter_context(serving(copy, folder / "models", folder / f"{copy.name}.log"))
                for arm, copy in copies.items()
            }
            for name, load in LOADS.items():
                count = requests // 4 if load == ("1", "1") else requests
                groups_us(workers, data, load, 1, count)  # warms up
                for arm, took_us in groups_us(workers, data, load, groups, count).items():
                    found[name][arm] += took_us
    for name, of_arms in found.items():
        print(told(name, of_arms), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sittings", type=int, default=4, help="how often all servers are started (default: 4)")
    parser.add_argument("--groups", type=int, default=8, help="of three rounds, for each load (default: 8)")
    parser.add_argument("--requests", type=int, default=12_000, help="of each round (default: 12000)")
    parser.add_argument("--compile", action="store_true", help="make the copies, and end")
    arguments = parser.parse_args()
    if not two_cores():
        print("This needs two cores: one for the server, one for h2load.", file=sys.stderr)
        return 1
    if arguments.compile:
        print(*(compiled(arm) for arm in ARMS), sep="\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments.sittings, arguments.groups, arguments.requests, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
