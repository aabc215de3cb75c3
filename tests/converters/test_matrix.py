"""docs/converters.md says what converts in which precision: each cell of its table must hold."""

from __future__ import annotations

import pytest

from tests.converters.extras import needs
from tests.converters.matrix import BEGIN, END, ESTIMATORS, KINDS, PAGE, cell

needs("xgboost", "xgboost")
needs("lightgbm", "lightgbm")
needs("catboost", "catboost")


def stated() -> dict[tuple[str, str], tuple[str, float]]:
    """The verdicts on the page, and how many limits the worst difference is."""
    part = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    rows = [
        [each.strip() for each in line.strip("| ").split("|")]
        for line in part.splitlines()
        if line.startswith("| ")
    ]
    return {
        (row[0], kind): _parts(row[position])
        for row in rows[1:]
        for position, kind in enumerate(rows[0])
        if position
    }


def _parts(cell: str) -> tuple[str, float]:
    verdict, _, rest = cell.partition(", ")
    return verdict, float(rest.split()[0]) if rest else 0.0


STATED = stated()


def test_the_page_has_all_cells() -> None:
    assert set(STATED) == {(name, kind) for name in ESTIMATORS for kind in KINDS}


def test_no_cell_hangs_on_the_rounding_of_one_processor() -> None:
    """Linear algebra rounds differently on other processors: a verdict near its limit is another one there."""
    near = {where: worst for where, (_, worst) in STATED.items() if worst > 0.5}
    assert not near, "give these estimators data or options that are further from the limit"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_cell_is_as_the_page_says(name: str, kind: str) -> None:
    found = cell(name, kind)
    assert found.verdict == STATED[name, kind][0], found.reason
    assert found.over == 0
