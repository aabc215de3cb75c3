"""Turns: who may work when, counted in what it took; the time is the test's own."""

from __future__ import annotations

import asyncio

from rapide.server.protocols import turns
from rapide.server.protocols.turns import FREE_SHARE, SHARE_S, TURN_S, Place, Turns


class Asker:
    """Takes turns of ``each_s`` until its work is done."""

    def __init__(self, line: Turns, name: str, rounds: int, each_s: float, log: list[str]) -> None:
        self.place = Place(line, self.take_turn, asyncio.get_running_loop())
        self.name, self.rounds, self.each_s, self.log = name, rounds, each_s, log

    def take_turn(self) -> float:
        owed_s = self.place.leave()
        self.log.append(self.name)
        self.rounds -= 1
        if self.rounds:
            self.place.join(0)
        return owed_s + self.each_s


async def test_those_in_line_take_turns_and_leave_room_between_them() -> None:
    line, log = Turns(), []
    for name in "abc":
        assert Asker(line, name, 4, TURN_S / 2, log).place.join(0)
    assert line.is_busy
    for _ in range(7):
        await asyncio.sleep(0)
        log.append("|")
    assert "".join(log) == "ab|ca|bc|ab|ca|bc||"
    assert not line.is_busy


async def test_work_on_credit_is_paid_in_line() -> None:
    line, log = Turns(), []
    debtor = Asker(line, "d", 1, 0.0, log)
    assert debtor.place.owe(3 * TURN_S, now_s=1.0)
    debtor.place.join(0)
    Asker(line, "o", 1, 0.0, log).place.join(0)
    await asyncio.sleep(0)
    assert log == ["d"], "the other one waits while it is paid"
    await asyncio.sleep(0)
    assert log == ["d", "o"]
    assert not debtor.place.owe(SHARE_S, now_s=1.0), "nothing is owed any more"


async def test_little_is_free() -> None:
    place = Place(Turns(), float, asyncio.get_running_loop())
    now_s = 0.0
    for _ in range(1000):
        now_s += 0.001
        assert not place.owe(0.001 * FREE_SHARE, now_s)
    assert any(place.owe(0.002 * FREE_SHARE, now_s + 0.001 * number) for number in range(1000))


async def test_who_asks_now_and_then_does_not_stand_in_line_for_a_slow_call() -> None:
    place = Place(Turns(), float, asyncio.get_running_loop())
    assert not any(place.owe(2 * SHARE_S, now_s=0.05 * number) for number in range(100))


async def test_there_is_room_for_so_many_octets() -> None:
    line, log = Turns(), []
    first, second = (Asker(line, name, 1, 0.0, log) for name in "ab")
    most = turns.MAX_WAITING_BYTES
    assert first.place.join(most - 1)
    assert first.place.join(most), "it stands there already"
    assert not second.place.join(2)
    assert not second.place.in_line
    await asyncio.sleep(0)
    assert log == ["a"]
    assert second.place.join(2)
    await asyncio.sleep(0)


async def test_a_fault_of_one_does_not_end_the_line() -> None:
    line, log = Turns(), []

    def fault() -> float:
        raise ZeroDivisionError

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    line.join(fault, 0, asyncio.get_running_loop())
    Asker(line, "a", 1, 0.0, log).place.join(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert log == ["a"]
    assert len(told) == 1
    assert not line.is_busy
