"""Where a request's time goes: samples a server's stacks while it is busy, and lists the functions they stood in.

    scripts/profile-lane rapide-json --in-flight 8

py-spy takes the samples (``pip install py-spy``; it needs root, or ptrace allowed). It stops the server for each
of them, so the rate below is less than the bench's, but the stacks are right. C code counts for the Python
function that called it; ``Runner.run`` itself is the event loop, waiting included.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rapide.loadtests.bench import contestants, generators, processes, workloads
from rapide.loadtests.bench.contestants import CONTESTANTS, Ports
from rapide.loadtests.bench.generators import Load
from rapide.loadtests.bench.meter import Meter
from rapide.loadtests.bench.processes import ServerProcess, pinned
from rapide.loadtests.bench.workloads import WORKLOADS

SAMPLES_PER_S = 250
WARM_UP_S = 1.0
LINES = 30
WAITING = ("_worker (futures/thread.py)", "Condition.wait (threading.py)", "wait (threading.py)")
"""Where idle threads stand, as they are told by ``_function``; the sampler takes them for running ones."""
_FRAME = re.compile(r"^(?P<function>.+?) \((?P<file>.+?)(:\d+)?\)$")


class ProfilerFailed(RuntimeError):
    """py-spy ended with an error: its message."""


@dataclass(frozen=True, slots=True)
class Share:
    """One function: the shares of the samples in which it was running itself, and in which it was on the stack."""

    function: str
    itself: float
    with_callees: float


def shares(stacks: str) -> list[Share]:
    """From py-spy's raw format, a line for each stack: frames from the outermost, split by ``;``, then a count."""
    itself: Counter[str] = Counter()
    on_stack: Counter[str] = Counter()
    total = 0
    for line in stacks.splitlines():
        text, _, count = line.rpartition(" ")
        frames = [_function(frame) for frame in text.split(";")]
        if frames[-1] in WAITING:
            continue
        total += int(count)
        itself[frames[-1]] += int(count)
        for frame in set(frames):
            on_stack[frame] += int(count)
    found = [Share(name, itself[name] / total, samples / total) for name, samples in on_stack.items()]
    return sorted(found, key=lambda share: (-share.itself, -share.with_callees, share.function))


def _function(frame: str) -> str:
    """``name (folder/file.py)`` without the line, so that a function is one entry."""
    found = _FRAME.match(frame)
    if not found:
        return frame
    return f"{found['function']} ({'/'.join(Path(found['file']).parts[-2:])})"


def table(found: Sequence[Share], lines: int = LINES) -> str:
    """As text, the busiest first."""
    rows = [f"{share.itself:7.1%} {share.with_callees:7.1%}  {share.function}" for share in found[:lines]]
    return "\n".join([" itself    all    function", *rows])


def main(arguments: Sequence[str] | None = None) -> int:
    options = _arguments(arguments)
    profiler = _profiler()
    if profiler is None:
        print("py-spy is not installed: pip install py-spy", file=sys.stderr)
        return 2
    contestant = {each.name: each for each in CONTESTANTS}[options.contestant]
    processes.pin_generator()
    with tempfile.TemporaryDirectory() as name:
        model = workloads.export(WORKLOADS[options.model], Path(name))
        ports = Ports()
        command = pinned(contestant.server.command(model.parent, ports))
        with ServerProcess(command, Path(name) / "server.log") as server:
            server.wait_until(lambda: contestant.server.is_ready(ports))
            payload = workloads.payload(model, 1)
            target = contestants.target(contestant, payload, ports)
            size_bytes = contestants.check(target, workloads.answer(model, payload))
            load = Load(options.in_flight, WARM_UP_S, contestant.connections)
            generators.measure(target, load, size_bytes)
            stacks = Path(name) / "stacks"
            with ThreadPoolExecutor(1) as threads, Meter(server) as meter:
                spy = threads.submit(_spy, profiler, server.busiest(), options.seconds, stacks)
                load = dataclasses.replace(load, duration_s=options.seconds + 1)
                rate = generators.measure(target, load, size_bytes)
            spy.result()
        print(table(shares(stacks.read_text()), options.lines))
    each_us = meter.cost.server_cpu_s / rate.requests * 1e6
    print(
        f"\n{contestant.title}, {WORKLOADS[options.model].title}, {options.in_flight} in flight, while sampled: "
        f"{rate.requests_per_s:,.0f} requests/s, {each_us:.1f} µs of processor time each"
    )
    return 0


def _profiler() -> str | None:
    """py-spy's path: beside this interpreter, or wherever commands are looked for."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def _spy(profiler: str, pid: int, seconds: float, stacks: Path) -> None:
    command = [
        profiler,
        *("record", "--pid", str(pid), "--duration", f"{seconds:.0f}", "--rate", str(SAMPLES_PER_S)),
        *("--format", "raw", "--output", str(stacks)),
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        raise ProfilerFailed(said.stderr.strip() or said.stdout.strip())


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/profile-lane",
        description="Samples a server's stacks while it answers a closed loop, and lists the functions that "
        "were running: by themselves, and with what they called.",
        epilog="examples: scripts/profile-lane rapide-grpc --in-flight 32 · scripts/profile-lane rapide-json",
    )
    names = [each.name for each in CONTESTANTS]
    parser.add_argument(
        "contestant", nargs="?", choices=names, default="rapide-grpc", help=f"one of {', '.join(names)}"
    )
    parser.add_argument("--model", choices=WORKLOADS, default="logistic-regression", help="(default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=8, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="(default: %(default)s)")
    parser.add_argument(
        "--lines", type=int, default=LINES, metavar="N", help="functions shown (default: %(default)s)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
