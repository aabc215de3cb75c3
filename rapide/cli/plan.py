"""``rapide plan``: how many cores and replicas a load needs, by the simulator that ``rapide tune`` uses."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from rapide.cli.stopping import cleared_away

EXAMPLES = """\
examples:
  rapide plan models/ car-price --profile profile.json --rate 1e6 --slo 'p99<10ms'
  rapide plan models/ car-price --profile profile.json --rate 50000 --slo 'p99<5ms' --headroom 0.5 --json

A replica is a server with as many cores as are used here, on this processor. What the model costs is measured
first, unless `rapide tune` did so already. The rate is the highest that is expected, in requests per second: how
it comes about within a second (bursts) is the profile's. """


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "plan",
        help="say how many cores and replicas a load needs",
        description="Simulates the recorded traffic at higher and higher rates, finds what one replica bears "
        "within the SLO, and says how many a load needs, for every variant of the model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", help="a model repository, or one .onnx file")
    parser.add_argument("name", help="the model")
    parser.add_argument("--version", type=int, default=0, metavar="N", help="which version (default: the newest)")
    parser.add_argument("--profile", metavar="FILE", required=True, help="the recorded usage: a file or a server")
    parser.add_argument("--rate", type=float, required=True, metavar="N", help="requests per second at the peak")
    parser.add_argument("--slo", required=True, help="what must hold, such as p99<10ms")
    parser.add_argument(
        "--headroom", type=float, default=0.3, metavar="X", help="share of a replica to keep free (default: 0.3)"
    )
    parser.add_argument("--cores", type=int, default=0, metavar="N", help="of one replica (default: all usable)")
    parser.add_argument("--tuning", metavar="DIR", help="folder of tuning files, where measurements are kept")
    parser.add_argument(
        "--protocol",
        choices=("grpc", "json", "binary"),
        help="of the callers (default: as most requests of the profile came)",
    )
    parser.add_argument("--any-version", action="store_true", help="take a profile of another version")
    parser.add_argument("--quick", action="store_true", help="measure a third as long, and be less sure")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.set_defaults(run=run, objective="throughput", rounds=0, within=270.0)


@cleared_away()
def run(args: argparse.Namespace) -> int:
    """Plans. 1 where no variant holds the SLO at any load. Raises RapideError."""
    from rapide.cli.tune import Progress, make_request  # noqa: PLC0415 - see main.py
    from rapide.server.errors import SettingsError  # noqa: PLC0415
    from rapide.tuning.capacity import plans  # noqa: PLC0415
    from rapide.tuning.tune import learn  # noqa: PLC0415

    if not 0 < args.rate < math.inf or not 0 <= args.headroom < 1:
        raise SettingsError(
            f"--rate {args.rate:g} and --headroom {args.headroom:g}: expected above 0, and a share below 1."
        )
    request = make_request(args)
    with Progress(quiet=args.json) as progress:
        setting, notes = learn(request, lambda text, share: progress(text, 0.7 * share), progress.note)
        found = plans(setting, args.rate, lambda text, share: progress(text, 0.7 + 0.3 * share), args.headroom)
    if args.json:
        document = {
            "rate_per_s": args.rate,
            "slo": str(request.slo),
            "cpu": request.cpu,
            "headroom": args.headroom,
            "plans": [one.to_json() for one in found],
            "notes": notes,
        }
        print(json.dumps(document, ensure_ascii=False))
    else:
        print("\n".join([*lines(found, args.rate, request, args.headroom), *(f"note: {note}" for note in notes)]))
    return 0 if any(one.replicas for one in found) else 1


def lines(found: list[Any], rate_per_s: float, request: Any, headroom: float) -> list[str]:
    """The plans, for a terminal."""
    from rapide.tuning.slo import seconds  # noqa: PLC0415 - see main.py

    name = request.slo.main.name
    head = f"{'variant':<16} {'bears/s':>10} {'planned/s':>10} {name:>9} {'replicas':>9} {'spare':>6} {'cores':>8}"
    rows = [
        f"{one.variant or 'model.onnx':<16} {one.bears_per_s:>10,.0f} {one.planned_per_s:>10,.0f} "
        f"{seconds(one.percentile_s):>9} {one.replicas:>9,} {one.spare:>6,} {one.cores:>8,}   "
        f"{one.configuration.words}"
        if one.replicas
        else f"{one.variant or 'model.onnx':<16} holds {request.slo} at no load"
        for one in found
    ]
    return [
        f"{request.entry.model}/{request.entry.version} at {rate_per_s:,.0f} requests/s, {request.slo}, "
        f"replicas of {len(request.cpus)} cores of {request.cpu}",
        "",
        head,
        *rows,
        "",
        f"Head-room: a replica gets at most {1 - headroom:.0%} of what it bears within the SLO; one replica in "
        "twenty, and at least one, is spare.",
        "Times are those of the server and this machine's loopback; add the network between callers and replicas.",
    ]
