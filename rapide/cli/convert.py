"""``rapide convert``: a trained model becomes a published version, if it is proven to answer as before."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rapide.cli.child_limits import add_child_limits, child_limits
from rapide.cli.finite import check_finite
from rapide.cli.optimise import to_json as optimised_json
from rapide.cli.report_page import check_page, write_page
from rapide.cli.stopping import cleared_away
from rapide.converters.columns import PRECISIONS
from rapide.converters.convert import Published, convert
from rapide.converters.errors import ConversionError, GateRefused
from rapide.converters.metric_names import METRIC_NAMES
from rapide.converters.optimise.measures import read_limits
from rapide.converters.options import ConvertOptions
from rapide.converters.sources.table import suffixes

EXAMPLES = """\
examples:
  rapide convert model.joblib --name car-price --sample rows.parquet --to models/
  rapide convert model.pkl --name diagnosis --sample rows.csv --to models/ --target diagnosis --metric roc_auc \\
      --classes malignant,benign --label stable
  rapide convert model.joblib --name car-price --sample rows.parquet --to models/ --label canary:10% --json
  rapide convert model.ubj --name churn --sample rows.parquet --to models/        XGBoost, LightGBM, CatBoost
  rapide convert model.pt2 --name digits --sample rows.npz --to models/           PyTorch, with arrays by input
  rapide convert all-MiniLM-L6-v2/ --name minilm --sample sentences.csv --to models/    a transformer's folder
  rapide convert models:/car-price/3 --name car-price --sample rows.parquet --to models/    from MLflow
  rapide convert model.onnx --name scorer --to models/                            an existing ONNX file
  rapide convert --constant 0.5 --name score --to models/                         a walking skeleton

Pickles (.joblib, .pkl, .pt) run code that is stored in them when they are opened. That happens in a process of its
own with limits of memory and time and without network, but with your files; do not convert what you would not run.

exit codes: 0 published · 1 an error · 2 wrong usage · 3 refused by a gate: see docs/guides/convert.md
"""
REFUSED = 3
"""The exit code for a model that a gate refused."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "convert",
        help="convert a trained model to ONNX, check it and publish it",
        description="Converts a trained model to ONNX, compares the two on real and on difficult rows, and\n"
        "publishes the result as the model's next version.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model",
        type=Path,
        nargs="?",
        help=f"the trained model: a file ending in {', '.join(suffixes())}, the folder of a transformer or of an "
        "MLflow model, or an MLflow address (models:/name/3, runs:/id/model)",
    )
    parser.add_argument(
        "--constant", default="", metavar="X", help="instead of a model: answer X (a number, or one of --classes)"
    )
    needed = parser.add_argument_group("needed")
    needed.add_argument("--name", required=True, help="what the model is to be called")
    needed.add_argument(
        "--sample",
        type=Path,
        metavar="FILE",
        help="real rows as in training: .parquet or .csv, or .npz for tensors (an .onnx file does without)",
    )
    needed.add_argument("--to", required=True, type=Path, metavar="FOLDER", help="the model repository")
    _add_meaning(parser.add_argument_group("what it means"))
    _add_checks(parser.add_argument_group("how it is checked"))
    faster = parser.add_argument_group("making it faster")
    faster.add_argument(
        "--optimise",
        action="store_true",
        help="make variants of it, too, judged on the sample's rows, as rapide optimise does",
    )
    faster.add_argument(
        "--max-loss",
        action="append",
        default=[],
        metavar="[MEASURE=]X",
        help="the loss of quality that a variant may have; may be repeated (see rapide optimise)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report (needs the extra: reports)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.set_defaults(run=run)


def _add_meaning(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--target", default="", metavar="COLUMN", help="the sample's column with the true answers")
    group.add_argument("--metric", default="", choices=METRIC_NAMES, help="the quality to measure on the sample")
    group.add_argument(
        "--baseline",
        default="constant",
        metavar="RULE",
        help="what the model must not be worse than: constant (the best one; default), a column of the sample "
        "with the present rule's answers, a figure, or none",
    )
    group.add_argument(
        "--hurdle",
        default="",
        metavar="X",
        help="the figure that --metric must reach: 0.9, or +0.05 for so much better than the baseline",
    )
    group.add_argument("--classes", default="", metavar="A,B", help="names for the classes, in the model's order")
    group.add_argument("--description", default="", metavar="TEXT", help="what the model predicts, for whom")
    group.add_argument("--data-origin", default="", metavar="TEXT", help="where the training data came from")
    group.add_argument("--parent", type=int, default=None, metavar="N", help="the version this one replaces")
    group.add_argument(
        "--label", default="", help="a label for the new version: stable, or canary:10%% for a share"
    )


def _add_checks(group: argparse._ArgumentGroup) -> None:
    defaults = ConvertOptions(Path(), None, Path(), "")
    group.add_argument(
        "--precision",
        default="auto",
        choices=("auto", *PRECISIONS),
        help="how the graph computes; auto takes the cheapest that answers like the original (default)",
    )
    group.add_argument(
        "--max-difference",
        type=float,
        default=defaults.max_difference,
        metavar="X",
        help=f"largest difference, relative to an answer and their spread (default: {defaults.max_difference:g})",
    )
    group.add_argument(
        "--max-flips",
        type=int,
        default=defaults.max_flips,
        metavar="N",
        help="labels that may differ (default: 0)",
    )
    group.add_argument(
        "--profile",
        type=Path,
        default=None,
        metavar="FILE",
        help="what GET /profile of a server gave: time the model at the sizes of its requests too",
    )
    group.add_argument(
        "--max-latency-us",
        type=float,
        default=None,
        metavar="US",
        help="largest time for one row on this machine (default: measured, not limited)",
    )
    add_child_limits(group, "the child process")


@cleared_away()
def run(args: argparse.Namespace) -> int:
    """Converts and reports. 0 if a version was published, 3 if a gate refused it. Raises RapideError otherwise."""
    options = _options(args)
    check_page(args.html)
    try:
        published = _convert(options, quiet=args.json)
    except GateRefused as error:
        return _refused(args, options, error)
    missing = _written(args.html, lambda: _page().page(published, options))
    if missing:
        published = replace(published, notes=(*published.notes, missing))
    if args.json:
        print(json.dumps(_to_json(published), ensure_ascii=False))
    else:
        _report().print_published(published, options)
    return 0


def _refused(args: argparse.Namespace, options: ConvertOptions, error: GateRefused) -> int:
    """Says what was found, on a page too where one is wanted. Returns the exit code."""
    _written(args.html, lambda: _page().refusal_page(error, options))
    if args.json:
        print(json.dumps(_refusal_json(error), ensure_ascii=False))
    else:
        _report().print_attempts(error.report.get("attempts", []))
    print(f"rapide: refused by the {error.gate} gate: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)
    return REFUSED


def _written(path: Path | None, make: Callable[[], Any]) -> str:
    """Writes the page that is wanted (None: none is). Returns, after saying it, why that could not be done."""
    missing = "" if path is None else write_page(path, make)
    if missing:
        print(f"Note: {missing}", file=sys.stderr)
    return missing


def _options(args: argparse.Namespace) -> ConvertOptions:
    check_finite({"--max-difference": args.max_difference, "--max-latency-us": args.max_latency_us})
    if args.max_latency_us is not None and args.max_latency_us <= 0:
        raise ConversionError("--max-latency-us must be above 0")
    if args.max_difference < 0 or args.max_flips < 0:
        raise ConversionError("--max-difference and --max-flips cannot be below 0")
    if bool(args.constant) == (args.model is not None):
        raise ConversionError(
            "give either a model or --constant",
            hint="rapide convert model.joblib …, or rapide convert --constant 0.5 …",
        )
    return ConvertOptions(
        model=args.model or Path(),
        constant=args.constant,
        sample=args.sample,
        repository=args.to,
        name=args.name,
        target=args.target,
        metric=args.metric,
        baseline=args.baseline,
        hurdle=args.hurdle,
        profile=args.profile,
        max_latency_us=args.max_latency_us,
        classes=tuple(name.strip() for name in args.classes.split(",") if name.strip()),
        description=args.description,
        label=args.label,
        precision=args.precision,
        max_difference=args.max_difference,
        max_flips=args.max_flips,
        parent=args.parent,
        data_origin=args.data_origin,
        optimise=args.optimise,
        max_loss=read_limits(args.max_loss),
        limits=child_limits(args),
    )


def _convert(options: ConvertOptions, *, quiet: bool) -> Published:
    if quiet or not sys.stderr.isatty():
        return convert(options, _say_notes)
    published: Published = _report().with_progress(lambda listener: convert(options, listener))
    return published


def _say_notes(kind: str, text: str) -> None:
    if kind != "step":
        print(text if kind == "caution" else f"Note: {text}", file=sys.stderr)


def _refusal_json(error: GateRefused) -> dict[str, Any]:
    """What every error says (see main.py), and what the gate found."""
    return {"error": error.message, "hint": error.hint, "gate": error.gate, "report": error.report}


def _to_json(published: Published) -> dict[str, Any]:
    manifest = published.manifest
    return {
        "model": manifest.model,
        "version": published.version,
        "folder": str(published.folder),
        "digest": manifest.digest,
        "precision": published.chosen.precision,
        "bytes": published.chosen.examination["bytes"],
        "label": published.label if published.labelled == published.version else "",
        "quality": dict(manifest.quality),
        "gates": dict(manifest.gates),
        "parity": {
            attempt.precision: {"passed": attempt.passed, "checks": attempt.examination["table"]}
            for attempt in published.attempts
        },
        "latency_us": published.chosen.examination["latency_us"],
        "optimised": _optimised_json(published),
        "notes": list(published.notes),
        "elapsed_s": round(published.elapsed_s, 2),
    }


def _optimised_json(published: Published) -> dict[str, Any] | None:
    if published.optimised is None:
        return None
    label = published.label if published.labelled == published.optimised.version else ""
    return {**optimised_json(published.optimised), "label": label}


def _page() -> Any:
    return importlib.import_module("rapide.cli.convert_page")


def _report() -> Any:
    """Loaded when there is something to show: the library for tables takes a tenth of a second."""
    return importlib.import_module("rapide.cli.convert_report")
