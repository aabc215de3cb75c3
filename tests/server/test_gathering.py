from __future__ import annotations

import pytest

from rapide.server.gathering import MOST_LOOKS, Gathering


def looks(gathering: Gathering, waiting: list[int]) -> int:
    """How often it goes on while ``waiting`` requests are there at one look after the other."""
    for count, requests in enumerate(waiting):
        if not gathering.goes_on(requests):
            return count
    raise AssertionError(f"it goes on after {len(waiting)} looks")


@pytest.mark.parametrize(
    ("company", "waiting", "expected"),
    [
        pytest.param(1, [1], 0, id="a lone caller pays for nothing"),
        pytest.param(1, [5], 0, id="the first company is not expected"),
        pytest.param(4, [4, 4], 1, id="a look that brings nothing is the last"),
        pytest.param(4, [4, 6, 6], 2, id="one that brings some is followed by another"),
        pytest.param(4, [4, 5, 6, 7, 8], MOST_LOOKS, id="but not without end"),
    ],
)
def test_it_looks_where_company_is_likely(company: int, waiting: list[int], expected: int) -> None:
    gathering = Gathering()
    gathering.ends(company)
    assert looks(gathering, waiting) == expected


def test_each_batch_is_gathered_anew() -> None:
    gathering = Gathering()
    for _ in range(3):
        gathering.ends(2)
        assert looks(gathering, [2, 3, 3]) == 2
    gathering.ends(1)
    assert looks(gathering, [2]) == 0


def test_who_came_alone_for_some_turns_is_taken_to_come_alone() -> None:
    gathering = Gathering()
    told = []
    for requests in (1, 1, 1, 1, 2, 1, 1, 1):
        told.append(gathering.is_alone)
        gathering.ends(requests)
    assert told == [False, False, False, True, True, False, False, False]
    assert gathering.is_alone
