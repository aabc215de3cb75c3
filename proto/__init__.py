"""The wire contracts (``.proto``), and the modules that ``scripts/protos`` generates from them.

    from rapide.proto import open_inference_pb2

    request = open_inference_pb2.ModelInferRequest(model_name="car-price")

``services.py`` turns a service's descriptor into call paths, message classes and client stubs.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rapide.proto.generated import (
        health_pb2,
        model_config_pb2,
        onnx_outline_pb2,
        open_inference_pb2,
        predict_pb2,
        reflection_v1_pb2,
        reflection_v1alpha_pb2,
    )

__all__ = [
    "health_pb2",
    "model_config_pb2",
    "onnx_outline_pb2",
    "open_inference_pb2",
    "predict_pb2",
    "reflection_v1_pb2",
    "reflection_v1alpha_pb2",
]


def __getattr__(name: str) -> ModuleType:
    # On demand: the generator, which lives in this package, runs before the modules exist.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"rapide.proto.generated.{name}")
