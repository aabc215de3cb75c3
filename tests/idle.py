"""A service that serves nothing, for what is tested without a model: compiled modules take no stand-in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from rapide.server.catalogue import catalogue_of
from rapide.server.control import Change
from rapide.server.service import InferenceService
from rapide.server.settings import Settings
from rapide.server.telemetry.telemetry import Telemetry


class NoAdmin:
    """Nobody is to be asked to change anything."""

    async def apply(self, change: Change) -> None:
        raise AssertionError(f"unexpected {change}")


def idle_service() -> InferenceService:
    """It has no models, and starts no thread as long as nobody loads one."""
    telemetry = Telemetry()
    threads = ThreadPoolExecutor(1)
    catalogue = catalogue_of(Settings(), telemetry.recorder, threads, threads)
    return InferenceService(catalogue, Settings(), telemetry, NoAdmin())
