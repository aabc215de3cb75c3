"""``rapide replay``: a usage profile played at a running server, at its own instants."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapide.cli.printable import printable
from rapide.cli.report_page import check_folder, check_page, write_page
from rapide.server.errors import InvalidRequest, RapideError

if TYPE_CHECKING:
    from rapide.loadtests.replay.plan import ModelArrivals, ReplayPlan
    from rapide.loadtests.replay.result import ReplayResult
    from rapide.loadtests.replay.run import Progress
    from rapide.loadtests.slo import Objective
    from rapide.profiles.document import Profile

EXAMPLES = """\
examples:
  rapide replay profile.json grpc://localhost:8001                       as it was recorded
  rapide replay profile.json grpc://localhost:8001 --speed 2x --slo 'p99<5ms,errors<0.1%'
  rapide replay profile.json http://localhost:8000 --protocol binary --html report.html
  rapide replay profile.json grpc://localhost:8001 --twin --duration 60 --rate 5000 --processes 2
  rapide replay flood.json grpc://localhost:8001 --skip-idle 1           five quiet days pass in minutes
  rapide replay profile.json grpc://localhost:8001 --save new.npz --against old.npz
  rapide replay profile.json grpc://server:8001 --part 1/2 --start-at 12:00:00 --save a.npz     on one host
  rapide replay profile.json grpc://server:8001 --part 2/2 --start-at 12:00:00 --save b.npz     on another
  rapide replay merge a.npz b.npz --slo 'p99<5ms'                                               then
"""
MISSED, INTERRUPTED = 1, 130


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "replay",
        help="play a usage profile at a running server",
        description="Plays a usage profile at a running server in an open loop: every request leaves at its own "
        "instant, whatever comes back, and its latency counts from that instant. Says so where the generator "
        "itself, and not the server, was the bottleneck. Input tensors are drawn to fit what the server says of "
        "its models, or taken from recorded rows.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "profile", metavar="PROFILE|merge", help="what `rapide profile --save` wrote, or a server (http://…)"
    )
    parser.add_argument(
        "targets", nargs="+", metavar="URL|FILE", help="the server: grpc://host:8001 or http://host:8000; for "
        "merge, the saved parts of several hosts"
    )  # fmt: skip
    _what(parser.add_argument_group("what is sent"))
    _how(parser.add_argument_group("how"))
    _results(parser.add_argument_group("what comes of it"))
    parser.set_defaults(run=run)


def _what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--speed", default="1x", metavar="N", help="2x plays twice as fast (default: 1x)")
    group.add_argument(
        "--skip-idle", type=float, default=0.0, metavar="S", help="cut pauses that are longer than this to it"
    )
    group.add_argument(
        "--duration", type=float, default=0.0, metavar="S", help="only so much of the profile, pauses included"
    )
    group.add_argument(
        "--twin", action="store_true", help="not the recorded arrivals, but others that are like them"
    )
    group.add_argument("--rate", type=float, default=0.0, metavar="N", help="a twin's mean requests per second")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="a twin of another seed is another one")
    group.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="only this model (may be repeated)"
    )
    group.add_argument(
        "--pin-versions", action="store_true", help="ask for the recorded versions, not for the server's choice"
    )
    group.add_argument(
        "--rows-from",
        action="append",
        default=[],
        metavar="[MODEL=]FILE",
        help="recorded rows: golden.npz of a version, or an .npz with arrays named like the inputs",
    )
    group.add_argument(
        "--examples",
        default="",
        metavar="URL",
        help="send the example row of a rapide server, known by its administrative port (http://host:8002), "
        "instead of random values",
    )


def _how(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--protocol",
        choices=("grpc", "json", "binary"),
        default="",
        help="default: gRPC, or what the profile has more of for http://",
    )
    group.add_argument("--processes", type=int, default=1, metavar="N", help="of the generator (default: 1)")
    group.add_argument(
        "--connections",
        type=int,
        default=0,
        metavar="N",
        help="in all (default: 16 for gRPC, as many as needed for HTTP)",
    )
    group.add_argument(
        "--part", default="1/1", metavar="K/N", help="of N hosts that share a replay, this is the K-th"
    )
    group.add_argument(
        "--start-at", default="", metavar="TIME", help="UTC, such as 12:00:00 or 2026-11-25T12:00:00Z"
    )
    group.add_argument("--timeout", type=float, default=10.0, metavar="S", help="give up after (default: 10)")
    group.add_argument(
        "--spin",
        type=float,
        default=0.0,
        metavar="US",
        help="watch the clock so many microseconds before an instant: more punctual if a core is free for it",
    )


def _results(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--slo", default="", help="what must hold, such as 'p99<5ms,errors<0.1%%'; exit 1 if not")
    group.add_argument("--html", metavar="FILE", help="write a report (needs the extra: reports)")
    group.add_argument("--save", metavar="FILE", help="keep every request's figures (.npz), for --against")
    group.add_argument("--against", metavar="FILE", help="compare with a saved replay of the same arrivals")
    group.add_argument("--json", action="store_true", help="print one JSON object, for scripts")


def run(args: argparse.Namespace) -> int:
    """Replays and reports. 0: done, and the objectives hold; 1: one does not, it ended early, or a file could not
    be written; 130: interrupted.

    Raises RapideError where nothing can be replayed.
    """
    from rapide.loadtests import slo  # noqa: PLC0415 - numpy, grpc: not for `rapide --help`
    from rapide.loadtests.replay import report  # noqa: PLC0415
    from rapide.loadtests.replay.compare import compare  # noqa: PLC0415
    from rapide.loadtests.replay.plan import ReplayError  # noqa: PLC0415

    objectives = _objectives(args.slo)
    check_page(None if args.html is None else Path(args.html))
    if args.save:
        check_folder(Path(args.save), "--save")
    try:
        before = _saved(args.against)
        found, facts = _merged(args) if args.profile == "merge" else _replayed(args)
        compared = None if before is None else compare(before, found)
    except ReplayError as error:
        raise RapideError(error.message, hint=error.hint) from None
    verdicts = slo.judge(objectives, found)
    missing = _kept(args, found, lambda: report.page(found, facts, verdicts, compared))
    if args.json:
        print(json.dumps(report.to_json(found, verdicts, compared), ensure_ascii=False))
    else:
        print(printable("\n".join(report.lines(found, verdicts, compared)), kept="\n"))  # servers gave reasons
    for text in missing:
        print(f"rapide: {text}", file=sys.stderr)
    if found.stopped == "interrupted":
        return INTERRUPTED
    holds = all(verdict.holds for verdict in verdicts) and found.answered and not found.stopped
    return 0 if holds and not missing else MISSED


def _kept(args: argparse.Namespace, found: ReplayResult, make_page: Callable[[], Any]) -> list[str]:
    """Writes what is to be kept. Gives what could not be: the figures were measured, and are told all the same."""
    missing = []
    if args.save:
        try:
            found.save(Path(args.save))
        except OSError as error:
            missing.append(f"--save: {args.save} was not written: {error.strerror or error}")
    if args.html and (text := write_page(Path(args.html), make_page)):
        missing.append(text)
    return missing


def _replayed(args: argparse.Namespace) -> tuple[ReplayResult, Mapping[str, str]]:
    """What a replay found, and how it was run."""
    from rapide.cli.profile_source import read_profile  # noqa: PLC0415
    from rapide.loadtests.replay.run import replay  # noqa: PLC0415

    if len(args.targets) != 1:
        raise InvalidRequest(f"expected one server, got {len(args.targets)}: {', '.join(args.targets)}.")
    plan = _plan(args, read_profile(args.profile))
    with _progress(quiet=args.json) as on_progress:
        return replay(plan, on_progress), _facts(args, plan)


def _merged(args: argparse.Namespace) -> tuple[ReplayResult, Mapping[str, str]]:
    """The saved parts of several hosts."""
    from rapide.loadtests.replay.result import ReplayResult  # noqa: PLC0415

    try:
        parts = [ReplayResult.load(Path(path)) for path in args.targets]
    except ValueError as error:
        raise InvalidRequest(f"merge: {error}.", hint="Keep each host's part with --save FILE.") from None
    return ReplayResult.merged(parts), {"merged from": ", ".join(args.targets)}


def _part(text: str) -> tuple[int, int]:
    try:
        number, of = text.split("/")
        return int(number), int(of)
    except ValueError:
        raise InvalidRequest(f"--part: {text!r} is no part.", hint="Write 1/2 or 2/2.") from None


def _start_at_s(text: str) -> float:
    """Epoch seconds; a time without a date is today's."""
    if not text:
        return 0.0
    try:
        now = datetime.now(UTC)
        given = datetime.fromisoformat(text if "-" in text else f"{now:%Y-%m-%d}T{text}")
    except ValueError:
        raise InvalidRequest(f"--start-at: {text!r} is no time.", hint="Write 12:00:00, in UTC.") from None
    return (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()


def _plan(args: argparse.Namespace, profile: Profile) -> ReplayPlan:
    from rapide.loadtests.replay.plan import ReplayPlan  # noqa: PLC0415
    from rapide.loadtests.replay.source import encoding_of  # noqa: PLC0415

    requests = _requests(args, profile)
    url = args.targets[0] if "://" in args.targets[0] else f"http://{args.targets[0]}"
    protocol = args.protocol or (encoding_of(profile) if url.startswith("http:") else "")
    return ReplayPlan(
        url=url,
        requests=requests,
        speed=_speed(args.speed),
        protocol=protocol,
        processes=args.processes,
        timeout_s=args.timeout,
        connections=args.connections,
        spin_us=args.spin,
        skip_idle_s=args.skip_idle,
        rows_from=_rows_from(args.rows_from, [each.model for each in requests]),
        examples_url=args.examples,
        part=_part(args.part),
        start_at_s=_start_at_s(args.start_at),
    )


def _requests(args: argparse.Namespace, profile: Profile) -> list[ModelArrivals]:
    from rapide.loadtests.replay.source import Twin, exact, twins  # noqa: PLC0415

    chosen: dict[str, Any] = {"models": args.model, "pin_versions": args.pin_versions}
    if args.twin:
        return twins(profile, Twin(args.seed, args.duration, args.rate), **chosen)
    if args.rate:
        raise InvalidRequest("--rate belongs to a twin.", hint="Add --twin, or play faster with --speed 2x.")
    return exact(profile, duration_s=args.duration, **chosen)


def _speed(text: str) -> float:
    try:
        return float(text.removesuffix("x"))
    except ValueError:
        raise InvalidRequest(f"--speed: {text!r} is no speed.", hint="Write 1x, 2x or 0.5x.") from None


def _rows_from(given: list[str], models: list[str]) -> dict[str, Path]:
    """By model; a file without a model's name is for all of them."""
    files: dict[str, Path] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if separator and name not in models:
            raise InvalidRequest(f"--rows-from: {name!r} is not replayed; {', '.join(models)} are.")
        files.update({name: Path(path)} if separator else dict.fromkeys(models, Path(text)))
    return files


def _objectives(text: str) -> tuple[Objective, ...]:
    from rapide.loadtests import slo  # noqa: PLC0415

    try:
        return slo.parse(text)
    except ValueError as error:
        raise InvalidRequest(f"--slo: {error}.") from None


def _saved(path: str | None) -> ReplayResult | None:
    from rapide.loadtests.replay.result import ReplayResult  # noqa: PLC0415

    try:
        return None if path is None else ReplayResult.load(Path(path))
    except ValueError as error:
        raise InvalidRequest(f"--against: {error}.", hint="Keep a replay with --save FILE.") from None


def _facts(args: argparse.Namespace, plan: ReplayPlan) -> Mapping[str, str]:
    """What was asked for, for the report."""
    return {
        "profile": str(args.profile),
        "server": plan.url,
        "protocol": plan.encoding,
        "arrivals": f"a twin, seed {args.seed}" if args.twin else "as recorded",
        "speed": f"{plan.speed:g}x",
        "processes": str(plan.processes),
        "timeout": f"{plan.timeout_s:g} s",
        "models": ", ".join(dict.fromkeys(each.model for each in plan.requests)),
    }


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A bar on standard error, where that is a terminal and nobody asked for JSON."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - takes longer to import than most commands to run
    from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (
        TextColumn("replaying"),
        BarColumn(),
        TextColumn(
            "{task.fields[sent]:,} sent, {task.fields[answered]:,} answered, {task.fields[failed]:,} failed"
        ),
        TextColumn("{task.fields[left]:.0f} s left"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True, refresh_per_second=2) as bar:
        task = bar.add_task("", total=1.0, sent=0, answered=0, failed=0, left=0.0)

        def show(now: Progress) -> None:
            whole_s = now.elapsed_s + now.left_s
            share = now.elapsed_s / whole_s if whole_s else 1.0
            bar.update(
                task, completed=share, sent=now.sent, answered=now.answered, failed=now.failed, left=now.left_s
            )

        yield show
