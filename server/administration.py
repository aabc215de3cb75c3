"""What changes something for all callers: the repository's models, shared memory, trace and log settings.

Every change is checked here and then handed to ``admin``, who makes it hold in all workers or in none. It comes
back to each worker as a new ServerState, which the worker's state machine prepares and commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from rapide.server.catalogue import Catalogue
from rapide.server.control import (
    Change,
    LoadModel,
    RegisterRegion,
    UnloadModel,
    UnregisterRegion,
    UpdateLog,
    UpdateTrace,
)
from rapide.server.errors import InvalidRequest, Unimplemented
from rapide.server.repository.layout import check_model_name
from rapide.server.settings import Settings
from rapide.server.shared_memory import Region, SharedMemory
from rapide.server.telemetry.telemetry import Telemetry

IGNORED_PARAMETERS: Final = frozenset({"unload_dependents"})
"""There are no dependent models here, so this parameter of Triton's changes nothing."""


class Admin(Protocol):
    """The way to all workers."""

    async def apply(self, change: Change) -> None:
        """Makes ``change`` hold in all workers, or in none and raises the RapideError that says why."""
        ...


class Administration:
    """Administrative calls of one worker's doors. ``regions`` of shared memory are read by inference, too."""

    def __init__(
        self,
        admin: Admin,
        catalogue: Catalogue,
        telemetry: Telemetry,
        shared_memory: SharedMemory,
        settings: Settings,
    ) -> None:
        self._admin = admin
        self._catalogue = catalogue
        self._telemetry = telemetry
        self._shared_memory = shared_memory
        self._settings = settings

    # Repository.

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Loads the newest state of a model from the repository; returns when every worker serves it."""
        _refuse_parameters(parameters)
        await self._admin.apply(LoadModel(check_model_name(name)))

    async def unload(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Stops serving a model; returns when no worker routes requests to it any more."""
        _refuse_parameters(parameters)
        await self._admin.apply(UnloadModel(check_model_name(name)))

    # Shared memory.

    def regions(self, name: str = "") -> list[Region]:
        """The registered regions, or the one called ``name``. Raises NotFound."""
        self._check_shared_memory()
        return list(self._shared_memory.status(name).values())

    async def register_region(self, name: str, key: str, offset: int, byte_size: int) -> None:
        self._check_shared_memory()
        self._shared_memory.check_new(name)
        await self._admin.apply(RegisterRegion(name, key, offset, byte_size))

    async def unregister_region(self, name: str) -> None:
        """Forgets one region, or all where ``name`` is empty. Raises NotFound."""
        self._check_shared_memory()
        await self._admin.apply(UnregisterRegion(name))

    def _check_shared_memory(self) -> None:
        if not self._settings.shared_memory:
            raise Unimplemented(
                "shared memory is switched off on this server.", hint="Start it with --shared-memory to allow it."
            )

    # Trace and log settings.

    def trace_settings(self, model: str = "") -> dict[str, str | list[str]]:
        """Triton's trace settings in force for a model, or for all. Raises NotFound for an unknown model."""
        self._check_model(model)
        return self._telemetry.trace_settings(model)

    async def update_trace(self, model: str, changes: Mapping[str, Any]) -> dict[str, str | list[str]]:
        """Changes trace settings; None returns one to its default. Gives what is in force then."""
        self._check_model(model)
        texts = {name: _texts(name, value) for name, value in changes.items()}
        self._telemetry.check({model: texts}, {})
        await self._admin.apply(UpdateTrace(model, texts))
        return self._telemetry.trace_settings(model)

    def log_settings(self) -> dict[str, bool | int | str]:
        return self._telemetry.log_settings()

    async def update_log(self, changes: Mapping[str, Any]) -> dict[str, bool | int | str]:
        """Changes log settings; None returns one to its default. Gives what is in force then."""
        self._telemetry.check({}, {name: value for name, value in changes.items() if value is not None})
        await self._admin.apply(UpdateLog(dict(changes)))
        return self._telemetry.log_settings()

    def _check_model(self, model: str) -> None:
        if model:
            self._catalogue.router.model(model)


def _refuse_parameters(parameters: Mapping[str, Any]) -> None:
    surplus = sorted(parameters.keys() - IGNORED_PARAMETERS)
    if surplus:
        raise Unimplemented(
            f"parameter {surplus[0][:64]!r} is not offered: models are served as they were published.",
            hint="Publish a new version instead.",
        )


def _texts(name: str, value: object) -> list[str] | None:
    """A trace setting's value as gRPC would send it. Raises InvalidRequest for what is no text or number."""
    if value is None:
        return None
    values: Sequence[object] = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in values):
        raise InvalidRequest(f"trace setting {name[:64]!r} must be a text, a number or a list of texts")
    return [str(item) for item in values] or None
