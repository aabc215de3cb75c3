"""``rapide``: finds the command, runs it, and turns errors into words and exit codes.

Exit codes: 0 done; 1 it could not be done, and why is on standard error; 2 the command line is wrong; 70 a mistake
of ours; 130 interrupted. ``RAPIDE_DEBUG=1`` shows tracebacks.

A command's module is imported only when it is named, and imports what is heavy only when it runs, so that
``rapide --help`` and the short commands answer at once.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence

from rapide import __version__
from rapide.server.errors import RapideError

COMMANDS = {
    "serve": "serve a model file or a repository over gRPC and HTTP",
    "convert": "convert a trained model to ONNX, check it and publish it",
    "models": "show what a repository holds",
    "label": "decide which version a label means",
    "which": "show which version answered at a given time",
    "predict": "ask a running server for predictions",
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
EXIT_OURS = 70
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code (or raises SystemExit with it, as argparse does)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        args = build_parser(arguments).parse_args(arguments)
        code: int = args.run(args)
        sys.stdout.flush()
    except RapideError as error:
        return _fail(error, error.message, error.hint)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (``rapide models | head``); nothing is left to be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(error, str(error), "")
    except Exception as error:  # noqa: BLE001 - the last resort
        hint = "This is a mistake of rapide's, not yours. RAPIDE_DEBUG=1 shows where it happened."
        return _fail(error, f"unexpected {type(error).__name__}: {error}", hint, EXIT_OURS)
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
    if named and not named.startswith("-") and named not in COMMANDS:
        near = difflib.get_close_matches(named, COMMANDS, n=1)
        known = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(COMMANDS)}"
        parser.error(f"there is no command {named!r}; {known}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command, summary in COMMANDS.items():
        if command == named:
            importlib.import_module(f"rapide.cli.{command}").register(subparsers)
        else:
            subparsers.add_parser(command, help=summary)
    return parser


def _fail(error: BaseException, message: str, hint: str, code: int = 1) -> int:
    """Says what went wrong, in words; with RAPIDE_DEBUG set, with the traceback as well."""
    if os.environ.get("RAPIDE_DEBUG", "") not in ("", "0"):
        raise error
    print(f"rapide: {message}", *([hint] if hint else []), sep="\n  ", file=sys.stderr)
    return code
