"""Who asks in a simulation."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from rapide.tuning.costs import Costs
from rapide.tuning.simulation.client import Callers, Client
from rapide.tuning.simulation.clock import Clock
from rapide.tuning.simulation.cores import Cores

COSTS = replace(Costs(), network_us=100.0, send_us=10.0, receive_us=20.0)
ANSWERED_S = 0.001


def asked(due_s: list[float], costs: Costs = COSTS, cores: Cores | None = None, clock: Clock | None = None):  # type: ignore[no-untyped-def]
    """Who asks a server that answers everything a millisecond later, and when it gets what."""
    clock, there_s = clock or Clock(), {}

    def deliver(number: int, at_s: float) -> None:
        there_s[number] = at_s
        client.answer(number, at_s + ANSWERED_S)

    client = Client(clock, cores, costs, due_s, deliver, Random(0))
    client.begin()
    clock.run()
    return client, [there_s[number] for number in range(len(due_s))]


def test_what_is_due_together_leaves_one_after_another_and_is_read_so() -> None:
    client, there_s = asked([0.1, 0.1, 0.2])
    assert there_s == pytest.approx([0.10006, 0.10007, 0.20006])
    assert client.ended_s == pytest.approx([0.10006 + 0.00107, 0.10006 + 0.00109, 0.20006 + 0.00107])
    assert client.busy_s == pytest.approx(3 * 30e-6)


def test_without_a_core_it_neither_sends_nor_reads() -> None:
    clock = Clock()
    cores = Cores(clock, 1)
    clock.at(0.0995, lambda at_s: cores.ask(at_s, lambda core, _: cores.leave(core, 0.105)))
    _, there_s = asked([0.1], cores=cores, clock=clock)
    assert there_s == pytest.approx([0.10506])
    clock = Clock()
    cores = Cores(clock, 1)
    clock.at(0.1001, lambda at_s: cores.ask(at_s, lambda core, _: cores.leave(core, 0.105)))
    client, there_s = asked([0.1], cores=cores, clock=clock)
    assert there_s == pytest.approx([0.10006])
    assert client.ended_s == pytest.approx([0.10502])


def test_it_sends_late_by_what_was_measured_but_for_what_finds_it_awake() -> None:
    _, there_s = asked([0.1, 0.100075], replace(COSTS, late_us=(70.0,)))
    assert np.array(there_s) - 0.1 == pytest.approx([130e-6, 140e-6])


def test_woken_late_it_is_late_for_all_that_came_meanwhile() -> None:
    client, there_s = asked([0.1, 0.1005], replace(COSTS, late_share=1.0, late_waking_us=(2000.0,)))
    assert there_s == pytest.approx([0.10206, 0.10207])
    assert client.ended_s == pytest.approx([0.10513, 0.10515])


def test_in_the_middle_of_a_turn_of_others_it_goes_on_if_there_is_a_core() -> None:
    for is_taken in (False, True):
        clock = Clock()
        cores, there_s = Cores(clock, 1), []
        client = Client(clock, cores, COSTS, [0.1], lambda _, at_s, to=there_s: to.append(at_s), Random(0))  # type: ignore[misc]
        client.begin()
        if is_taken:
            cores.ask(0.0, lambda *_: None)
        client.advance(0.0999)
        assert not there_s
        client.advance(0.2)
        assert len(there_s) == (not is_taken)


def test_callers_elsewhere_take_no_time() -> None:
    there_s: list[float] = []
    callers = Callers(Clock(), None, COSTS, [0.1, 0.1], lambda _, at_s: there_s.append(at_s), Random(0))
    callers.begin()
    callers.answer(1, 0.2)
    assert there_s == pytest.approx([0.10005, 0.10005])
    assert callers.ended_s == [float("inf"), pytest.approx(0.20005)]
