"""HTTP handlers that change something for all callers: repository, shared memory, trace and log settings."""

from __future__ import annotations

from typing import Any

from rapide.server.errors import InvalidRequest, Unimplemented
from rapide.server.protocols.http_call import HttpCall, HttpReply, json_reply
from rapide.server.service import InferenceService


async def repository_index(service: InferenceService, call: HttpCall) -> HttpReply:
    ready = _field(call.json(), "ready", bool, default=False)
    return json_reply(service.inspection.repository_index(ready=ready))


async def load(service: InferenceService, call: HttpCall) -> HttpReply:
    await service.administration.load(call.path["model"], _field(call.json(), "parameters", dict, default={}))
    return json_reply({})


async def unload(service: InferenceService, call: HttpCall) -> HttpReply:
    await service.administration.unload(call.path["model"], _field(call.json(), "parameters", dict, default={}))
    return json_reply({})


async def shared_memory_status(service: InferenceService, call: HttpCall) -> HttpReply:
    regions = service.administration.regions(call.path.get("region", ""))
    return json_reply([region.to_json() for region in regions])


async def shared_memory_register(service: InferenceService, call: HttpCall) -> HttpReply:
    given = call.json()
    await service.administration.register_region(
        call.path["region"],
        _field(given, "key", str),
        _field(given, "offset", int, default=0),
        _field(given, "byte_size", int),
    )
    return json_reply({})


async def shared_memory_unregister(service: InferenceService, call: HttpCall) -> HttpReply:
    await service.administration.unregister_region(call.path.get("region", ""))
    return json_reply({})


async def cuda_shared_memory(_service: InferenceService, _call: HttpCall) -> HttpReply:
    raise Unimplemented(
        "this server runs models on the CPU and has no CUDA shared memory.", hint="Use system shared memory."
    )


async def trace_settings(service: InferenceService, call: HttpCall) -> HttpReply:
    return json_reply(service.administration.trace_settings(call.path.get("model", "")))


async def update_trace(service: InferenceService, call: HttpCall) -> HttpReply:
    return json_reply(await service.administration.update_trace(call.path.get("model", ""), call.json()))


async def log_settings(service: InferenceService, _call: HttpCall) -> HttpReply:
    return json_reply(service.administration.log_settings())


async def update_log(service: InferenceService, call: HttpCall) -> HttpReply:
    return json_reply(await service.administration.update_log(call.json()))


def _field(given: dict[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """``given[name]`` if it is a ``kind``. Raises InvalidRequest if not, or if it is missing without a default."""
    value = given.get(name, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        words = {bool: "true or false", int: "an integer", str: "a text", dict: "an object"}
        raise InvalidRequest(f"{name!r} must be {words[kind]}")
    return value
