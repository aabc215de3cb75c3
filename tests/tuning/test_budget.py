from __future__ import annotations

from rapide.tuning.budget import UNTIL, Budget


class Clock:
    """Moved by hand."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_each_part_is_over_in_its_turn() -> None:
    clock = Clock()
    budget = Budget.of(100.0, clock)
    over = {part: budget.over(part) for part in UNTIL}
    assert not any(is_over() for is_over in over.values())
    clock.now_s += 100 * UNTIL["measure"] + 1
    assert [part for part, is_over in over.items() if is_over()] == ["measure"]
    clock.now_s += 100 * (UNTIL["search"] - UNTIL["measure"])
    assert all(is_over() for is_over in over.values())
    assert budget.left_s == 100 - 100 * UNTIL["search"] - 1


def test_without_a_bound_nothing_is_ever_over() -> None:
    clock = Clock()
    over = Budget(clock=clock).over("search")
    clock.now_s += 1e9
    assert not over()
