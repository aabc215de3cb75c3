"""A call of a model that works when pasted, made from a row that the model is known to run."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rapide.server.repository.manifest import Feature, Kind, Manifest
from rapide.server.signature import DataType, Signature, TensorSpec
from rapide.server.tensors import Array

MAX_SHOWN_ELEMENTS = 256
"""A screenful. Larger inputs (images) are shown as a program that prints them, zeros for all values."""
MAX_SENT_ELEMENTS = 1_000_000
"""Some megabytes of JSON."""
_BINARY_ONLY = frozenset({DataType.FP16, DataType.BF16})
"""Have no JSON form in the Open Inference Protocol, but one in the friendly twin."""


class ExampleModel(Protocol):
    """What an example is made from (``model.Model``)."""

    @property
    def name(self) -> str: ...

    @property
    def manifest(self) -> Manifest | None: ...

    @property
    def signature(self) -> Signature: ...

    @property
    def sample_row(self) -> list[Array]: ...


@dataclass(frozen=True, slots=True)
class Example:
    """``body`` is JSON to POST to ``path``, or a Python program that prints it."""

    path: str
    body: str
    is_script: bool = False


def example_of(model: ExampleModel) -> Example | None:
    """The call, or None where no row is known that the model takes, or it cannot be written as text."""
    inputs = list(zip(model.signature.inputs, model.sample_row, strict=False))
    if len(inputs) != len(model.signature.inputs):
        return None
    features = model.manifest.features if model.manifest else ()
    try:
        if features:
            return Example(
                f"/v1/models/{model.name}:predict", _json({"instances": [_named(features, _by_name(inputs))]})
            )
        if sum(array.size for _, array in inputs) > MAX_SHOWN_ELEMENTS:
            return Example(f"/v2/models/{model.name}/infer", _script(inputs), is_script=True)
        if any(spec.datatype in _BINARY_ONLY for spec, _ in inputs):
            columns = {spec.name: _nested(array, spec.datatype) for spec, array in inputs}
            return Example(f"/v1/models/{model.name}:predict", _json({"inputs": columns}))
        tensors = [_tensor(spec, array) for spec, array in inputs]
        return Example(f"/v2/models/{model.name}/infer", _json({"inputs": tensors}))
    except UnicodeDecodeError:
        return None


def example_request(model: ExampleModel) -> dict[str, Any] | None:
    """A request of the Open Inference Protocol with one row, values as they are: for load tests, where random ones
    would make no sense. None where no row is known, it is too large, or its values have no JSON form."""
    inputs = list(zip(model.signature.inputs, model.sample_row, strict=False))
    if len(inputs) != len(model.signature.inputs) or any(spec.datatype in _BINARY_ONLY for spec, _ in inputs):
        return None
    if sum(array.size for _, array in inputs) > MAX_SENT_ELEMENTS:
        return None
    try:
        return {"inputs": [_exact_tensor(spec, array) for spec, array in inputs]}
    except UnicodeDecodeError:
        return None


def _by_name(inputs: Sequence[tuple[TensorSpec, Array]]) -> dict[str, Array]:
    return {spec.name: array for spec, array in inputs}


def _named(features: Sequence[Feature], arrays: dict[str, Array]) -> dict[str, Any]:
    """One row by feature names; what is missing in it is left out."""
    row = {}
    for feature in features:
        flat = arrays[feature.input].reshape(-1)
        value = flat[feature.column or 0]
        if not (isinstance(value, float | np.floating) and math.isnan(value)):
            row[feature.name] = _OF_KIND[feature.kind](value)
    return row


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _number(value: Any) -> float:
    """Six digits: enough to look at, and a float32 has hardly more."""
    return float(f"{float(value):.6g}")


_OF_KIND: dict[Kind, Any] = {"number": _number, "integer": int, "boolean": bool, "text": _text}


def _tensor(spec: TensorSpec, array: Array) -> dict[str, Any]:
    values = _values(array.reshape(-1), spec.datatype)
    return {"name": spec.name, "shape": list(array.shape), "datatype": str(spec.datatype), "data": values}


def _exact_tensor(spec: TensorSpec, array: Array) -> dict[str, Any]:
    flat = array.reshape(-1)
    values = [_text(value) for value in flat] if spec.datatype is DataType.BYTES else flat.tolist()
    return {"name": spec.name, "shape": list(array.shape), "datatype": str(spec.datatype), "data": values}


def _nested(array: Array, datatype: DataType) -> Any:
    if array.ndim == 0:
        return _values(array.reshape(-1), datatype)[0]
    if array.ndim == 1:
        return _values(array, datatype)
    return [_nested(part, datatype) for part in array]


def _values(flat: Array, datatype: DataType) -> list[Any]:
    convert = _text if datatype is DataType.BYTES else bool if datatype is DataType.BOOL else int
    return [_number(value) if datatype.is_float else convert(value) for value in flat]


def _script(inputs: Sequence[tuple[TensorSpec, Array]]) -> str:
    """A Python program that prints a request of zeros (empty texts)."""
    parts = []
    for spec, array in inputs:
        zero = {DataType.BYTES: '""', DataType.BOOL: "False"}.get(spec.datatype, "0")
        head = _json({"name": spec.name, "shape": list(array.shape), "datatype": str(spec.datatype)})
        parts.append(f'{head[:-1]}, "data": [{zero}] * {array.size}}}')
    return f'import json; print(json.dumps({{"inputs": [{", ".join(parts)}]}}))'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
