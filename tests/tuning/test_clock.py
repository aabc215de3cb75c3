"""The time of a simulation."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from rapide.tuning.simulation.clock import Clock, Waking


@given(st.lists(st.integers(0, 9), max_size=30))
def test_everything_happens_in_order_and_what_coincides_in_the_order_of_asking(instants_s: list[int]) -> None:
    clock, happened = Clock(), []
    for number, instant_s in enumerate(instants_s):
        clock.at(instant_s, lambda at_s, number=number: happened.append((at_s, number)))  # type: ignore[misc]
    clock.run()
    assert happened == sorted(zip(instants_s, range(len(instants_s)), strict=True))


def test_what_happens_asks_for_more() -> None:
    clock, happened = Clock(), []

    def again(at_s: float) -> None:
        happened.append(at_s)
        if at_s < 3:
            clock.at(at_s + 1, again)

    clock.at(1.0, again)
    clock.run()
    assert happened == [1.0, 2.0, 3.0]


def test_of_several_wakings_the_earliest_counts_once() -> None:
    clock, woken = Clock(), []
    waking = Waking(clock, woken.append)
    for at_s in (5.0, 3.0, 4.0, 3.0):
        waking.by(at_s)
    assert waking.at_s == 3.0
    clock.run()
    assert woken == [3.0]
    assert waking.at_s == math.inf
    waking.by(7.0)
    waking.ring()
    clock.run()
    assert woken == [3.0, 7.0], "not again when the clock comes to it"
