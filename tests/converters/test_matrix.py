"""docs/converters.md says what converts in which precision: each cell of its table must hold."""

from __future__ import annotations

import pytest

from tests.converters.extras import needs
from tests.converters.matrix import BEGIN, END, ESTIMATORS, KINDS, PAGE, cell

needs("xgboost", "xgboost")
needs("lightgbm", "lightgbm")
needs("catboost", "catboost")


def stated() -> dict[tuple[str, str], str]:
    """The verdicts on the page."""
    part = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [
        [each.strip() for each in line.strip("| ").split("|")]
        for line in part.splitlines()
        if line.startswith("| ")
    ]
    return {
        (row[0], kind): row[position].partition(",")[0]
        for row in rows[1:]
        for position, kind in enumerate(rows[0])
        if position
    }


STATED = stated()


def test_the_page_has_all_cells() -> None:
    assert set(STATED) == {(name, kind) for name in ESTIMATORS for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_cell_is_as_the_page_says(name: str, kind: str) -> None:
    found = cell(name, kind)
    assert found.verdict == STATED[name, kind], found.reason
    assert found.over == 0
