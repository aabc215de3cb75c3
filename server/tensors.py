"""Requests and responses as values, and the check of a request against a signature.

Arrays are C-contiguous numpy arrays. BYTES tensors are object arrays of ``bytes``; BF16 uses ``ml_dtypes``.
A codec makes an InferRequest, the engine makes outputs, a codec turns an InferResponse into bytes: nothing
here knows a transport.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from rapide.server.errors import InvalidRequest
from rapide.server.signature import DYNAMIC, DataType, Signature, TensorSpec

Array = np.ndarray[Any, np.dtype[Any]]
Parameter = bool | int | float | str
"""A request, tensor or response parameter (the protocol's InferParameter)."""

NUMPY_DTYPES: Mapping[DataType, np.dtype[Any]] = {
    DataType.BOOL: np.dtype(np.bool_),
    DataType.UINT8: np.dtype(np.uint8),
    DataType.UINT16: np.dtype("<u2"),
    DataType.UINT32: np.dtype("<u4"),
    DataType.UINT64: np.dtype("<u8"),
    DataType.INT8: np.dtype(np.int8),
    DataType.INT16: np.dtype("<i2"),
    DataType.INT32: np.dtype("<i4"),
    DataType.INT64: np.dtype("<i8"),
    DataType.FP16: np.dtype("<f2"),
    DataType.BF16: np.dtype(ml_dtypes.bfloat16),
    DataType.FP32: np.dtype("<f4"),
    DataType.FP64: np.dtype("<f8"),
    DataType.BYTES: np.dtype(object),
}


@dataclass(slots=True)
class InputTensor:
    """One input as it came: the declared datatype, and an array that already has the declared shape."""

    name: str
    datatype: DataType
    array: Array


@dataclass(slots=True)
class RequestedOutput:
    """An output that the caller asks for. ``parameters`` may hold ``binary_data``, ``classification`` or
    shared-memory names; what they mean is the codec's and the service's business."""

    name: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(slots=True)
class InferRequest:
    """What a caller wants predicted. An empty ``outputs`` means all; an empty ``model_version`` lets routing
    choose."""

    model_name: str
    model_version: str = ""
    id: str = ""
    inputs: list[InputTensor] = field(default_factory=list)
    outputs: list[RequestedOutput] = field(default_factory=list)
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(slots=True)
class OutputTensor:
    """One output: ``array`` has the answer's shape; BYTES are an object array of ``bytes``."""

    name: str
    datatype: DataType
    array: Array
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


@dataclass(slots=True)
class InferResponse:
    """The answer to one InferRequest, outputs in the order asked for (all: the graph's order)."""

    model_name: str
    model_version: str
    id: str
    outputs: list[OutputTensor]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


def bind(request: InferRequest, signature: Signature) -> list[Array]:
    """The request's arrays in the order of the signature's inputs.

    Raises InvalidRequest, naming the input, what was expected and what came, for a missing, surplus or repeated
    input, a wrong datatype, rank or size, or NaN where the signature forbids it.
    """
    given = {tensor.name: tensor for tensor in request.inputs}
    if len(given) != len(request.inputs) or given.keys() != {spec.name for spec in signature.inputs}:
        raise _wrong_names(request, signature)
    arrays = []
    rows: int | None = None
    for spec in signature.inputs:
        tensor = given[spec.name]
        check_tensor(tensor, spec)
        if signature.batchable:
            if rows is not None and tensor.array.shape[0] != rows:
                raise InvalidRequest(
                    f"input {spec.name!r} has {tensor.array.shape[0]} rows but "
                    f"input {signature.inputs[0].name!r} has {rows}; all inputs must have the same number of rows"
                )
            rows = tensor.array.shape[0]
        arrays.append(tensor.array)
    return arrays


def check_tensor(tensor: InputTensor, spec: TensorSpec) -> None:
    """Raises InvalidRequest unless ``tensor`` has the datatype, shape and (if asked) finiteness of ``spec``."""
    if tensor.datatype is not spec.datatype:
        raise InvalidRequest(
            f"input {spec.name!r} has datatype {tensor.datatype}; the model expects {spec.datatype}"
        )
    shape = tensor.array.shape
    if len(shape) != len(spec.shape) or any(
        want not in (DYNAMIC, got) for want, got in zip(spec.shape, shape, strict=True)
    ):
        raise InvalidRequest(
            f"input {spec.name!r} has shape {list(shape)}; the model expects {list(spec.shape)}"
            + (" (−1 is any size)" if DYNAMIC in spec.shape else "")
        )
    if spec.finite and bool(np.isnan(tensor.array).any()):
        where = [int(index) for index in np.argwhere(np.isnan(tensor.array))[0]]
        raise InvalidRequest(
            f"input {spec.name!r} is NaN at index {where}; the model was trained without missing values there"
        )


def _wrong_names(request: InferRequest, signature: Signature) -> InvalidRequest:
    names = [tensor.name for tensor in request.inputs]
    expected = [spec.name for spec in signature.inputs]
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(names) < 1000 else []
    missing = [name for name in expected if name not in names]
    surplus = [name for name in dict.fromkeys(names) if name not in expected]
    parts = []
    if missing:
        parts.append(f"missing input{'s' * (len(missing) > 1)} {_some(missing)}")
    if surplus:
        parts.append(f"unknown input{'s' * (len(surplus) > 1)} {_some(surplus)}")
    if repeated:
        parts.append(f"input{'s' * (len(repeated) > 1)} given more than once: {_some(repeated)}")
    return InvalidRequest(f"{'; '.join(parts) or 'repeated inputs'}; the model expects {_some(expected)}")


def _some(names: list[str], most: int = 8) -> str:
    shown = ", ".join(repr(name[:64]) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
