"""gRPC handlers that change something for all callers: repository, shared memory, trace and log settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rapide.proto import open_inference_pb2 as pb
from rapide.server.context import CallContext
from rapide.server.errors import InvalidRequest, Unimplemented
from rapide.server.service import InferenceService


async def repository_index(
    service: InferenceService, _context: CallContext, request: pb.RepositoryIndexRequest
) -> pb.RepositoryIndexResponse:
    entries = service.inspection.repository_index(ready=request.ready)
    return pb.RepositoryIndexResponse(models=[pb.RepositoryIndexResponse.ModelIndex(**entry) for entry in entries])


async def load(
    service: InferenceService, _context: CallContext, request: pb.RepositoryModelLoadRequest
) -> pb.RepositoryModelLoadResponse:
    await service.administration.load(request.model_name, _chosen(request.parameters))
    return pb.RepositoryModelLoadResponse()


async def unload(
    service: InferenceService, _context: CallContext, request: pb.RepositoryModelUnloadRequest
) -> pb.RepositoryModelUnloadResponse:
    await service.administration.unload(request.model_name, _chosen(request.parameters))
    return pb.RepositoryModelUnloadResponse()


async def shared_memory_status(
    service: InferenceService, _context: CallContext, request: pb.SystemSharedMemoryStatusRequest
) -> pb.SystemSharedMemoryStatusResponse:
    regions = service.administration.regions(request.name)
    status = pb.SystemSharedMemoryStatusResponse.RegionStatus
    return pb.SystemSharedMemoryStatusResponse(
        regions={region.name: status(**region.to_json()) for region in regions}
    )


async def shared_memory_register(
    service: InferenceService, _context: CallContext, request: pb.SystemSharedMemoryRegisterRequest
) -> pb.SystemSharedMemoryRegisterResponse:
    await service.administration.register_region(request.name, request.key, request.offset, request.byte_size)
    return pb.SystemSharedMemoryRegisterResponse()


async def shared_memory_unregister(
    service: InferenceService, _context: CallContext, request: pb.SystemSharedMemoryUnregisterRequest
) -> pb.SystemSharedMemoryUnregisterResponse:
    await service.administration.unregister_region(request.name)
    return pb.SystemSharedMemoryUnregisterResponse()


async def cuda_shared_memory(_service: InferenceService, _context: CallContext, _request: object) -> Any:
    raise Unimplemented(
        "this server runs models on the CPU and has no CUDA shared memory.", hint="Use system shared memory."
    )


async def trace_setting(
    service: InferenceService, _context: CallContext, request: pb.TraceSettingRequest
) -> pb.TraceSettingResponse:
    settings = service.administration.trace_settings(request.model_name)
    if request.settings:
        wanted = {name: list(value.value) or None for name, value in request.settings.items()}
        settings = await service.administration.update_trace(request.model_name, wanted)
    value = pb.TraceSettingResponse.SettingValue
    return pb.TraceSettingResponse(
        settings={
            name: value(value=given if isinstance(given, list) else [given]) for name, given in settings.items()
        }
    )


async def log_settings(
    service: InferenceService, _context: CallContext, request: pb.LogSettingsRequest
) -> pb.LogSettingsResponse:
    settings = service.administration.log_settings()
    if request.settings:
        settings = await service.administration.update_log(_chosen(request.settings))
    return pb.LogSettingsResponse(settings={name: _log_value(value) for name, value in settings.items()})


def _log_value(value: bool | int | str) -> pb.LogSettingsResponse.SettingValue:
    kind = {bool: "bool_param", int: "uint32_param", str: "string_param"}[type(value)]
    return pb.LogSettingsResponse.SettingValue(**{kind: value})  # type: ignore[arg-type]


def _chosen(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values of a map of ``parameter_choice`` messages. Raises InvalidRequest for one without a
    value."""
    plain = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InvalidRequest(f"parameter {name[:64]!r} has no value")
        plain[name] = getattr(parameter, choice)
    return plain
