"""``rapide which``: which version a label meant, and which version answered, at any time."""

from __future__ import annotations

import argparse
import json
from datetime import datetime

from rapide.cli.models import repository_path
from rapide.cli.tables import percent_text, print_table
from rapide.server.repository.history import Standing
from rapide.server.repository.local import open_repository
from rapide.server.repository.times import format_time, parse_time, utc_now

EXAMPLES = """\
examples:
  rapide which car-price                                       now
  rapide which car-price --at 2026-11-20T10:00Z                then; a time without a zone is UTC
  rapide which car-price --at 2026-11-20 --label canary        one label alone
  rapide which car-price --models /srv/models --json
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "which",
        help="show which version answered at a given time",
        description="Shows what each label of a model meant at a given time, who had decided so, and which "
        "versions answered the requests that named none: read off the model's activation log.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="MODEL")
    parser.add_argument("--at", type=_time, metavar="TIME", help="such as 2026-11-20T10:00Z (default: now)")
    parser.add_argument("--label", help="this label alone")
    parser.add_argument("--models", metavar="PATH", help="the repository (default: the setting `models`)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the answer. Raises NotFound for an unknown model, or a label that was not set then."""
    repository = open_repository(repository_path(args.models))
    standing = repository.which(args.name, args.at or utc_now(), args.label)
    if args.json:
        print(json.dumps(standing.to_json(), ensure_ascii=False))
    else:
        show(standing)
    return 0


def show(standing: Standing) -> None:
    """Prints ``standing`` for people: a row for each label, then who answers the requests that name none."""
    print(f"{standing.model} at {format_time(standing.time)}")
    shares = {share.label: percent_text(share.percent) for share in standing.shares}
    rows = [
        (
            label,
            str(target.version),
            shares.get(label, "–"),
            (target.digest or "–").removeprefix("sha256:")[:12],
            format_time(standing.decisions[label].time.replace(microsecond=0)),
            standing.decisions[label].who,
            standing.decisions[label].why,
        )
        for label, target in standing.labels.items()
    ]
    if rows:
        print_table(
            ("label", "version", "share", "digest", "since", "who", "why"), rows, right=frozenset({"share"})
        )
    if sum(share.percent for share in standing.shares) > 99.999:  # else it is about one label alone
        answers = ", ".join(f"{percent_text(share.percent)} version {share.version}" for share in standing.shares)
        print(f"requests that name no label: {answers}")
    for note in standing.notes:
        print(f"note: {note}")


def _time(text: str) -> datetime:
    try:
        return parse_time(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-11-20T10:00Z for example") from None
