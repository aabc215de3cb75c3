"""The composition root of a worker: makes the rooms, joins them, and opens and closes the doors in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from rapide.server import sockets
from rapide.server.administration import Admin
from rapide.server.catalogue import catalogue_of
from rapide.server.control import Prepared, ServedModel, ServerState
from rapide.server.descriptions import describe_label
from rapide.server.doors import Doors
from rapide.server.examples import example_of
from rapide.server.pilot import Pilot
from rapide.server.protocols.http_lane.server import build_admin_lane
from rapide.server.repository.plan import ServingPlan
from rapide.server.service import InferenceService
from rapide.server.settings import Settings
from rapide.server.telemetry.telemetry import Telemetry, options_from

logger = logging.getLogger(__name__)

_LOADERS = 2
"""Models loaded at the same time in one worker: it is partly I/O, and the others' traffic needs the rest."""
_RUNNERS = 32
"""Threads for models too slow for the event loop; made as needed. More models than this that run at the very same
moment wait for each other, on far fewer cores."""


class App:
    """Everything that one worker serves with. Made on the event loop; ``start`` and ``open`` begin."""

    def __init__(
        self, settings: Settings, slot: int, admin: Admin, unix: Mapping[str, socket.socket] | None = None
    ) -> None:
        """``unix``: listening Unix sockets that all workers share, by setting's name."""
        self._settings = settings
        self._unix = unix or {}
        self._telemetry = Telemetry(options_from(settings, slot))
        self._loaders = ThreadPoolExecutor(_LOADERS, thread_name_prefix="rapide-load")
        self._runners = ThreadPoolExecutor(_RUNNERS, thread_name_prefix="rapide-run")
        self._catalogue = catalogue_of(settings, self._telemetry.recorder, self._runners, self._loaders)
        self._service = InferenceService(self._catalogue, settings, self._telemetry, admin)
        self._pilot = Pilot(self._catalogue.serving, self._telemetry, settings)
        self._doors = Doors(settings, self._service)
        self._admin = build_admin_lane(self._service)

    def start(self) -> None:
        """Takes the telemetry slot and the log; on the event loop. Raises SettingsError."""
        self._telemetry.start(asyncio.get_running_loop().call_soon)

    # From one state to the next (``control.py``).

    async def prepare(self, round_: int, state: ServerState, *, is_in_force: bool = False) -> Prepared:
        """Loads and checks what ``state`` needs, so that ``commit`` cannot fail. Raises RapideError."""
        self._service.prepare(state, is_in_force=is_in_force)
        plan = ServingPlan.from_json(state.plan)
        failures = await self._catalogue.prepare(round_, plan, is_in_force=is_in_force)
        return Prepared(round_, failures, lacking=self._catalogue.lacking(round_))

    def commit(self, round_: int, state: ServerState) -> None:
        self._catalogue.commit(round_)
        self._service.commit(state)

    def abort(self, round_: int) -> None:
        self._catalogue.abort(round_)
        self._service.abort()

    # Doors.

    async def open(self) -> None:
        """Listens. Raises OSError, Unavailable or SettingsError (``Doors.open``)."""
        settings = self._settings
        # Readiness is asked on every port: each listens before any answers.
        metrics = sockets.listen(settings.host, settings.metrics_port)
        await self._doors.open(self._unix)
        await self._admin.start(metrics)
        self._pilot.start()
        # What lives now lives on: the collector need not look at it again and again, nor touch its memory.
        gc.collect()
        gc.freeze()

    def unready(self) -> None:
        """Says from now on that others should be asked; still answers."""
        self._service.unready()

    async def close(self, drain_s: float) -> None:
        """Accepts nothing new and finishes what is under way within ``drain_s``; metrics stay readable so long."""
        self._pilot.stop()
        self._service.close()
        await self._doors.close(drain_s)
        await self._catalogue.close(drain_s=0.0)
        await self._admin.stop(drain_s=0.5)
        self._telemetry.close()
        for threads in (self._loaders, self._runners):
            threads.shutdown(wait=False, cancel_futures=True)

    async def hurry(self, drain_s: float) -> None:
        """Makes a ``close`` that is waiting end within ``drain_s``."""
        await self._doors.hurry(drain_s)
        self._admin.hurry()

    def describe(self) -> list[ServedModel]:
        """What is served, with an example call of each model."""
        return [self._described(name) for name in sorted(self._catalogue.router.models)]

    def _described(self, name: str) -> ServedModel:
        targets = self._catalogue.router.model(name)
        labels = [describe_label(label, target) for label, target in sorted(targets.labels.items())]
        served = ServedModel(name, sorted(targets.versions), labels)
        if not targets.versions:
            return served
        try:
            example = example_of(targets.versions[max(targets.versions)].model)
        except Exception:
            logger.exception("no example call of %s can be made", name)
            return served
        if example is None:
            return served
        return replace(served, path=example.path, body=example.body, is_script=example.is_script)
