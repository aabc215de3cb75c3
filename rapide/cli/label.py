"""``rapide label``: decides which version a label means, and what share of the requests it gets."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from rapide.cli.tables import percent_text, print_table
from rapide.cli.which import show
from rapide.server.repository.activations import Activation, ActivationLog
from rapide.server.repository.labels import parse_changes
from rapide.server.repository.local import open_repository
from rapide.server.repository.times import format_time, utc_now

EXAMPLES = """\
examples:
  rapide label models/ car-price stable=2                      version 2 answers from now on
  rapide label models/ car-price stable=2 canary=3:10% --why "new tyres feature"
                                                               version 3 answers one request in ten
  rapide label models/ car-price canary=-                      take the label away; stable gets its share back
  rapide label models/ car-price                               what the labels mean now
  rapide label models/ car-price --history                     every change that was ever made

`stable` takes whatever share the other labels leave. A label without a share answers only requests that ask for it
by name. A server that watches the repository follows within its poll interval (a second by default).
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "label",
        help="decide which version a label means",
        description="Makes labels of a model mean other versions, or shows what they mean. Every change is a line "
        "in the model's activation log; all changes of one call take effect together.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="PATH", help="the repository")
    parser.add_argument("name", metavar="MODEL")
    parser.add_argument(
        "changes", nargs="*", metavar="CHANGE", help="LABEL=VERSION, LABEL=VERSION:SHARE%% or LABEL=- (remove)"
    )
    parser.add_argument("--why", default="", metavar="TEXT", help="the reason, for the log")
    parser.add_argument("--who", default="", metavar="NAME", help="who decided (default: you, on this machine)")
    parser.add_argument("--history", action="store_true", help="show every change, oldest first")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Makes the changes, if any, and prints how things stand. Raises what ``LocalRepository.set_labels`` does."""
    repository = open_repository(Path(args.path))
    if args.changes:
        repository.set_labels(args.name, parse_changes(args.changes), args.who or _who(), args.why)
    log = repository.history(args.name)
    if args.history:
        _show_history(log, as_json=args.json)
        return 0
    # Not simply now: a change is never logged before the one that it follows, even if the clock was set back.
    standing = repository.which(args.name, max([utc_now(), *(entry.time for entry in log.entries[-1:])]))
    if args.json:
        print(json.dumps(standing.to_json(), ensure_ascii=False))
    else:
        show(standing)
    return 0


def _show_history(log: ActivationLog, *, as_json: bool) -> None:
    if as_json:
        entries = [entry.to_json() for entry in log.entries]
        print(json.dumps({"entries": entries, "problems": log.problems}, ensure_ascii=False))
        return
    rows = [
        (format_time(entry.time.replace(microsecond=0)), ", ".join(_changes(entry)), entry.who, entry.why)
        for entry in log.entries
    ]
    if rows:
        print_table(("time", "change", "who", "why"), rows)
    else:
        print("No label was ever set.")
    for problem in log.problems:
        print(f"  ✗ {problem}")


def _changes(entry: Activation) -> Iterator[str]:
    """As one would type them."""
    for label, target in entry.labels.items():
        share = "" if target.weight_percent is None else f":{percent_text(target.weight_percent)}"
        yield f"{label}={target.version}{share.replace(' ', '')}"
    for label in entry.removed:
        yield f"{label}=-"


def _who() -> str:
    """The person at this machine. In a container the user often has a number and no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
