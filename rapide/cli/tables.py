"""Tables on standard output: pleasant on a terminal, plain and greppable everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rapide.cli.printable import printable

Row = Sequence[str]


def print_table(columns: Row, rows: Sequence[Row], *, right: frozenset[str] = frozenset()) -> None:
    """Prints ``rows`` under ``columns``; those named in ``right`` are set flush right.

    On a terminal a cell that repeats the one above in the first column is left blank; elsewhere every line stands
    for itself.
    """
    clean = [tuple(printable(cell) for cell in row) for row in rows]
    if sys.stdout.isatty():
        _print_rich(columns, clean, right)
    else:
        _print_plain(columns, clean, right)


def _print_plain(columns: Row, rows: Sequence[Row], right: frozenset[str]) -> None:
    lines = [columns, *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = (
            f"{cell:>{width}}" if column in right else f"{cell:<{width}}"
            for cell, width, column in zip(line, widths, columns, strict=True)
        )
        print("  ".join(cells).rstrip())


def _print_rich(columns: Row, rows: Sequence[Row], right: frozenset[str]) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - takes longer to import than most commands to run
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        style = "bold" if index == 0 else None
        table.add_column(column, justify="right" if column in right else "left", style=style, overflow="fold")
    above = ""
    for first, *others in rows:
        table.add_row(*(Text(cell) for cell in ("" if first == above else first, *others)))
        above = first
    Console().print(table)


def size_text(size_bytes: int) -> str:
    """``999 B``, ``1.2 kB``, ``34 MB``: decimal units, two or three digits."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.1f} {unit}" if unit != "B" and size < 9.95 else f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def percent_text(percent: float) -> str:
    return f"{percent:.4g} %"
