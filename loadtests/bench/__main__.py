"""``scripts/bench``: measures, prints the page, and keeps the results."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rapide.loadtests.bench import report
from rapide.loadtests.bench.generators import GeneratorFailed
from rapide.loadtests.bench.plan import FULL, PARTS, QUICK, Plan
from rapide.loadtests.bench.processes import NotReady
from rapide.loadtests.bench.run import run
from rapide.loadtests.bench.workloads import WORKLOADS
from rapide.loadtests.replay.generator import Refused

PAGE = Path("docs/benchmarks.md")
CHANGES = {
    "rounds": "rounds",
    "seconds": "duration_s",
    "parts": "parts",
    "models": "workloads",
    "limit": "limit_s",
    "larger": "larger",
    "real_time": "real_time",
}
"""What each option changes in the plan."""
HARMLESS = {"limit_s", "larger", "real_time"}
"""Changes after which a full run is still one."""


def main() -> int:
    # Unwinds, so that the servers end: most of them are paused, and would stay for ever.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = _arguments()
    if arguments.render:
        PAGE.write_text(report.render(json.loads(arguments.render.read_text())))
        print(f"wrote {PAGE}")
        return 0

    def keep(found: dict[str, Any]) -> None:
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1) + "\n")

    try:
        results = run(_plan(arguments), _progress(), keep)
    except (GeneratorFailed, NotReady, Refused, ValueError, OSError) as error:
        print(f"scripts/bench: {error}", file=sys.stderr)
        return 1
    print(report.render(results))
    return 0


def _plan(arguments: argparse.Namespace) -> Plan:
    plan = QUICK if arguments.quick else FULL
    asked = {field: getattr(arguments, option) for option, field in CHANGES.items()}
    changes: dict[str, Any] = {
        field: tuple(value) if isinstance(value, list) else value for field, value in asked.items() if value
    }
    if arguments.in_flight:
        changes |= {"grpc_in_flight": tuple(arguments.in_flight), "http_in_flight": tuple(arguments.in_flight)}
    if arguments.seconds:
        changes["open_s"] = arguments.seconds
    return dataclasses.replace(plan, quick=plan.quick or bool(changes.keys() - HARMLESS), **changes)


def _progress() -> Callable[[str], None]:
    begun_s = time.monotonic()

    def say(text: str) -> None:
        gone = round(time.monotonic() - begun_s)
        print(f"{gone // 60:3d}:{gone % 60:02d}  {text}", file=sys.stderr, flush=True)

    return say


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Hand-written servers and rapide, side by side on one core: requests per second and latency "
        "in closed loops and at a fixed arrival rate, a larger model, two workers, a crowd of connections, time "
        "to ready, memory; and beside each goal what was measured. A full run takes some 22 minutes.",
        epilog="examples: scripts/bench --quick · scripts/bench --parts closed --models gradient-boosting "
        "--rounds 2 · scripts/bench --json docs/benchmarks.json && scripts/bench --render docs/benchmarks.json",
    )
    parser.add_argument("--quick", action="store_true", help="one short round of one model: a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results there, after each round")
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        metavar="PART",
        help="only these: " + "; ".join(f"{name} ({what})" for name, what in PARTS.items()),
    )
    parser.add_argument(
        "--models", nargs="+", choices=WORKLOADS, metavar="NAME", help=f"small ones: {', '.join(WORKLOADS)}"
    )
    parser.add_argument(
        "--larger",
        nargs="+",
        metavar="PATH",
        help="an .onnx file, or a published version's folder, measured as a larger model besides ours",
    )
    parser.add_argument("--in-flight", type=int, nargs="+", metavar="N", help="requests in flight, closed loops")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of all contestants in turn")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long each measurement takes")
    parser.add_argument(
        "--limit", type=float, metavar="S", help="begin no round that would end after this (default: 1500)"
    )
    parser.add_argument(
        "--real-time",
        action="store_true",
        help="at a fixed arrival rate, run each server before all else on its core (needs root), so that what "
        "else the machine does is in nobody's latency",
    )
    parser.add_argument(
        "--render", type=Path, metavar="FILE", help=f"write {PAGE} from these results; measure nothing"
    )
    arguments = parser.parse_args()
    if arguments.parts and "open" in arguments.parts and "closed" not in arguments.parts:
        parser.error("--parts open needs closed too: it finds out how many requests a second are sent")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
