"""What an administrative call makes of the state in force, models apart. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rapide.server.control import (
    Change,
    RegisterRegion,
    ServerState,
    UnregisterRegion,
    UpdateLog,
    UpdateTrace,
)
from rapide.server.errors import Conflict, NotFound


def change_state(state: ServerState, change: Change) -> ServerState:
    """``state`` after ``change``. Raises Conflict or NotFound; what only a worker can check, workers check."""
    return _CHANGES[type(change)](state, change)


def _register(state: ServerState, change: RegisterRegion) -> ServerState:
    if change.name in state.regions:
        raise Conflict(
            f"shared-memory region {change.name[:64]!r} is already registered.", hint="Unregister it first."
        )
    region = {"key": change.key, "offset": change.offset, "byte_size": change.byte_size}
    return replace(state, regions={**state.regions, change.name: region})


def _unregister(state: ServerState, change: UnregisterRegion) -> ServerState:
    if not change.name:
        return replace(state, regions={})
    if change.name not in state.regions:
        raise NotFound(f"shared-memory region {change.name[:64]!r} is not registered.")
    return replace(state, regions={name: kept for name, kept in state.regions.items() if name != change.name})


def _update_trace(state: ServerState, change: UpdateTrace) -> ServerState:
    settings = _merged(state.trace.get(change.model, {}), change.settings)
    others = {model: kept for model, kept in state.trace.items() if model != change.model}
    return replace(state, trace={**others, change.model: settings} if settings else others)


def _update_log(state: ServerState, change: UpdateLog) -> ServerState:
    return replace(state, log=_merged(state.log, change.settings))


def _merged(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """None returns a setting to its default, which is written by leaving it out."""
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


_CHANGES: dict[type[Any], Callable[[ServerState, Any], ServerState]] = {
    RegisterRegion: _register,
    UnregisterRegion: _unregister,
    UpdateTrace: _update_trace,
    UpdateLog: _update_log,
}
