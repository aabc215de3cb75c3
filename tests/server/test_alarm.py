"""When an alarm rings: on real event loops, and where there are no timers that are files."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import pytest
import uvloop

from rapide.server import alarm as alarm_module
from rapide.server.alarm import Alarm
from tests.server.engine_fakes import HandClock, HandLoop

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}
SOON_S = 0.0003
"""No whole number of milliseconds."""


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[..., object]:
    """Runs a coroutine on an event loop of each kind."""

    def run(coroutine: object) -> object:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            return runner.run(coroutine)  # type: ignore[arg-type]

    return run


class Bell:
    """Hears an alarm."""

    def __init__(self) -> None:
        self.alarm = Alarm(asyncio.get_running_loop(), self._rings)
        self.heard_s: list[float] = []
        self._event = asyncio.Event()

    def _rings(self) -> None:
        self.heard_s.append(time.monotonic())
        self._event.set()

    async def next_s(self) -> float:
        """When it rings next."""
        await asyncio.wait_for(self._event.wait(), 5.0)
        self._event.clear()
        return self.heard_s[-1]


def test_it_rings_after_the_time_and_soon_after(run: Callable[..., object]) -> None:
    async def waits_s() -> list[float]:
        bell, waits_s = Bell(), []
        for _ in range(40):
            set_s = time.monotonic()
            bell.alarm.set(SOON_S)
            waits_s.append(await bell.next_s() - set_s)
        bell.alarm.close()
        return waits_s

    waits_s = run(waits_s())
    assert isinstance(waits_s, list)
    assert min(waits_s) >= SOON_S
    assert min(waits_s) < 0.001, "a timer of whole milliseconds could have done that"


def test_the_last_setting_counts(run: Callable[..., object]) -> None:
    async def heard() -> tuple[int, float]:
        bell = Bell()
        bell.alarm.set(0.01)
        bell.alarm.set(10.0)
        bell.alarm.set(0.03)
        set_s = time.monotonic()
        rang_s = await bell.next_s()
        await asyncio.sleep(0.05)
        bell.alarm.close()
        return len(bell.heard_s), rang_s - set_s

    count, after_s = run(heard())  # type: ignore[misc]
    assert count == 1
    assert after_s >= 0.029


@pytest.mark.parametrize("ends", ["cancel", "close"])
def test_it_is_silent_once_it_is(ends: str, run: Callable[..., object]) -> None:
    async def heard() -> int:
        bell = Bell()
        bell.alarm.set(0.0)
        time.sleep(0.002)  # it has rung, and the loop does not know yet
        getattr(bell.alarm, ends)()
        await asyncio.sleep(0.02)
        bell.alarm.close()
        return len(bell.heard_s)

    assert run(heard()) == 0


@pytest.mark.parametrize("delay_s", [0.0, -1.0, 1e-12])
def test_what_is_due_rings_at_once(delay_s: float, run: Callable[..., object]) -> None:
    async def rings() -> None:
        bell = Bell()
        bell.alarm.set(delay_s)
        await bell.next_s()
        bell.alarm.close()

    run(rings())


def test_what_is_due_in_ages_does_not(run: Callable[..., object]) -> None:
    async def heard() -> int:
        bell = Bell()
        bell.alarm.set(1e300)
        await asyncio.sleep(0.02)
        bell.alarm.close()
        return len(bell.heard_s)

    assert run(heard()) == 0


def test_no_file_is_left(run: Callable[..., object]) -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def more() -> list[int]:
        before, counts = files(), []
        for _ in range(5):
            bell = Bell()
            counts.append(files() - before)
            bell.alarm.set(SOON_S)
            await bell.next_s()
            bell.alarm.close()
            bell.alarm.close()
        return [*counts, files() - before]

    found = run(more())
    assert found == [0] * 6


async def test_without_such_files_it_is_the_loops_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarm_module, "_LIBC", object())
    bell = Bell()
    bell.alarm.set(10.0)
    bell.alarm.set(0.01)
    await bell.next_s()
    bell.alarm.set(0.001)
    bell.alarm.cancel()
    await asyncio.sleep(0.02)
    bell.alarm.close()
    assert len(bell.heard_s) == 1


def test_a_loop_that_watches_no_files_has_timers() -> None:
    clock = HandClock()
    loop = HandLoop(clock)
    heard_s: list[float] = []
    alarm = Alarm(loop.as_loop(), lambda: heard_s.append(clock.now_s))
    begun_s = clock.now_s
    alarm.set(0.25)
    loop.advance(1.0)
    assert [at_s - begun_s for at_s in heard_s] == pytest.approx([0.25])
