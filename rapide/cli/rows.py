"""Rows for a prediction, as people have them: a JSON text, a JSON or CSV file, or standard input.

Whatever the form, what comes out is either *rows* (objects of named features, or bare values) or *columns* (an
object with a list for each name).
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapide.server.errors import InvalidRequest

_WHOLE = re.compile(r"-?(?:0|[1-9]\d{0,17})")
"""A number whose digits say it all: 007 is a name, not seven."""
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TRUTHS = {"true": True, "false": False}

Kinds = Mapping[str, str]
"""What the model says of its features: name → number, integer, boolean or text."""


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be predicted: exactly one of the two is not None."""

    rows: list[Any] | None = None
    columns: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The body that ``:predict`` takes."""
        return {"instances": self.rows} if self.rows is not None else {"inputs": self.columns}

    @property
    def empty(self) -> bool:
        """Whether there is no row. A lone value in place of a column's list is one."""
        return not self.rows if self.rows is not None else not any(map(_is_given, (self.columns or {}).values()))


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file: its values are texts until somebody says what they mean."""

    names: Sequence[str]
    cells: Sequence[Sequence[str]]

    def given(self, kinds: Kinds) -> Given:
        """Columns whose values are read as ``kinds`` say, or as they look where it says nothing. Empty is
        missing."""
        return Given(
            columns={
                name: _column(name, [row[index] for row in self.cells], kinds.get(name))
                for index, name in enumerate(self.names)
            }
        )


def read(argument: str) -> Given | Table:
    """What ``argument`` stands for: JSON text, a file's name, or ``-`` for standard input. Raises
    InvalidRequest."""
    if argument == "-":
        return _of_text(sys.stdin.read(), "standard input")
    if argument.lstrip()[:1] in {"{", "["}:
        return _of_json(argument, "the text of the rows")
    path = Path(argument)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidRequest(
            f"there is no file {argument!r}, and it is no JSON either.",
            hint="""Give rows such as '{"make": "Ford"}', a .json or .csv file, or - for standard input.""",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{argument} cannot be read as text: {error}") from None
    return _of_csv(text, argument) if path.suffix.lower() == ".csv" else _of_text(text, argument)


def _is_given(column: Any) -> bool:
    return not isinstance(column, list) or bool(column)


def _of_text(text: str, source: str) -> Given | Table:
    if not text.strip():
        raise InvalidRequest(f"{source} is empty")
    return _of_json(text, source) if text.lstrip()[0] in {"{", "["} else _of_csv(text, source)


def _of_json(text: str, source: str) -> Given:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return _of_lines(text, source, error)
    if isinstance(value, list):
        return Given(rows=value)
    if value.keys() == {"instances"} and isinstance(value["instances"], list):
        return Given(rows=value["instances"])
    if value.keys() == {"inputs"} and isinstance(value["inputs"], dict):
        return Given(columns=value["inputs"])
    if value and all(isinstance(item, list) for item in value.values()):
        return Given(columns=value)
    return Given(rows=[value])


def _of_lines(text: str, source: str, error: json.JSONDecodeError) -> Given:
    """One JSON object a line, as logs and exports have them."""
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        return Given(rows=[json.loads(line) for line in lines]) if len(lines) > 1 else _raise(error)
    except json.JSONDecodeError:
        raise InvalidRequest(
            f"{source} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.",
            hint="In a shell, put single quotes around it, and double quotes around names and texts inside.",
        ) from None


def _raise(error: Exception) -> Given:
    raise error


def _of_csv(text: str, source: str) -> Table:
    lines = [line for line in csv.reader(io.StringIO(text)) if line]
    if len(lines) < 2:
        raise InvalidRequest(f"{source} has no rows; expected a line of feature names, then a line for each row")
    names, *cells = lines
    for number, row in enumerate(cells, start=2):
        if len(row) != len(names):
            raise InvalidRequest(
                f"{source}: row {number} has {len(row)} values, the first line {len(names)} names"
            )
    return Table(names, cells)


def _column(name: str, cells: Sequence[str], kind: str | None) -> list[Any]:
    present = [cell for cell in cells if cell]
    read_cell = _READERS[kind] if kind in _READERS else _reader_for(present)
    try:
        return [read_cell(cell) if cell else None for cell in cells]
    except (ValueError, KeyError):
        wrong = next(cell for cell in present if not _reads(read_cell, cell))
        raise InvalidRequest(f"column {name!r}: {wrong[:64]!r} is no {kind}") from None


def _reads(read_cell: Any, cell: str) -> bool:
    try:
        read_cell(cell)
    except (ValueError, KeyError):
        return False
    return True


def _number(cell: str) -> int | float:
    return int(cell) if _WHOLE.fullmatch(cell) else float(cell)


def _truth(cell: str) -> bool:
    return _TRUTHS[cell.lower()]


_READERS: Mapping[str | None, Any] = {"number": _number, "integer": _number, "boolean": _truth, "text": str}


def _reader_for(cells: Sequence[str]) -> Any:
    if cells and all(_WHOLE.fullmatch(cell) or (_NUMBER.fullmatch(cell) and not cell.isdigit()) for cell in cells):
        return _number
    if cells and all(cell.lower() in _TRUTHS for cell in cells):
        return _truth
    return str
