"""gRPC handlers that describe: health, server and model metadata, configuration, statistics.

The service describes in JSON's terms, which for these messages are protobuf's own.
"""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from rapide.proto import open_inference_pb2 as pb
from rapide.server.context import CallContext
from rapide.server.errors import NotFound
from rapide.server.service import InferenceService

M = TypeVar("M", bound=Message)


async def server_live(
    service: InferenceService, _context: CallContext, _request: pb.ServerLiveRequest
) -> pb.ServerLiveResponse:
    return pb.ServerLiveResponse(live=service.inspection.server_live())


async def server_ready(
    service: InferenceService, _context: CallContext, _request: pb.ServerReadyRequest
) -> pb.ServerReadyResponse:
    return pb.ServerReadyResponse(ready=service.inspection.server_ready())


async def model_ready(
    service: InferenceService, _context: CallContext, request: pb.ModelReadyRequest
) -> pb.ModelReadyResponse:
    try:
        return pb.ModelReadyResponse(ready=service.inspection.model_ready(request.name, request.version))
    except NotFound:  # Triton's answer; its clients expect a plain no
        return pb.ModelReadyResponse(ready=False)


async def server_metadata(
    service: InferenceService, _context: CallContext, _request: pb.ServerMetadataRequest
) -> pb.ServerMetadataResponse:
    return _fill(pb.ServerMetadataResponse(), service.inspection.server_metadata())


async def model_metadata(
    service: InferenceService, _context: CallContext, request: pb.ModelMetadataRequest
) -> pb.ModelMetadataResponse:
    return _fill(pb.ModelMetadataResponse(), service.inspection.model_metadata(request.name, request.version))


async def model_config(
    service: InferenceService, _context: CallContext, request: pb.ModelConfigRequest
) -> pb.ModelConfigResponse:
    return _fill(
        pb.ModelConfigResponse(), {"config": service.inspection.model_config(request.name, request.version)}
    )


async def model_statistics(
    service: InferenceService, _context: CallContext, request: pb.ModelStatisticsRequest
) -> pb.ModelStatisticsResponse:
    return _fill(
        pb.ModelStatisticsResponse(), await service.inspection.model_statistics(request.name, request.version)
    )


def _fill(message: M, values: dict[str, Any]) -> M:
    # HTTP shows more than the protobuf messages have room for, such as a model's named features.
    ParseDict(values, message, ignore_unknown_fields=True)
    return message
