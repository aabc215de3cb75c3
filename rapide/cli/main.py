"""``rapide``: finds the command, runs it, and turns errors into words and exit codes.

Exit codes: 0 done; 1 it could not be done, and why is on standard error; 2 the command line is wrong; 70 a mistake
of ours; 130 interrupted; a command may add its own (``convert`` and ``profile diff``: 3). ``RAPIDE_DEBUG=1`` shows
tracebacks.

With ``--json`` an error is also an object on standard output, whichever the command:
``{"error": message, "hint": what to do}``.

A command's module is imported only when it is named, and imports what is heavy only when it runs, so that
``rapide --help`` and the short commands answer at once.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import os
import sys
from collections.abc import Sequence

from rapide import __version__
from rapide.cli.printable import printable
from rapide.server.errors import RapideError

COMMANDS = {
    "serve": "serve a model file or a repository over gRPC and HTTP",
    "convert": "convert a trained model to ONNX, check it and publish it",
    "optimise": "make faster forms of a published model, and keep those that are proven",
    "models": "show what a repository holds",
    "label": "decide which version a label means",
    "which": "show which version answered at a given time",
    "predict": "ask a running server for predictions",
    "replay": "play a usage profile at a running server",
    "profile": "save, show, merge, make and compare usage profiles",
    "tune": "find how a model is best run on this machine for how it is used",
    "plan": "say how many cores and replicas a load needs",
    "check": "show what this machine offers and what a server would choose",
}
"""Command → what it does. Its module ``rapide.cli.<command>`` has ``register(subparsers)``, which adds its parser,
with a function ``run(args) -> exit code`` as a default."""

_EPILOG = """\
examples:
  rapide serve models/                                    serve every model in a repository
  rapide serve model.onnx                                 serve one file
  rapide convert model.joblib --name car-price --sample rows.parquet --to models/
  rapide predict http://localhost:8000 car-price '{"make": "Ford", "year": 2014}'
  rapide COMMAND --help                                   more about a command, with examples
"""
EXIT_USAGE = 2
EXIT_OURS = 70
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code (or raises SystemExit with it, as argparse does)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    args = argparse.Namespace()
    try:
        args = _parse(arguments)
        code: int = args.run(args)
        sys.stdout.flush()
    except RapideError as error:
        return _fail(args, error, error.message, error.hint)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (``rapide models | head``); nothing is left to be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(args, error, str(error), "")
    except Exception as error:  # noqa: BLE001 - the last resort
        hint = "This is a mistake of rapide's, not yours. RAPIDE_DEBUG=1 shows where it happened."
        return _fail(args, error, f"unexpected {type(error).__name__}: {error}", hint, EXIT_OURS)
    return code


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser that ``arguments`` need: whole for the command that they name, an outline of the others."""
    parser = argparse.ArgumentParser(
        prog="rapide",
        description="From a trained model to a fast, safe prediction service.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rapide {__version__}")
    named = arguments[0] if arguments else ""
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command, summary in COMMANDS.items():
        if command == named:
            importlib.import_module(f"rapide.cli.{command}").register(subparsers)
        else:
            subparsers.add_parser(command, help=summary)
    if named and not named.startswith("-") and named not in COMMANDS:
        near = difflib.get_close_matches(named, COMMANDS, n=1)
        known = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(COMMANDS)}"
        parser.error(f"there is no command {named!r}; {known}")
    return parser


def command_parser(parser: argparse.ArgumentParser, command: str) -> argparse.ArgumentParser:
    """The parser of ``command`` within the one that ``build_parser`` made for it."""
    subparsers = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    chosen: argparse.ArgumentParser = subparsers.choices[command]
    return chosen


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What ``arguments`` mean. Raises SystemExit, after saying why on standard error, where they mean nothing."""
    parser = build_parser(arguments)
    if not arguments:
        parser.print_help(sys.stderr)
        raise SystemExit(EXIT_USAGE)
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        # argparse would say so with the usage of ``rapide`` alone, which names no option of the command.
        chosen = command_parser(parser, arguments[0]) if arguments[0] in COMMANDS else parser
        options = [option for option in chosen._option_string_actions if option.startswith("--")]
        near = difflib.get_close_matches(unknown[0].partition("=")[0], options, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
    return args


def _fail(args: argparse.Namespace, error: BaseException, message: str, hint: str, code: int = 1) -> int:
    """Says what went wrong, in words; with RAPIDE_DEBUG set, with the traceback as well."""
    if os.environ.get("RAPIDE_DEBUG", "") not in ("", "0"):
        raise error
    if getattr(args, "json", False):
        print(printable(json.dumps({"error": message, "hint": hint}, ensure_ascii=False)))
    said = "\n  ".join([f"rapide: {message}", *([hint] if hint else [])])
    print(printable(said, kept="\n"), file=sys.stderr)  # a server or a file may have had a part in it
    return code
