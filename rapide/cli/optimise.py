"""``rapide optimise``: faster forms of a published model, kept only where they are faster and near enough."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rapide.cli.child_limits import add_child_limits, child_limits
from rapide.cli.report_page import check_page, write_page
from rapide.cli.stopping import cleared_away
from rapide.converters.errors import ConversionError
from rapide.converters.optimise.measures import DEFAULT_LIMITS, read_limits
from rapide.converters.optimise.optimise import Optimised, optimise
from rapide.converters.optimise.options import SIZES, OptimiseOptions
from rapide.converters.optimise.recipes import RECIPES

_RECIPES = "\n".join(f"  {recipe.name:<16}{recipe.method}" for recipe in RECIPES)
_LIMITS = ", ".join(f"{measure}={limit:g}" for measure, limit in DEFAULT_LIMITS.items())
EXAMPLES = f"""\
examples:
  rapide optimise models/ digits --rows held-out.parquet
  rapide optimise models/ embedder --rows sentences.npz --max-loss cosine=0.005
  rapide optimise models/ digits --profile profile.json --html report.html
  rapide optimise models/ digits --sizes 1,64 --only clean,int8 --json

recipes:
{_RECIPES}

The version itself is not changed. If a variant is worth keeping, a new version appears, which holds the kept
variants and names the old one as its parent; otherwise nothing is published, and the report says why not.

exit codes: 0 done, whether or not anything was worth publishing · 1 an error · 2 wrong usage
"""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "optimise",
        help="make faster forms of a published model, and keep those that are proven",
        description="Makes variants of a published model (a cleaner graph, int8, smaller formats), measures\n"
        "their size, load time, memory, speed and loss of quality, and publishes those that are worth it\n"
        "as a new version.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("repository", type=Path, metavar="FOLDER", help="the model repository")
    parser.add_argument("name", metavar="MODEL", help="the model")
    parser.add_argument(
        "--version",
        type=int,
        default=None,
        metavar="N",
        help="what to start from (default: the newest version that was not itself optimised)",
    )
    _add_judgement(parser.add_argument_group("how variants are judged"))
    _add_limits(parser.add_argument_group("what is tried"))
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report (needs the extra: reports)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.set_defaults(run=run)


def _add_judgement(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--rows",
        type=Path,
        default=None,
        metavar="FILE",
        help="rows that the model was not trained on: .parquet or .csv with its columns, .npz with its inputs",
    )
    group.add_argument(
        "--target",
        default="",
        metavar="COLUMN",
        help="the column with the true answers (default: as at conversion)",
    )
    group.add_argument(
        "--max-loss",
        action="append",
        default=[],
        metavar="[MEASURE=]X",
        help=f"the loss that is accepted; may be repeated (default: {_LIMITS})",
    )
    sizes = group.add_mutually_exclusive_group()
    sizes.add_argument(
        "--profile",
        type=Path,
        default=None,
        metavar="FILE",
        help="a usage profile: speed matters at the sizes that requests were answered in",
    )
    sizes.add_argument(
        "--sizes",
        default=",".join(map(str, SIZES)),
        metavar="N,N",
        help="rows in one run at which speed matters (default: %(default)s)",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--only", default="", metavar="A,B", help="try these recipes alone")
    group.add_argument(
        "--keep", default="", metavar="A,B", help="keep these if they are near enough, even if they are not faster"
    )
    add_child_limits(group, "each child process")


@cleared_away()
def run(args: argparse.Namespace) -> int:
    """Optimises and reports. Raises RapideError."""
    options = _options(args)
    check_page(args.html)
    optimised = _optimise(options, quiet=args.json)
    missing = "" if args.html is None else write_page(args.html, lambda: _page().page(optimised))
    if missing:
        optimised = replace(optimised, notes=(*optimised.notes, missing))
        print(f"Note: {missing}", file=sys.stderr)
    if args.json:
        print(json.dumps(to_json(optimised), ensure_ascii=False))
    else:
        _report().print_optimised(optimised)
    return 0


def to_json(optimised: Optimised) -> dict[str, Any]:
    """Everything that was found out, for scripts."""
    manifest = optimised.manifest
    return {
        "model": optimised.parent.model,
        "parent": optimised.parent.version,
        "version": optimised.version,
        "folder": None if optimised.folder is None else str(optimised.folder),
        "digest": None if manifest is None else manifest.digest,
        "rows": dict(optimised.facts["rows"]),
        "variants": [
            {
                "name": each.name,
                "method": each.method,
                **({"kept": each.verdict.is_kept, "default": each.verdict.is_default} if each.verdict else {}),
                "reason": each.verdict.reason if each.verdict else "",
                "latency_us": {str(rows): value for rows, value in each.latency_us.items()},
                **{key: each.trial[key] for key in ("bytes", "load_ms", "memory_bytes", "losses") if each.trial},
            }
            for each in optimised.tried
        ],
        "notes": list(optimised.notes),
        "elapsed_s": round(optimised.elapsed_s, 2),
    }


def _options(args: argparse.Namespace) -> OptimiseOptions:
    if args.rows is not None and not args.rows.is_file():
        raise ConversionError(f"the rows {args.rows} are no file that could be read")
    return OptimiseOptions(
        repository=args.repository,
        name=args.name,
        version=args.version,
        rows=args.rows,
        target=args.target,
        sizes=_profiled(args) if args.profile is not None else dict.fromkeys(_sizes(args.sizes), 1.0),
        max_loss=read_limits(args.max_loss),
        only=_names(args.only),
        keep=_names(args.keep),
        limits=child_limits(args),
    )


def _profiled(args: argparse.Namespace) -> dict[int, float]:
    from rapide.converters.optimise.usage import sizes_of  # noqa: PLC0415 - imports numpy

    return sizes_of(args.profile, args.name)


def _page() -> Any:
    return importlib.import_module("rapide.cli.optimise_page")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _sizes(text: str) -> list[int]:
    sizes = [int(part) for part in _names(text) if part.isascii() and part.isdigit()]
    if not sizes or min(sizes) < 1 or max(sizes) > 65536 or len(sizes) < len(_names(text)):
        raise ConversionError(f"--sizes {text[:40]!r} are no numbers of rows from 1 to 65536, such as 1,8,32")
    return sizes


def _optimise(options: OptimiseOptions, *, quiet: bool) -> Optimised:
    if quiet or not sys.stderr.isatty():
        return optimise(options, _say_notes)
    result: Optimised = _progress()(lambda listener: optimise(options, listener))
    return result


def _say_notes(kind: str, text: str) -> None:
    if kind != "step":
        print(f"Note: {text}", file=sys.stderr)


def _progress() -> Any:
    return importlib.import_module("rapide.cli.convert_report").with_progress


def _report() -> Any:
    """Loaded when there is something to show: the library for tables takes a tenth of a second."""
    return importlib.import_module("rapide.cli.optimise_report")
