"""Models described in the Open Inference Protocol's and Triton's JSON: metadata and configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rapide.server.repository.layout import MODEL_FILE
from rapide.server.repository.manifest import Manifest
from rapide.server.repository.policy import VersionPolicy
from rapide.server.settings import Settings
from rapide.server.signature import DataType, Signature, TensorSpec

PLATFORM: Final = "onnxruntime_onnx"
BACKEND: Final = "onnxruntime"
_CONFIG_TYPES: Final = {datatype: f"TYPE_{datatype}" for datatype in DataType} | {DataType.BYTES: "TYPE_STRING"}


def metadata(
    name: str, versions: Iterable[str], signature: Signature, manifest: Manifest | None
) -> dict[str, Any]:
    """What the model takes and gives; with a manifest also the named columns of ``:predict``."""
    described: dict[str, Any] = {
        "name": name,
        "versions": list(versions),
        "platform": PLATFORM,
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
    }
    if manifest is not None:
        described["description"] = manifest.description
        described["features"] = [
            {key: value for key, value in feature.to_json().items() if key not in {"input", "column"}}
            for feature in manifest.features
        ]
        described["predictions"] = [
            {key: value for key, value in prediction.to_json().items() if key not in {"output", "column"}}
            for prediction in manifest.predictions
        ]
    return described


def config(name: str, signature: Signature, settings: Settings) -> dict[str, Any]:
    """Triton's ModelConfig, as far as it means something here."""
    batched = signature.batchable
    described: dict[str, Any] = {
        "name": name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": _version_policy(settings.version_policy),
        "max_batch_size": settings.max_batch_rows if batched else 0,
        "input": [_config_tensor(spec, batched=batched) for spec in signature.inputs],
        "output": [_config_tensor(spec, batched=batched) for spec in signature.outputs],
        "instance_group": [{"name": name, "kind": "KIND_CPU", "count": settings.sessions}],
        "default_model_filename": MODEL_FILE,
        "parameters": {},
        "model_transaction_policy": {"decoupled": False},
    }
    if batched:
        described["dynamic_batching"] = {
            "preferred_batch_size": [],
            "max_queue_delay_microseconds": round(settings.max_delay_us),
            "preserve_ordering": False,
            "default_queue_policy": {"timeout_action": "REJECT", "max_queue_size": settings.max_queue_rows},
        }
    return described


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": str(spec.datatype), "shape": list(spec.shape)}


def _config_tensor(spec: TensorSpec, *, batched: bool) -> dict[str, Any]:
    dims: Sequence[int] = spec.shape[1:] if batched else spec.shape
    return {"name": spec.name, "data_type": _CONFIG_TYPES[spec.datatype], "dims": list(dims)}


def _version_policy(text: str) -> dict[str, Any]:
    policy = VersionPolicy.parse(text)
    if policy.specific is not None:
        return {"specific": {"versions": list(policy.specific)}}
    return {"all": {}} if policy.latest is None else {"latest": {"num_versions": policy.latest}}
