"""Moves the limits of tuned versions when their usage drifts, if the setting ``adapt`` allows it, and says so.

The policy is ``steering``'s; here are the clock, the record of all workers, the engine, the log and the metrics.
Each worker has one: all see the same totals, so they come to the same conclusions within a window or so.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from rapide.server.catalogue import LoadedVersion
from rapide.server.proven import Proven
from rapide.server.settings import Settings
from rapide.server.steering import Knob, Move, Observed, Steering
from rapide.server.telemetry.drift import Distance, Usage, drift
from rapide.server.telemetry.scalars import Scalar
from rapide.server.telemetry.telemetry import Telemetry
from rapide.server.telemetry.usage import between, usage_from, usage_of
from rapide.server.tuning_file import ModelTuning, in_force

_log = logging.getLogger(__name__)

HOLD_WINDOWS: Final = 10
"""Windows between two moves at least."""


class Pilot:
    """Looks at the usage every ``settings.adapt_every_s`` seconds. Lives on the worker's event loop."""

    def __init__(
        self,
        versions: Callable[[], Iterable[LoadedVersion]],
        telemetry: Telemetry,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``versions``: what is served now."""
        self._versions = versions
        self._telemetry = telemetry
        self._settings = settings
        self._clock = clock
        self._watched: WeakKeyDictionary[LoadedVersion, _Watch | None] = WeakKeyDictionary()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look, on the running loop; does nothing unless the setting allows it."""
        if self._settings.adapt:
            self._task = asyncio.create_task(self._look_again_and_again())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def look(self) -> None:
        """One window's end: every version that may be adapted is judged by what came since the last look."""
        versions, now_s = list(self._versions()), self._clock()
        if not any(self._watch(version) for version in versions):
            return
        # Reading all slots takes milliseconds; requests go on meanwhile.
        totals, workers = await asyncio.to_thread(self._telemetry.totals)
        usages = {(one.model, one.version): usage_of(one, 0.0, workers) for one in totals}
        for version in versions:
            watch, usage = self._watch(version), usages.get((version.model.name, version.model.version))
            if watch is not None and usage is not None:
                self._judge(version, watch, usage, now_s)

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self._settings.adapt_every_s)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - a server without its pilot serves as it was tuned
                _log.exception("looking at the usage failed; limits stay as they are")

    def _watch(self, version: LoadedVersion) -> _Watch | None:
        if version not in self._watched:
            self._watched[version] = self._begin(version)
        return self._watched[version]

    def _begin(self, version: LoadedVersion) -> _Watch | None:
        name = _name(version)
        tuning = in_force(self._settings, ModelTuning.from_text(version.tuning)) if version.tuning else None
        if tuning is None or tuning.proven is None:
            why = "it is not tuned" if tuning is None else "its tuning file names no proven range"
            _log.info("%s is not adapted: %s", name, why)
            return None
        tuned = {Knob.BATCH: tuning.max_batch_rows, Knob.QUEUE: tuning.max_queue_rows}
        watch = _Watch(tuning.proven, tuned, self._settings.adapt_every_s * HOLD_WINDOWS)
        if not watch.steering.is_free:
            _log.warning("%s is not adapted: a setting holds its limits outside of what was proven", name)
            return None
        self._show_limits(version, watch)
        return watch

    def _judge(self, version: LoadedVersion, watch: _Watch, usage: Usage, now_s: float) -> None:
        before, watch.usage = watch.usage, usage
        since_s, watch.since_s = watch.since_s, now_s
        if before is None:
            return
        live = between(before, usage, now_s - since_s)
        distances = drift(watch.tuned, live)
        for one in distances:
            self._scalar("rapide_drift_distance", version, figure=one.name).set(one.distance)
        move = watch.steering.observe(now_s, observed(watch.tuned, watch.rows_per_s, live, distances))
        if move is not None:
            self._make(version, watch, move)

    def _make(self, version: LoadedVersion, watch: _Watch, move: Move) -> None:
        limits = watch.steering.limits
        version.engine.limit(limits[Knob.BATCH], limits[Knob.QUEUE])
        self._show_limits(version, watch)
        self._scalar("rapide_adaptations_total", version, limit=str(move.knob)).add()
        least, most = watch.ranges[move.knob]
        _log.warning(
            "%s: %s %d → %d, within the proven %d to %d: %s (see `rapide profile diff`; tune again if it lasts)",
            _name(version), move.knob, move.before, move.after, least, most, move.reason,
        )  # fmt: skip

    def _show_limits(self, version: LoadedVersion, watch: _Watch) -> None:
        for knob, value in watch.steering.limits.items():
            self._scalar("rapide_adapted_limit", version, limit=str(knob)).set(value)

    def _scalar(self, name: str, version: LoadedVersion, **labels: str) -> Scalar:
        return self._telemetry.scalar(name, model=version.model.name, version=version.model.version, **labels)


class _Watch:
    """What is remembered of one loaded version."""

    def __init__(self, proven: Proven, tuned: dict[Knob, int], hold_s: float) -> None:
        self.tuned, self.rows_per_s = usage_from(proven.usage), proven.rows_per_s
        self.ranges = {Knob.BATCH: proven.batch_rows, Knob.QUEUE: proven.queue_rows}
        self.steering = Steering(tuned, self.ranges, hold_s)
        self.usage: Usage | None = None
        self.since_s = 0.0


def observed(tuned: Usage, rows_per_s: float, live: Usage, distances: Sequence[Distance]) -> Observed:
    """What a window's distances ask for. ``rows_per_s``: what was proven."""
    drifted = {one.name for one in distances if one.has_drifted}
    has_more = drifted & {"rate", "rows"} and rows_per_s > 0
    return Observed(
        is_known=all(one.is_known for one in distances),
        load=live.rows_per_s / rows_per_s if has_more else 1.0,
        unrest=math.sqrt((1 + live.burstiness**2) / (1 + tuned.burstiness**2)) if "burstiness" in drifted else 1.0,
    )


def _name(version: LoadedVersion) -> str:
    return f"{version.model.name}/{version.model.version}"
