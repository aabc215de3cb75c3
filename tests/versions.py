"""Published versions for tests: a manifest made from the graph, golden rows, labels."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from rapide.server.repository.labels import parse_changes
from rapide.server.repository.local import open_repository
from rapide.server.repository.manifest import Feature, FileRecord, Manifest, Prediction
from rapide.server.repository.publisher import publish
from rapide.server.repository.snapshot import VersionEntry
from rapide.server.repository.variant import Variant
from rapide.server.signature import DYNAMIC, DataType, Signature, TensorSpec
from tests.models import ONNX_TYPES

_DATATYPES = {code: datatype for datatype, code in ONNX_TYPES.items()}


def signature_of(model: onnx.ModelProto, *, batchable: bool = True) -> Signature:
    """What the graph declares, with every named dimension dynamic."""
    return Signature(
        tuple(_spec(value) for value in model.graph.input),
        tuple(_spec(value) for value in model.graph.output),
        batchable,
    )


def publish_version(
    root: Path,
    name: str,
    model: onnx.ModelProto,
    *,
    signature: Signature | None = None,
    golden: bytes | None = None,
    files: Mapping[str, bytes] | None = None,
    features: Sequence[Feature] = (),
    predictions: Sequence[Prediction] = (),
    parity: Mapping[str, Any] | None = None,
    description: str = "",
    variants: Sequence[Variant] = (),
    is_tried: bool = False,
) -> int:
    """Publishes ``model`` as ``name``'s next version; returns its number. ``is_tried``: the manifest says so."""
    contents: dict[str, Path | bytes] = {"model.onnx": model.SerializeToString(), **(files or {})}
    if golden is not None:
        contents["golden.npz"] = golden

    def manifest(version: int, created: str, records: Mapping[str, FileRecord]) -> Manifest:
        return Manifest(
            model=name,
            version=version,
            created=created,
            files=records,
            signature=signature or signature_of(model),
            features=tuple(features),
            predictions=tuple(predictions),
            parity=parity or {},
            description=description,
            variants=tuple(variants),
            gates={"trial": {"sha256": [record.sha256 for record in records.values()]}} if is_tried else {},
        )

    return publish(root, name, contents, manifest)


def entry_of(root: Path, name: str, version: int = 1) -> VersionEntry:
    """The version as a scan of the repository finds it."""
    return open_repository(root).scan().models[name].versions[version]


def set_labels(root: Path, name: str, *changes: str) -> None:
    """As ``rapide label``: ``stable=2``, ``canary=3:10%``, ``canary=-``."""
    open_repository(root).set_labels(name, parse_changes(changes), who="test")


def golden_rows(inputs: Mapping[str, np.ndarray[Any, Any]], outputs: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """The content of a ``golden.npz``. Text as unicode arrays."""
    file = io.BytesIO()
    arrays = {f"input:{name}": array for name, array in inputs.items()}
    arrays |= {f"output:{name}": array for name, array in outputs.items()}
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else DYNAMIC for dim in tensor.shape.dim)
    return TensorSpec(value.name, DataType(_DATATYPES[tensor.elem_type]), shape)
