"""``rapide tune``: finds how a model is best run on this machine for how it is used, and writes it down."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapide.cli.printable import printable
from rapide.cli.report_page import check_page, write_page
from rapide.cli.stopping import cleared_away

if TYPE_CHECKING:  # heavy at run time
    from rapide.tuning.found import Found, Request

EXAMPLES = """\
examples:
  rapide profile http://localhost:8002 --save profile.json       how a server is used
  rapide tune models/ car-price --profile profile.json --slo 'p99<5ms'
  rapide tune models/ car-price --profile profile.json --slo 'p99<5ms' --objective cost --html tuning.html
  rapide tune models/ car-price --explain                        why it runs as it does here

`rapide serve` finds the file that this writes and says so in its banner. Ctrl-C keeps what was measured: the next
run goes on from there.
"""
QUICK = 0.34
PRINT_EVERY_S = 10.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "tune",
        help="find how a model is best run on this machine for how it is used",
        description="Measures what the model costs here, simulates recorded traffic under hundreds of "
        "configurations, proves the best ones by replay against a real server, and writes a tuning file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", help="a model repository, or one .onnx file")
    parser.add_argument("name", help="the model")
    parser.add_argument("--version", type=int, default=0, metavar="N", help="which version (default: the newest)")
    parser.add_argument(
        "--profile",
        metavar="FILE",
        help="the recorded usage, as `rapide profile --save` writes it, or a server (http://…)",
    )
    parser.add_argument("--slo", help="what must hold, such as p99<5ms or p99<5ms,p50<1ms,errors<0.1%%")
    parser.add_argument(
        "--objective",
        choices=("latency", "throughput", "cost"),
        default="latency",
        help="what is best: the lowest latency at the SLO's highest percentile (default), the most load within "
        "the SLO, or the least processor time within it",
    )
    parser.add_argument("--cores", type=int, default=0, metavar="N", help="how many cores (default: all usable)")
    parser.add_argument("--tuning", metavar="DIR", help="folder of tuning files (default: where serve looks)")
    parser.add_argument(
        "--protocol",
        choices=("grpc", "json", "binary"),
        help="of the replays (default: as most requests of the profile came)",
    )
    parser.add_argument(
        "--any-version", action="store_true", help="take a profile of another version of the model"
    )
    parser.add_argument(
        "--rounds", type=int, default=4, metavar="N", help="replays of each candidate, at most (default: 4)"
    )
    parser.add_argument(
        "--within", type=float, default=270.0, metavar="S", help="seconds that it may take (default: 270)"
    )
    parser.add_argument("--quick", action="store_true", help="measure a third as long, and be less sure")
    parser.add_argument("--fresh", action="store_true", help="measure again what is known from an earlier run")
    parser.add_argument("--html", metavar="FILE", help="write an HTML page with the plots (extra: reports)")
    parser.add_argument("--explain", action="store_true", help="say why the present tuning is what it is, and end")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.set_defaults(run=run)


@cleared_away()
def run(args: argparse.Namespace) -> int:
    """Tunes, or explains. Raises RapideError."""
    from rapide.server.errors import SettingsError  # noqa: PLC0415 - see main.py

    if args.explain:
        return _explain(args)
    for name in ("profile", "slo"):
        if getattr(args, name) is None:
            raise SettingsError(f"--{name} is missing.", hint="See the examples in rapide tune --help.")
    if not args.within > 0 or args.rounds < 0:
        raise SettingsError(
            f"--within {args.within:g} and --rounds {args.rounds}: expected above 0, and not below 0."
        )
    check_page(None if args.html is None else Path(args.html), "--html")
    request = make_request(args)
    if args.fresh:
        request.learnt_path.unlink(missing_ok=True)
    return _tune(args, request)


def make_request(args: argparse.Namespace) -> Request:
    """What the command line asks for. Raises RapideError."""
    from rapide.cli.profile_source import read_profile  # noqa: PLC0415 - see main.py
    from rapide.profiles.errors import ProfileError  # noqa: PLC0415
    from rapide.tuning.errors import TuningError  # noqa: PLC0415
    from rapide.tuning.found import Request  # noqa: PLC0415
    from rapide.tuning.inputs import Inputs, varying  # noqa: PLC0415
    from rapide.tuning.proven import recorded_usage  # noqa: PLC0415
    from rapide.tuning.slo import Slo  # noqa: PLC0415
    from rapide.tuning.traffic import WINDOW_S, busier, busiest, used, usual_protocol  # noqa: PLC0415

    slo = Slo.parse(args.slo)
    entry = find_version(args.models, args.name, args.version)
    digest = _digest(entry)
    try:
        profile = read_profile(args.profile)
        known = used(profile, args.name, digest, any_version=args.any_version)
        arrivals = busiest(known.exact(), WINDOW_S * (QUICK if args.quick else 1.0))
    except ProfileError as error:
        raise TuningError(error.message, hint=error.hint) from None
    return Request(
        models=args.models,
        entry=entry,
        arrivals=arrivals,
        slo=slo,
        objective=args.objective,
        cpus=usable_cpus(args.cores),
        folder=tuning_folder(args.tuning),
        protocol=args.protocol or usual_protocol(known),
        rounds=args.rounds,
        within_s=args.within,
        profile_name=Path(args.profile).name,
        effort=QUICK if args.quick else 1.0,
        inputs=Inputs.of(known.inputs),
        recorded=recorded_usage(known, profile.workers),
        left_out=(*busier(known, arrivals), *varying(known.inputs)),
    )


def find_version(models: str, name: str, version: int) -> Any:
    """The version's entry. Raises RepositoryError, NotFound."""
    from rapide.server.errors import NotFound  # noqa: PLC0415 - see main.py
    from rapide.server.repository.local import open_repository  # noqa: PLC0415

    snapshot = open_repository(Path(models)).scan()
    if name not in snapshot.models:
        known = ", ".join(list(snapshot.models)[:8]) or "none"
        raise NotFound(f"there is no model {name!r} in {models}.", hint=f"Models there are: {known}.")
    versions = snapshot.models[name].versions
    if version and version not in versions:
        raise NotFound(f"{name} has no version {version}.", hint=f"It has {', '.join(map(str, versions))}.")
    return versions[version or max(versions)]


def usable_cpus(cores: int) -> tuple[int, ...]:
    """The first ``cores`` processors of those that may be used; all of them for 0. Raises SettingsError."""
    from rapide.server.cores import read_cores  # noqa: PLC0415 - see main.py
    from rapide.server.errors import SettingsError  # noqa: PLC0415

    usable = read_cores().usable
    if not 0 <= cores <= usable:
        raise SettingsError(f"--cores is {cores}; this machine has {usable} that may be used.")
    return tuple(sorted(os.sched_getaffinity(0))[: cores or usable])


def tuning_folder(named: str | None) -> Path:
    """Where tuning files are written and read: the folder ``named``, or where the setting ``tuning`` (environment,
    ``rapide.toml``, default) has `rapide serve` look. Raises SettingsError."""
    from rapide.server.errors import SettingsError  # noqa: PLC0415 - see main.py
    from rapide.server.settings_sources import load  # noqa: PLC0415
    from rapide.server.tuning_folder import AUTO, OFF, default_folder  # noqa: PLC0415

    if named:
        return Path(named)
    setting = load({}, os.environ).tuning
    if setting == OFF:
        raise SettingsError(
            "the setting tuning is off here: no server would look for what is measured and tuned.",
            hint="Name a folder with --tuning, or take the setting out of RAPIDE_TUNING or rapide.toml.",
        )
    return default_folder(os.environ) if setting == AUTO else Path(setting)


def _digest(entry: Any) -> str:
    from rapide.server.repository.digest import file_digest_text  # noqa: PLC0415 - see main.py

    digest: str = entry.digest or file_digest_text(entry.model_path)
    return digest


def _tune(args: argparse.Namespace, request: Request) -> int:
    from rapide.tuning.tune import tune, write  # noqa: PLC0415 - see main.py

    begun_s = time.monotonic()
    try:
        with Progress(quiet=args.json) as progress:
            found = tune(request, progress, progress.note)
    except (KeyboardInterrupt, SystemExit):
        if request.learnt_path.exists():
            print(
                f"rapide: interrupted; what was measured is kept in {request.learnt_path} (replays of a "
                "calibration or a proof are made again)",
                file=sys.stderr,
            )
        raise
    missing = "" if args.html is None else write_page(Path(args.html), lambda: _page(found))
    if not args.json:  # before anything can go wrong with files: it took minutes to find out
        print("\n".join(summary(found, time.monotonic() - begun_s)))
    file = write(found)
    if args.json:
        print(json.dumps({"path": str(request.path), **json.loads(file.to_bytes())}, ensure_ascii=False))
    else:
        print(f"written:  {request.path}")
        if args.html and not missing:
            print(f"page:     {args.html}")
    if missing:
        print(f"rapide: {missing}", file=sys.stderr)
    return 1 if missing else 0


def _page(found: Found) -> Any:
    from rapide.tuning.report import page  # noqa: PLC0415 - needs an extra

    return page(found)


def summary(found: Found, took_s: float) -> list[str]:
    """What was found, for a terminal."""
    from rapide.tuning.slo import seconds  # noqa: PLC0415 - see main.py

    request, slo = found.request, found.request.slo
    percent = slo.main.percent
    lines = [
        f"{request.entry.model}/{request.entry.version}: {found.simulated} configurations simulated, "
        f"{len(found.proofs)} proven, in {took_s:.0f} s",
        "",
        f"  {'':10} {f'p{percent:g} predicted':>14} {'measured':>10} {'p50':>10} {'µs cpu/req':>11} {'SLO':>6}",
    ]
    for proof in found.proofs:
        candidate = found.candidate_of(proof.configuration)
        mark = "chosen" if proof.configuration == found.chosen else ""
        mark = f"{mark} default".strip() if proof.configuration == found.default else mark
        predicted = "" if candidate is None else seconds(candidate.percentile_s(percent))
        cpu_us = proof.median(lambda each: each.cpu_s / max(1, len(each.latency_s))) * 1e6
        lines.append(
            f"  {mark:10} {predicted:>14} {seconds(proof.percentile_s(percent)):>10} "
            f"{seconds(proof.percentile_s(50)):>10} {cpu_us:>11.0f} {'holds' if proof.holds(slo) else 'missed':>6}"
            f"   {proof.configuration.words}"
        )
    lines += ["", f"  chosen:   {'' if found.chosen is None else found.chosen.words}"]
    lines += [f"    {choice}: {why}" for choice, why in found.reasons]
    lines += [f"  note:     {note}" for note in found.notes]
    return [*lines, ""]


def _explain(args: argparse.Namespace) -> int:
    from rapide.server.errors import NotFound  # noqa: PLC0415 - see main.py
    from rapide.server.machine import cpu_signature  # noqa: PLC0415
    from rapide.server.repository.fields import FieldError  # noqa: PLC0415
    from rapide.server.tuning_file import TuningFile  # noqa: PLC0415
    from rapide.tuning.errors import TuningError  # noqa: PLC0415

    entry = find_version(args.models, args.name, args.version)
    cpu = cpu_signature(len(usable_cpus(args.cores)))
    path = tuning_folder(args.tuning) / cpu / f"{_digest(entry).removeprefix('sha256:')}.json"
    try:
        file = TuningFile.from_bytes(path.read_bytes())
    except FileNotFoundError:
        raise NotFound(
            f"{args.name}/{entry.version} is not tuned for this machine ({cpu}): the defaults serve.",
            hint="Tune it: rapide tune --help.",
        ) from None
    except FieldError as error:
        raise TuningError(f"{path} cannot be read: {error}.", hint="Tune again.") from None
    if args.json:
        print(json.dumps(json.loads(file.to_bytes()), ensure_ascii=False))
        return 0
    try:
        lines = explanation(file, path)
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError):
        # Nothing but these words depends on the evidence, so nothing else reads it with care.
        raise TuningError(f"{path} cannot be explained: its evidence was damaged.", hint="Tune again.") from None
    print(printable("\n".join(lines), kept="\n"))
    return 0


def explanation(file: Any, path: Path) -> list[str]:
    """Why the tuning is what it is, from its file."""
    told = file.evidence
    figure = _figure(file)
    lines = [
        f"{file.model}/{file.version} on {file.cpu}",
        f"  tuned {file.written} for {file.slo}, objective {told.get('objective', '?')}, with "
        f"{told.get('requests', '?')} requests of {told.get('profile') or 'a profile'} at "
        f"{told.get('rate_per_s', 0):.0f}/s",
        f"  {file.workers} worker{'s' * (file.workers > 1)}, {file.tuning.words}",
        "",
        "why",
        *(f"  {one['choice']}: {one['why']}" for one in told.get("reasons", [])),
        "",
        f"{figure.removesuffix('_ms')} in ms, simulated and of each replay",
    ]
    simulated = {one["configuration"]: one.get(figure) for one in told.get("predicted", [])}
    for one in told.get("measured", []):
        predicted = simulated.get(one["configuration"])
        replays = " ".join(_ms(each.get(figure)) for each in one["rounds"])
        lines.append(f"  {'–' if predicted is None else _ms(predicted):>9}  {replays}   {one['configuration']}")
    lines += [f"note: {note}" for note in told.get("notes", [])]
    return [*lines, "", f"file: {path}"]


def _figure(file: Any) -> str:
    """Which of the percentiles in the evidence is nearest to what the SLO is about."""
    from rapide.tuning.errors import TuningError  # noqa: PLC0415 - see main.py
    from rapide.tuning.slo import Slo  # noqa: PLC0415

    known = [name for one in file.evidence.get("measured", []) for each in one["rounds"] for name in each]
    percents = sorted({float(name[1:-3]) for name in known if name.endswith("_ms")})
    try:
        wanted = Slo.parse(file.slo).main.percent
    except TuningError:  # a file without one
        wanted = 99.0
    return f"p{min(percents, key=lambda each: abs(each - wanted)):g}_ms" if percents else "p99_ms"


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.3f}"


class Progress:
    """A bar with an estimate, on standard error; a line now and then where that is no terminal; silent for
    scripts."""

    def __init__(self, *, quiet: bool) -> None:
        from rich import progress  # noqa: PLC0415 - see main.py
        from rich.console import Console  # noqa: PLC0415

        columns: list[Any] = [
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("of about"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("more"),
        ]
        self._console = Console(stderr=True)
        self._prints = not quiet and not self._console.is_terminal
        self._printed_s = -math.inf
        self._quiet = quiet
        self._bar = progress.Progress(*columns, console=self._console, disable=quiet or self._prints)
        self._task = self._bar.add_task("beginning", total=1.0)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def __call__(self, text: str, share: float) -> None:
        """What is done now, and how much of all is."""
        self._bar.update(self._task, description=text[:60], completed=share)
        now_s = time.monotonic()
        if self._prints and now_s - self._printed_s >= PRINT_EVERY_S:
            self._printed_s = now_s
            print(f"{share:4.0%} {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """What should be known before the end."""
        if not self._quiet:
            self._console.print(f"note: {text}", highlight=False, markup=False, soft_wrap=True)
