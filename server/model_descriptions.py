"""Models described in the words of the Open Inference Protocol, Triton, TensorFlow Serving, and the status page.
Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rapide.server.catalogue import LoadedVersion, VersionState, VersionStatus
from rapide.server.repository.labels import shares
from rapide.server.repository.layout import MODEL_FILE
from rapide.server.repository.manifest import Manifest
from rapide.server.repository.policy import VersionPolicy
from rapide.server.routing import ModelTargets, Router
from rapide.server.settings import Settings
from rapide.server.signature import DataType, Signature, TensorSpec

PLATFORM: Final = "onnxruntime_onnx"
BACKEND: Final = "onnxruntime"
_CONFIG_TYPES: Final = {datatype: f"TYPE_{datatype}" for datatype in DataType} | {DataType.BYTES: "TYPE_STRING"}
_INDEX_STATES: Final = {
    VersionState.LOADING: "LOADING",
    VersionState.READY: "READY",
    VersionState.BROKEN: "UNAVAILABLE",
    VersionState.UNLOADING: "UNLOADING",
}
_TF_STATES: Final = {"LOADING": "LOADING", "READY": "AVAILABLE", "UNAVAILABLE": "END", "UNLOADING": "UNLOADING"}


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


def index(
    statuses: Iterable[VersionStatus], problems: Iterable[Mapping[str, Any]], *, ready: bool
) -> list[dict[str, str]]:
    """Triton's repository index. A problem of a version that is served nevertheless is its entry's reason."""
    entries = {
        (status.model, str(status.version)): _index_entry(
            status.model, str(status.version), _INDEX_STATES[status.state], status.reason
        )
        for status in statuses
    }
    for problem in problems:
        name, version = problem["model"], str(problem["version"] or "")
        entry = entries.setdefault((name, version), _index_entry(name, version, "UNAVAILABLE", ""))
        entry["reason"] = entry["reason"] or problem["reason"]
    return [entry for entry in entries.values() if entry["state"] == "READY" or not ready]


def unloaded(available: Mapping[str, Sequence[int]], known: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Entries for the versions in the repository that are not among the ``known`` ones."""
    named = {(entry["name"], entry["version"]) for entry in known}
    return [
        _index_entry(name, str(version), "UNAVAILABLE", "unloaded")
        for name, versions in available.items()
        for version in versions
        if (name, str(version)) not in named
    ]


def tf_version_status(entry: Mapping[str, str]) -> dict[str, Any]:
    """An entry of the index in TensorFlow Serving's words."""
    failed = entry["state"] == "UNAVAILABLE"
    return {
        "version": entry["version"],
        "state": _TF_STATES[entry["state"]],
        "status": {"error_code": "UNKNOWN" if failed else "OK", "error_message": entry["reason"]},
    }


def overview(
    router: Router[LoadedVersion], entries: Iterable[Mapping[str, str]], statistics: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What the status page shows of each model: ``entries`` are the index's, with what the router and statistics
    add."""
    counted = {(stats["name"], stats["version"]): stats["inference_stats"] for stats in statistics}
    models: dict[str, dict[str, Any]] = {}
    for entry in entries:
        name, version = entry["name"], entry["version"]
        model = models.setdefault(name, {"name": name, "description": "", "versions": []})
        targets = router.models.get(name)
        loaded = targets.versions.get(int(version)) if targets and version else None
        shown: dict[str, Any] = {key: entry[key] for key in ("version", "state", "reason")}
        shown |= {"labels": [], "share_percent": 0.0, "digest": "", "answered": 0, "answered_s": 0.0, "failed": 0}
        if targets and loaded:
            manifest = loaded.model.manifest
            model["description"] = manifest.description if manifest else model["description"]
            shown |= _traffic(targets, int(version)) | _counts(counted.get((name, version)))
            shown["digest"] = loaded.model.digest
        model["versions"].append(shown)
    return list(models.values())


def _index_entry(name: str, version: str, state: str, reason: str) -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def _traffic(targets: ModelTargets[LoadedVersion], version: int) -> dict[str, Any]:
    percent = sum(share.percent for share in shares(targets.labels, targets.versions) if share.version == version)
    labels = sorted(label for label, target in targets.labels.items() if target.version == version)
    return {"labels": labels, "share_percent": percent}


def _counts(stats: Mapping[str, Any] | None) -> dict[str, Any]:
    if stats is None:
        return {}
    success = stats["success"]
    return {"answered": success["count"], "answered_s": success["ns"] / 1e9, "failed": stats["fail"]["count"]}
