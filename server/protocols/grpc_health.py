"""gRPC's health-checking protocol: what load balancers and Kubernetes' gRPC probe ask.

Known names: the empty one (the whole server), each of our services, each model (``car-price``) and each of its
loaded versions (``car-price/2``).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Final

from rapide.proto import health_pb2, services
from rapide.server.context import CallContext
from rapide.server.errors import NotFound
from rapide.server.service import InferenceService

OWN_SERVICES: Final = (services.OPEN_INFERENCE, services.PREDICT)
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def check(
    service: InferenceService, _context: CallContext, request: health_pb2.HealthCheckRequest
) -> health_pb2.HealthCheckResponse:
    status = _status(service, request.service)
    if status == _UNKNOWN:
        raise NotFound(f"no service or model {request.service[:128]!r} is known here")
    return health_pb2.HealthCheckResponse(status=status)


async def list_all(
    service: InferenceService, _context: CallContext, _request: health_pb2.HealthListRequest
) -> health_pb2.HealthListResponse:
    return health_pb2.HealthListResponse(
        statuses={name: health_pb2.HealthCheckResponse(status=_status(service, name)) for name in _names(service)}
    )


async def watch(
    service: InferenceService, _context: CallContext, request: health_pb2.HealthCheckRequest
) -> AsyncIterator[health_pb2.HealthCheckResponse]:
    """The status now, then whenever it has changed, until the caller goes away."""
    told: int | None = None
    async for _ in service.inspection.changes():
        status = _status(service, request.service)
        if status != told:
            told = status
            yield health_pb2.HealthCheckResponse(status=status)


def _names(service: InferenceService) -> Iterator[str]:
    yield from ("", *OWN_SERVICES)
    for model, versions in service.inspection.served().items():
        yield model
        for version in versions:
            yield f"{model}/{version}"


def _status(service: InferenceService, name: str) -> int:
    if name in {"", *OWN_SERVICES}:
        return _SERVING if service.inspection.server_ready() else _NOT_SERVING
    model, _, version = name.partition("/")
    try:
        return _SERVING if service.inspection.model_ready(model, version) else _NOT_SERVING
    except NotFound:
        return _UNKNOWN
