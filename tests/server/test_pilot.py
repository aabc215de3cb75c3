"""The pilot with a real engine, recorder and log, on a clock driven by hand; then in a real server."""

from __future__ import annotations

import asyncio
import logging
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import pytest

from rapide.profiles.arrivals import Arrivals
from rapide.profiles.drift import proven_usage
from rapide.server.batching import BatchPolicy
from rapide.server.catalogue import LoadedVersion
from rapide.server.engine import Engine
from rapide.server.errors import QueueFull
from rapide.server.pilot import HOLD_WINDOWS, Pilot, observed
from rapide.server.proven import Proven, UsageRecord
from rapide.server.repository.fields import Fields
from rapide.server.settings import Settings
from rapide.server.telemetry.drift import drift
from rapide.server.telemetry.recorder import Recorder
from rapide.server.telemetry.telemetry import Telemetry
from rapide.server.telemetry.usage import between, usage_from, usage_of
from rapide.server.tuning_file import ModelTuning
from tests.profiles.recorded import poisson, profile
from tests.server.engine_fakes import FakeModel, HandClock, HandLoop, rows_of
from tests.server.telemetry.records import telemetry, totals

EVERY_S = 60.0
TUNED_RATE_PER_S = 20.0


def proven(known_rate_per_s: float = TUNED_RATE_PER_S) -> Proven:
    arrivals = poisson(known_rate_per_s, 3000)
    usage = UsageRecord.read(Fields(proven_usage(profile(arrivals).find("cars"), 1)))
    return Proven((16, 200), (1000, 8000), usage, usage.rows_sum / usage.span_s)


class Bench:
    """A pilot, and the version that it watches."""

    def __init__(self, *, tuning: str | None = None, **settings: Any) -> None:
        self.clock = HandClock()
        self.loop = HandLoop(self.clock)
        self.telemetry = telemetry()
        self.recorder: Recorder = self.telemetry.recorder("doubler", "3")
        model = FakeModel(self.clock)
        self.engine = Engine(
            model,
            BatchPolicy(max_batch_rows=64, max_queue_rows=4096),
            executor=ThreadPoolExecutor(1),
            recorder=self.recorder,
            clock=self.clock,
        )
        self.engine.start(self.loop.as_loop())
        text = ModelTuning(max_batch_rows=64, proven=proven()).to_text() if tuning is None else tuning
        self.version = LoadedVersion("id", cast("Any", None), cast("Any", model), self.engine, self.recorder, text)
        chosen = Settings(**{"adapt": True, "adapt_every_s": EVERY_S, **settings})
        self.pilot = Pilot(lambda: [self.version], self.telemetry, chosen, self.clock)
        self._seed = 0

    async def window(self, rate_per_s: float) -> None:
        """A minute of requests of 1 to 8 rows, then a look."""
        self._seed += 1
        arrivals = poisson(rate_per_s, int(rate_per_s * EVERY_S), self._seed)
        for instant, rows in zip(arrivals.instants_s.tolist(), arrivals.rows.tolist(), strict=True):
            self.recorder.arrival(self.clock.now_s + min(instant, EVERY_S), rows)
        self.clock.lapse(EVERY_S)
        await self.pilot.look()

    @property
    def limits(self) -> tuple[int, int]:
        policy = self.engine._policy
        return policy.max_batch_rows, policy.max_queue_rows

    def metric(self, name: str, **labels: str) -> float:
        return self.telemetry.scalar(name, model="doubler", version="3", **labels).value


async def test_while_the_usage_is_as_tuned_nothing_moves() -> None:
    bench = Bench()
    for _ in range(30):
        await bench.window(TUNED_RATE_PER_S)
    assert bench.limits == (64, 4096)
    assert bench.metric("rapide_adapted_limit", limit="max_batch_rows") == 64
    assert bench.metric("rapide_adaptations_total", limit="max_batch_rows") == 0


async def test_a_drift_moves_the_limit_of_the_engine_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(4):  # the first look only begins
        await bench.window(2 * TUNED_RATE_PER_S)
    batch, queue = bench.limits
    assert 115 <= batch <= 128
    assert queue == 4096
    assert bench.metric("rapide_adapted_limit", limit="max_batch_rows") == batch
    assert bench.metric("rapide_adaptations_total", limit="max_batch_rows") == 1
    assert bench.metric("rapide_drift_distance", figure="rate") == pytest.approx(math.log(2), abs=0.1)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"doubler/3: max_batch_rows 64 → {batch}, within the proven 16 to 200: ")
    assert "times the rows a second that were tuned for (see `rapide profile diff`; tune again" in line
    assert bench.telemetry.profile()["models"][0]["adapted"] == {"max_batch_rows": batch, "max_queue_rows": 4096}


async def test_it_stays_in_the_range_and_comes_home() -> None:
    bench = Bench()
    seen = []
    for _ in range(3 * HOLD_WINDOWS):
        await bench.window(8 * TUNED_RATE_PER_S)
        seen.append(bench.limits[0])
    assert max(seen) == 200
    assert len(set(seen)) == 3
    for _ in range(5 * HOLD_WINDOWS):
        await bench.window(TUNED_RATE_PER_S)
    assert bench.limits == (64, 4096)


async def test_a_quiet_night_moves_nothing() -> None:
    bench = Bench()
    for _ in range(20):
        await bench.window(1.0)
    assert bench.limits == (64, 4096)


@pytest.mark.parametrize(
    ("tuning", "settings", "level", "why"),
    [
        ("", {}, logging.INFO, "doubler/3 is not adapted: it is not tuned"),
        (ModelTuning().to_text(), {}, logging.INFO, "its tuning file names no proven range"),
        (None, {"max_batch_rows": 512}, logging.WARNING, "a setting holds its limits outside of what was proven"),
    ],
)
async def test_what_was_not_proven_is_left_alone_and_told_once(
    tuning: str | None, settings: dict[str, int], level: int, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(tuning=tuning, **settings)
    for _ in range(6):
        await bench.window(10 * TUNED_RATE_PER_S)
    assert bench.limits == (64, 4096)
    (record,) = caplog.records
    assert record.levelno == level
    assert why in record.getMessage()


async def test_off_by_default() -> None:
    bench = Bench(adapt=False)
    bench.pilot.start()
    assert bench.pilot._task is None
    assert Settings().adapt is False


async def test_a_look_that_fails_is_told_and_not_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    looks: list[int] = []

    async def broken() -> None:
        looks.append(1)
        raise OSError("no such slot")

    async def at_once(_: float) -> None:
        if len(looks) >= 3:
            bench.pilot.stop()
        await real(0)

    real = asyncio.sleep
    monkeypatch.setattr(bench.pilot, "look", broken)
    monkeypatch.setattr("rapide.server.pilot.asyncio.sleep", at_once)
    bench.pilot.start()
    assert bench.pilot._task is not None
    with pytest.raises(asyncio.CancelledError):
        await bench.pilot._task
    assert len(looks) == 3
    assert caplog.text.count("looking at the usage failed; limits stay as they are") == 3


def test_limits_hold_at_once_for_those_who_come(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    told: list[object] = []
    for _ in range(4):
        bench.engine.submit(rows_of(1, 2), math.inf, told.append)
    bench.engine.limit(4, 9)
    with pytest.raises(QueueFull, match="9"):
        bench.engine.submit(rows_of(1, 2), math.inf, told.append)
    bench.loop.settle()
    assert len(told) == 4  # nobody who waited was refused
    assert [batch[1] for batch in bench_batches(bench)] == [4, 4]


def bench_batches(bench: Bench) -> list[tuple[int, int]]:
    """Runs and rows of each batch."""
    runs = totals(bench.telemetry).sums["by_batch_rows"][:, 0].astype(int).tolist()
    return [(count, rows) for rows, count in enumerate(runs) for _ in range(count)]


def test_usage_between_two_looks_is_what_came_between() -> None:
    source: Telemetry = telemetry()
    recorder = source.recorder("cars", "2")
    whole = poisson(50, 1200)
    before = None
    for index, (instant, rows) in enumerate(zip(whole.instants_s.tolist(), whole.rows.tolist(), strict=True)):
        if index == 600:
            before = usage_of(totals(source), 0.0, 1)
        recorder.arrival(10.0 + instant, rows)
    assert before is not None
    live = between(before, usage_of(totals(source), 0.0, 1), 12.0)
    assert live.requests == 600
    assert live.rows_sum == whole.rows[600:].sum()
    assert live.windows[0.1].sum() == pytest.approx(120, abs=5)
    second_half = Arrivals(whole.instants_s[600:] - whole.instants_s[600], whole.rows[600:])
    again = usage_from(UsageRecord.read(Fields(proven_usage(profile(second_half).find("cars"), 1))))
    assert not any(one.has_drifted for one in drift(again, live))
    assert np.array_equal(again.rows, live.rows)


def test_what_a_window_asks_for() -> None:
    tuned, rows_per_s = usage_from(proven().usage), proven().rows_per_s
    live = usage_from(proven(3 * TUNED_RATE_PER_S).usage)
    asked = observed(tuned, rows_per_s, live, drift(tuned, live))
    assert asked.is_known
    assert asked.load == pytest.approx(3, rel=0.1)
    assert asked.unrest == 1.0
    assert observed(tuned, rows_per_s, tuned, drift(tuned, tuned)).load == 1.0
    assert observed(tuned, 5 * rows_per_s, live, drift(tuned, live)).load < 1.0, "the replays had more"
