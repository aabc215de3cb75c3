"""One HTML page in one file: headings, prose, facts, tables and plots. Nothing is fetched, nothing runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from rapide.reports.theme import STYLE

_NUMBER: Final = re.compile(r"[-+−]?\d[\d.,\s]*(?:e[-+]?\d+)?\s*(?:%|×|[a-zA-Zµ/·²]{0,12})?|–|")
"""A cell that is set flush right: a number, perhaps with a unit, or the sign for none."""


class Page:
    """A page under construction: each call adds to its end. Every text is escaped; plots are SVG and are not."""

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = title
        self._subtitle = subtitle
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        self._parts.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph; an empty line begins another."""
        self._parts.extend(f"<p>{escape(part)}</p>" for part in text.split("\n\n") if part.strip())

    def facts(self, facts: Mapping[str, str]) -> None:
        """Names and their values, as tiles."""
        tiles = "".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items()
        )
        self._parts.append(f"<dl>{tiles}</dl>")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
        """``rows`` under ``headers``; a column of numbers is set flush right. Raises ValueError for a row of
        another length."""
        for row in rows:
            if len(row) != len(headers):
                raise ValueError(f"a row of {len(row)} cells under {len(headers)} headers: {row}")
        classes = [_alignment([row[index] for row in rows]) for index in range(len(headers))]
        head = "".join(_cell("th", text, name) for text, name in zip(headers, classes, strict=True))
        body = "".join(
            f"<tr>{''.join(_cell('td', text, name) for text, name in zip(row, classes, strict=True))}</tr>"
            for row in rows
        )
        said = f"<caption>{escape(caption)}</caption>" if caption else ""
        self._parts.append(
            f'<div class="scroll"><table>{said}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def plot(self, svg: str, caption: str) -> None:
        """A plot of ``reports.plots``, and what it shows in a sentence."""
        self._parts.append(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>")

    def html(self) -> str:
        title = escape(self._title)
        subtitle = f'<p class="subtitle">{escape(self._subtitle)}</p>' if self._subtitle else ""
        body = "\n".join(self._parts)
        return (
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n"
            f"<body><main>\n<h1>{title}</h1>\n{subtitle}\n{body}\n</main></body>\n</html>\n"
        )

    def save(self, path: str | Path) -> None:
        """Writes the page, whole or not at all. Raises OSError."""
        path = Path(path)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_text(self.html(), encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def _alignment(cells: Sequence[str]) -> str:
    is_number = any(cells) and all(_NUMBER.fullmatch(cell.strip()) for cell in cells)
    return ' class="number"' if is_number else ""


def _cell(tag: str, text: str, attributes: str) -> str:
    return f"<{tag}{attributes}>{escape(text)}</{tag}>"
