"""Who gets a core when."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapide.tuning.simulation.clock import Clock
from rapide.tuning.simulation.cores import Burst, Cores


def ran(count: int, works: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """When each of ``works``, (comes, lasts), begins and ends on ``count`` cores."""
    clock = Clock()
    cores = Cores(clock, count)
    spans = [(0.0, 0.0)] * len(works)

    def turn(number: int, lasts_s: float) -> Callable[[int, float], None]:
        def begin(core: int, at_s: float) -> None:
            spans[number] = at_s, at_s + lasts_s
            cores.leave(core, at_s + lasts_s)

        return begin

    for number, (comes_s, lasts_s) in enumerate(works):
        begin = turn(number, lasts_s)
        clock.at(comes_s, lambda at_s, begin=begin: cores.ask(at_s, begin))  # type: ignore[misc]
    clock.run()
    return spans


@pytest.mark.parametrize(
    ("count", "works", "begin_s"),
    [
        (1, [(1.0, 2.0), (2.0, 1.0)], [1.0, 3.0]),
        (2, [(1.0, 2.0), (2.0, 1.0)], [1.0, 2.0]),
        (1, [(0.0, 5.0), (2.0, 1.0), (1.0, 1.0)], [0.0, 6.0, 5.0]),
        (2, [(0.0, 5.0), (0.0, 3.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)], [0.0, 0.0, 3.0, 4.0, 5.0]),
    ],
)
def test_who_comes_first_runs_first(count: int, works: list[tuple[float, float]], begin_s: list[float]) -> None:
    assert [begins_s for begins_s, _ in ran(count, works)] == begin_s


@given(st.integers(1, 3), st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=20))
def test_no_core_is_given_twice_nor_idles_while_somebody_waits(count: int, works: list[tuple[int, int]]) -> None:
    spans = ran(count, [(float(comes), float(lasts)) for comes, lasts in works])
    for (comes, lasts), (begins_s, ends_s) in zip(works, spans, strict=True):
        assert begins_s >= comes
        assert ends_s == begins_s + lasts
        busy = sum(other_s <= begins_s < its_end_s for other_s, its_end_s in spans)
        assert busy <= count
        for instant_s in range(comes, int(begins_s)):
            assert sum(other_s <= instant_s < its_end_s for other_s, its_end_s in spans) == count


@pytest.mark.parametrize(
    ("count", "wake_s", "ends_s"),
    [
        pytest.param(1, [0.002], [0.011], id="and goes on after it"),
        pytest.param(1, [0.005, 0.007, 0.009], [0.013], id="again and again"),
        pytest.param(2, [0.0020, 0.0021], [0.011, 0.011], id="also where somebody was interrupted before"),
    ],
)
def test_work_that_lasts_is_interrupted_by_who_wakes(count: int, wake_s: list[float], ends_s: list[float]) -> None:
    """Each core has work for 10 ms, and who wakes wants one for a millisecond."""
    clock, begun, ended = Clock(), [], []
    cores = Cores(clock, count)

    def begin(core: int, at_s: float) -> None:
        begun.append(at_s)
        cores.leave(core, at_s + 0.001)

    for _ in range(count):
        cores.work(0.0, Burst(clock, cores, 0.010, ended.append))
    for comes_s in wake_s:
        clock.at(comes_s, lambda at_s: cores.ask(at_s, begin))
    clock.run()
    assert begun == pytest.approx(wake_s)
    assert ended == pytest.approx(ends_s)


def test_two_long_works_take_turns_on_one_core() -> None:
    clock, ended = Clock(), []
    cores = Cores(clock, 1)
    for _ in range(2):
        cores.work(0.0, Burst(clock, cores, 0.010, ended.append))
    clock.run()
    assert ended == pytest.approx([0.018, 0.020])


def test_who_was_interrupted_goes_on_wherever_a_core_is_free_first() -> None:
    clock, ended = Clock(), []
    cores = Cores(clock, 2)
    cores.work(0.0, Burst(clock, cores, 0.010, ended.append))
    cores.ask(0.0, lambda core, _: cores.leave(core, 0.003))
    clock.at(0.002, lambda at_s: cores.ask(at_s, lambda core, now_s: cores.leave(core, now_s + 0.005)))
    clock.run()
    assert ended == pytest.approx([0.011])


def test_help_of_another_core_is_had_when_it_is_free() -> None:
    clock = Clock()
    cores = Cores(clock, 2)
    cores.ask(0.0, lambda core, _: cores.leave(core, 5.0))
    assert cores.borrow(1.0, 2.0) == 3.0
    assert cores.borrow(1.0, 2.0) == 5.0
    assert not cores.has_one(4.0)
    assert cores.has_one(5.0)
    alone = Cores(clock, 1)
    alone.ask(0.0, lambda *_: None)  # nobody knows when it leaves
    assert alone.borrow(1.0, 2.0) == 5.0
