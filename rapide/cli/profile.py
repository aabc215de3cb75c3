"""``rapide profile``: how models are really used; saved, shown, merged, made up, and compared."""

from __future__ import annotations

import argparse
import difflib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rapide.cli.report_page import check_folder, check_page, write_page
from rapide.cli.tables import print_table
from rapide.server.errors import InvalidRequest, RapideError

if TYPE_CHECKING:
    from rapide.profiles.document import Profile
    from rapide.profiles.drift import ProfileDrift
    from rapide.profiles.model_profile import ModelProfile
    from rapide.server.telemetry.drift import Distance

EXAMPLES = """\
examples:
  rapide profile http://localhost:8000 --save profile.json         what a server has recorded
  rapide profile show profile.json                                 look at it
  rapide profile show http://localhost:8000 --html page.html       the same as a page with plots
  rapide profile merge host-a.json host-b.json --save all.json     of several hosts together
  rapide profile make burst --model car-price --rate 200 --duration 60 --rows 4 --save burst.json
  rapide profile diff tuned.json http://localhost:8000 --check     has the usage drifted? exit code 3 if so

`make` knows: steady, diurnal (a day's curve), burst, idle-flood (five quiet days, then everything at once) and
offline (full requests at an even pace). What is saved can be replayed by `rapide replay`.
"""
DRIFTED: Final = 3
"""As convert's: it could be done, and the answer is no. Whoever watches tells that from a server out of reach."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "profile",
        help="save, show, merge, make and compare usage profiles",
        description="A usage profile says how models are really used: when requests come, how large they are, "
        "what they cost. Every server records one; it holds nothing that a caller sent. An address or a file "
        "alone is shown, or saved with --save.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "action", metavar="URL|show|merge|make|diff", help="a server (http://host:8000), or what to do"
    )
    parser.add_argument(
        "sources", nargs="*", metavar="SOURCE", help="files or servers; for make, the kind of profile"
    )
    parser.add_argument("--save", metavar="FILE", help="write the profile there")
    parser.add_argument("--html", metavar="FILE", help="write a page with plots (needs the extra: reports)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.add_argument("--check", action="store_true", help="diff: exit code 3 if the usage has drifted")
    made = parser.add_argument_group("make")
    made.add_argument("--model", default="", metavar="NAME", help="the model that is asked")
    made.add_argument("--rate", type=float, default=100.0, metavar="N", help="requests per second (default: 100)")
    made.add_argument("--duration", type=float, default=60.0, metavar="S", help="for how long (default: 60 s)")
    made.add_argument("--rows", type=int, default=1, metavar="N", help="rows per request (default: 1)")
    made.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, other arrivals (default: 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Does what ``action`` says. Raises RapideError."""
    check_page(None if args.html is None else Path(args.html))
    if args.save:
        check_folder(Path(args.save), "--save")
    act = ACTIONS.get(args.action)
    if act is not None:
        return act(args)
    if args.sources:
        near = difflib.get_close_matches(args.action, ACTIONS, n=1)
        known = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(ACTIONS)}"
        raise InvalidRequest(f"there is no action {args.action!r}; {known}")
    args.sources = [args.action]
    return _show(args)


def _show(args: argparse.Namespace) -> int:
    from rapide.cli.profile_source import read_profile  # noqa: PLC0415 - numpy: not for `rapide --help`

    (source,) = _sources(args, 1, "show", "one file or server")
    return _give(args, read_profile(source), source)


def _merge(args: argparse.Namespace) -> int:
    from rapide.cli.profile_source import read_profile  # noqa: PLC0415

    if len(args.sources) < 2:
        raise InvalidRequest(f"merge takes at least two files or servers, got {len(args.sources)}")
    first, *others = [read_profile(source) for source in args.sources]
    return _give(args, first.merge(others), ", ".join(args.sources))


def _make(args: argparse.Namespace) -> int:
    from rapide.profiles.synthetic import KINDS, synthetic  # noqa: PLC0415

    (kind,) = _sources(args, 1, "make", f"one kind ({', '.join(KINDS)})")
    if not args.model:
        raise InvalidRequest("make needs the name of the model that is asked", hint="Add --model NAME.")
    made = synthetic(
        kind,
        model=args.model,
        rate_per_s=args.rate,
        duration_s=args.duration,
        rows=args.rows,
        seed=args.seed,
    )
    return _give(args, made, f"{kind}, made up: {args.rate:g} requests/s for {args.duration:g} s")


def _diff(args: argparse.Namespace) -> int:
    from rapide.cli.profile_source import read_profile  # noqa: PLC0415
    from rapide.profiles.drift import compare  # noqa: PLC0415

    tuned, live = _sources(args, 2, "diff", "two files or servers: the one that was tuned for, and the live one")
    if args.save or args.html:
        raise InvalidRequest("diff only prints; --save and --html are for profiles")
    found = compare(read_profile(tuned), read_profile(live))
    if args.json:
        print(json.dumps(_drift_json(found), ensure_ascii=False))
    else:
        _print_drift(found)
    return DRIFTED if args.check and found.has_drifted else 0


ACTIONS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "show": _show,
    "merge": _merge,
    "make": _make,
    "diff": _diff,
}


def _sources(args: argparse.Namespace, count: int, action: str, expected: str) -> list[str]:
    sources: list[str] = args.sources
    if len(sources) != count:
        raise InvalidRequest(f"{action} takes {expected}, got {' '.join(sources) or 'nothing'}")
    return sources


def _give(args: argparse.Namespace, profile: Profile, source: str) -> int:
    """Saves the profile, makes its page, and prints it unless it was saved."""
    if args.save:
        _write(Path(args.save), profile.to_bytes())
    if args.html:
        _write_page(args.html, profile, source)
    if args.json:
        print(profile.to_bytes().decode())
        return 0
    for path in filter(None, (args.save, args.html)):
        print(f"{path}: {_summary(profile)}")
    if not (args.save or args.html):
        print("\n".join(_lines(profile, source)))
    return 0


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all. Raises RapideError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            beside.write_bytes(data)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise RapideError(f"--save: {path} was not written: {error.strerror or error}.") from None


def _write_page(path: str, profile: Profile, source: str) -> None:
    from rapide.cli.profile_page import page  # noqa: PLC0415

    if missing := write_page(Path(path), lambda: page(profile, source)):
        raise RapideError(f"{missing}.")


def _summary(profile: Profile) -> str:
    asked = [known for known in profile.models if known.arrivals.count]
    requests = sum(known.arrivals.count for known in asked)
    return f"{requests:,} requests to {len(asked)} model version{'' if len(asked) == 1 else 's'}"


def _lines(profile: Profile, source: str) -> Iterator[str]:
    from rapide.cli import profile_figures as figures  # noqa: PLC0415

    yield f"{source}: {_summary(profile)}"
    yield from _facts(figures.head(profile))
    asked = [known for known in profile.models if known.arrivals.count]
    if not asked:
        yield "no request has been recorded"
    for known in asked:
        yield ""
        yield known.name
        yield from _facts(figures.facts(profile, known))
        yield from _plots(known)
        yield from _table("where the time goes", figures.STAGE_COLUMNS, figures.stages(known))
        yield from _stage_bars(known)
        yield from _table("what batches cost", figures.BATCH_COLUMNS, figures.batches(known))


def _facts(facts: Mapping[str, str]) -> Iterator[str]:
    space = max(map(len, facts), default=0)
    for name, value in facts.items():
        yield f"  {name:<{space}}  {value}"


def _plots(known: ModelProfile) -> Iterator[str]:
    from rapide.cli import profile_figures as figures  # noqa: PLC0415
    from rapide.reports import terminal  # noqa: PLC0415

    arrivals = known.arrivals
    if len(arrivals.seconds) > 1:
        yield from ("", f"  requests per second, the last {len(arrivals.seconds)} s with traffic")
        yield from (f"  {line}" for line in terminal.columns(arrivals.seconds.tolist()))
    if figures.hours_with_traffic(arrivals.hour_of_day.tolist()) > 1:
        yield from ("", "  requests by hour of the day (UTC)")
        bars = [count for count in arrivals.hour_of_day.tolist() for _ in range(3)]
        yield from (f"  {line}" for line in terminal.columns(bars))
    for title, (labels, counts) in {
        "rows per request": figures.row_bars(known.rows),
        "protocols and encodings": _pairs(figures.mix(known)),
    }.items():
        if len(labels) > 1:
            yield from ("", f"  {title}")
            yield from (f"  {line}" for line in terminal.bars(labels, counts))


def _stage_bars(known: ModelProfile) -> Iterator[str]:
    from rapide.cli import profile_figures as figures  # noqa: PLC0415
    from rapide.reports import terminal  # noqa: PLC0415

    labels, values = figures.stage_bars(known)
    if labels:
        yield from ("", "  latency by stage, µs")
        yield from (f"  {line}" for line in terminal.bars(labels, values))


def _pairs(counts: Mapping[str, int]) -> tuple[list[str], list[int]]:
    return list(counts), list(counts.values())


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """``rows`` under ``columns``, the first one flush left."""
    if not rows:
        return
    yield from ("", f"  {title}")
    lines = [columns, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for first, *others in lines:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        yield f"  {first:<{widths[0]}}  {'  '.join(cells)}"


def _print_drift(found: ProfileDrift) -> None:
    rows = [(one.model, *_cells(distance)) for one in found.models for distance in one.distances] + [
        ("all models", *_cells(found.mix))
    ]
    print_table(
        ("model", "figure", "tuned for", "live", "distance", "noise floor", "matters from", "verdict"),
        rows,
        right=frozenset({"tuned for", "live", "distance", "noise floor", "matters from"}),
    )
    for one in found.models:
        if one.versions[0] != one.versions[1]:
            print(f"note: {one.model} was version {one.versions[0] or '–'}, now {one.versions[1] or '–'}")
        if one.adapted:
            limits = ", ".join(f"{limit}={value}" for limit, value in one.adapted.items())
            print(f"note: {one.model} is adapted by its server, and runs with {limits}")
    for names, what in ((found.appeared, "only in the live profile"), (found.vanished, "only in the tuned one")):
        if names:
            print(f"note: {what}: {', '.join(names)}")
    print("the usage has drifted" if found.has_drifted else "the usage has not drifted")


def _cells(distance: Distance) -> tuple[str, ...]:
    verdict = "drifted" if distance.has_drifted else "stable" if distance.is_known else "too few requests"
    figures = (distance.tuned, distance.live, distance.distance, distance.floor, distance.matters)
    return (distance.name, *(f"{figure:.3g}" for figure in figures), verdict)


def _drift_json(found: ProfileDrift) -> dict[str, Any]:
    return {
        "drifted": found.has_drifted,
        "models": [
            {
                "model": one.model,
                "versions": list(one.versions),
                "verdict": one.verdict,
                "adapted": dict(one.adapted),
                "distances": [_distance_json(distance) for distance in one.distances],
            }
            for one in found.models
        ],
        "mix": _distance_json(found.mix),
        "appeared": list(found.appeared),
        "vanished": list(found.vanished),
    }


def _distance_json(one: Distance) -> dict[str, Any]:
    return {
        "figure": one.name,
        "tuned": one.tuned,
        "live": one.live,
        "distance": one.distance,
        "floor": one.floor,
        "matters": one.matters,
        "known": one.is_known,
        "drifted": one.has_drifted,
    }
