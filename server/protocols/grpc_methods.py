"""The gRPC method table: every remote procedure of every service, and who answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rapide.proto import services
from rapide.server.protocols import (
    grpc_admin,
    grpc_health,
    grpc_inference,
    grpc_models,
    grpc_reflection,
)
from rapide.server.protocols.grpc_call import BothStream, Procedure, ServerStream, Unary

_Handlers = Mapping[str, Unary | ServerStream | BothStream]

_OPEN_INFERENCE: Final[_Handlers] = {
    "ServerLive": grpc_models.server_live,
    "ServerReady": grpc_models.server_ready,
    "ModelReady": grpc_models.model_ready,
    "ServerMetadata": grpc_models.server_metadata,
    "ModelMetadata": grpc_models.model_metadata,
    "ModelInfer": grpc_inference.model_infer,
    "ModelStreamInfer": grpc_inference.model_stream_infer,
    "ModelConfig": grpc_models.model_config,
    "ModelStatistics": grpc_models.model_statistics,
    "RepositoryIndex": grpc_admin.repository_index,
    "RepositoryModelLoad": grpc_admin.load,
    "RepositoryModelUnload": grpc_admin.unload,
    "SystemSharedMemoryStatus": grpc_admin.shared_memory_status,
    "SystemSharedMemoryRegister": grpc_admin.shared_memory_register,
    "SystemSharedMemoryUnregister": grpc_admin.shared_memory_unregister,
    "CudaSharedMemoryStatus": grpc_admin.cuda_shared_memory,
    "CudaSharedMemoryRegister": grpc_admin.cuda_shared_memory,
    "CudaSharedMemoryUnregister": grpc_admin.cuda_shared_memory,
    "TraceSetting": grpc_admin.trace_setting,
    "LogSettings": grpc_admin.log_settings,
}
_HANDLERS: Final[Mapping[str, _Handlers]] = {
    services.OPEN_INFERENCE: _OPEN_INFERENCE,
    services.PREDICT: {"Predict": grpc_inference.predict},
    services.HEALTH: {"Check": grpc_health.check, "List": grpc_health.list_all, "Watch": grpc_health.watch},
    services.REFLECTION_V1: {"ServerReflectionInfo": grpc_reflection.reflect_v1},
    services.REFLECTION_V1ALPHA: {"ServerReflectionInfo": grpc_reflection.reflect_v1alpha},
}
_INFERS: Final = {"ModelInfer", "Predict"}
"""One call is one inference. ModelStreamInfer counts each of its messages itself."""

PROCEDURES: Final = tuple(
    Procedure(method, handlers[method.name], infers=method.name in _INFERS)
    for service, handlers in _HANDLERS.items()
    for method in services.methods(service)
)
