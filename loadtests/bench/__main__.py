"""``scripts/bench``: measures, prints the page, and keeps the results."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from rapide.loadtests.bench import report
from rapide.loadtests.bench.run import FULL, QUICK, run

PAGE = Path("docs/benchmarks.md")


def main() -> None:
    arguments = _arguments()
    if arguments.render:
        PAGE.write_text(report.render(json.loads(arguments.render.read_text())))
        print(f"wrote {PAGE}")
        return
    asked = {"rounds": arguments.rounds, "duration_s": arguments.seconds, "in_flight": arguments.in_flight}
    plan = dataclasses.replace(
        QUICK if arguments.quick else FULL, **{name: value for name, value in asked.items() if value}
    )
    results = run(plan, lambda text: print(f"… {text}", file=sys.stderr, flush=True))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(report.render(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Hand-written servers and rapide, side by side on one core: requests per second, latency in "
        "closed loops and at a fixed arrival rate, time to ready, memory.",
        epilog="example: scripts/bench --json docs/benchmarks.json && scripts/bench --render docs/benchmarks.json",
    )
    parser.add_argument("--quick", action="store_true", help="one short round of one model: a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results there")
    parser.add_argument("--in-flight", type=int, nargs="+", metavar="N", help="requests in flight")
    parser.add_argument("--rounds", type=int, help="rounds of all contestants in turn")
    parser.add_argument("--seconds", type=float, help="how long each measurement takes")
    parser.add_argument(
        "--render", type=Path, metavar="FILE", help=f"write {PAGE} from these results; measure nothing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
