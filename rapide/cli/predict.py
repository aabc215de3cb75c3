"""``rapide predict``: ask a running server for predictions, by the names that the model's people use."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rapide.cli.prediction_clients import Answer, Question, connect
from rapide.cli.printable import printable
from rapide.cli.rows import Given, Table, read
from rapide.server.errors import InvalidRequest
from rapide.server.telemetry.request_ids import accepted_id

EXAMPLES = """\
examples:
  rapide predict http://localhost:8000 car-price '{"make": "Ford", "fuel": "petrol", "year": 2014}'
  rapide predict grpc://localhost:8001 car-price cars.csv --json
  rapide predict http://localhost:8000 car-price - --label canary < cars.json
"""
_NUMBERED = re.compile(r"(.*?)((?:(?<=\.)-)?\d+(?:\.\d+)?)")
"""A name that ends in a number, which is a class (``probability.10``, ``probability.-1``, ``probability.2.0``)
or a column."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to ``rapide``'s parser."""
    parser = subparsers.add_parser(
        "predict",
        help="ask a running server for predictions",
        description="Asks a running server for predictions by feature name, over HTTP or gRPC.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", help="the server: http://host:8000 or grpc://host:8001")
    parser.add_argument("model", help="the model's name")
    parser.add_argument(
        "rows", help="rows as JSON, a .json or .csv file, or - for standard input (objects of named features, "
        "lists of them, or an object with a list for each name)"
    )  # fmt: skip
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", default="", metavar="N", help="ask this version")
    which.add_argument("--label", default="", help="ask the version of this label")
    parser.add_argument(
        "--user-key", default="", metavar="KEY", help="calls with the same key meet the same version"
    )
    parser.add_argument("--request-id", default="", metavar="ID", help="your name for this call, for the logs")
    parser.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds to wait (default: 30)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints predictions, returns 0. Raises RapideError with what the server says, or what to do about it."""
    answer = _in_order(_ask(args))
    if args.json:
        print(json.dumps(_to_json(answer), ensure_ascii=False))
    else:
        for line in _lines(answer):
            print(printable(line))
    return 0


def _ask(args: argparse.Namespace) -> Answer:
    if args.timeout <= 0:
        raise InvalidRequest("--timeout must be above 0 seconds.")
    if args.request_id and not accepted_id(args.request_id):
        raise InvalidRequest(
            f"--request-id: {args.request_id[:128]!r} cannot name a call.",
            hint="Write 1 to 128 visible ASCII characters, without spaces.",
        )
    client = connect(args.url)
    question = Question(args.model, args.version, args.label, args.user_key, args.request_id, args.timeout)
    given = read(args.rows)
    if isinstance(given, Given) and given.empty:
        raise InvalidRequest("no rows were given.", hint='Give at least one, such as \'{"make": "Ford"}\'.')
    if isinstance(given, Table):
        given = given.given(client.kinds(question))
    return client.predict(question, given)


def _in_order(answer: Answer) -> Answer:
    """With the columns in the order of their names: protobuf's maps, and so gRPC's answers, have none."""
    rows = [
        {name: row[name] for name in sorted(row, key=natural_key)} if isinstance(row, Mapping) else row
        for row in answer.rows
    ]
    return replace(answer, rows=rows)


def natural_key(name: str) -> tuple[bool, str, float, str]:
    """Sorts names without a number at their end first, the others by what precedes the number, then by it."""
    numbered = _NUMBERED.fullmatch(name)
    return (True, numbered[1], float(numbered[2]), name) if numbered else (False, name, 0.0, name)


def _to_json(answer: Answer) -> dict[str, Any]:
    return {
        "predictions": answer.rows,
        "model": answer.model,
        "version": answer.version,
        "label": answer.label,
        "request_id": answer.request_id,
    }


def _lines(answer: Answer) -> Iterator[str]:
    rows = answer.rows
    if len(rows) == 1 and isinstance(rows[0], Mapping):
        width = max(map(len, rows[0]), default=0)
        for name, value in rows[0].items():
            yield f"{name:<{width}}  {_shown(value)}"
    elif rows and all(isinstance(row, Mapping) for row in rows):
        yield from _table(rows)
    else:
        yield from map(_shown, rows)
    label = f" ({answer.label})" if answer.label else ""
    yield f"answered by {answer.model} version {answer.version}{label}, request {answer.request_id}"


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = list(rows[0])
    cells = [names, *([_shown(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    for line in cells:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
