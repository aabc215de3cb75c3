"""The page of errors is what the status table says."""

from __future__ import annotations

from pathlib import Path

from rapide.server.protocols.errors_reference import render
from rapide.server.protocols.status import TABLE

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), (
        "python -m rapide.server.protocols.errors_reference > docs/reference/errors.md"
    )


def test_every_error_has_a_row() -> None:
    page = render()
    assert all(f"| `{status.name}` |" in page for kind, status in TABLE.items() if kind.__name__ != "RapideError")
