"""Requests made from what a server says of its model, so that any model of any server can be put under load.

Values are drawn at random, or taken from recorded rows (``golden.npz`` of a published version, or any ``.npz``
whose arrays are named like the inputs). Both protocols' requests are built once and sent many times: a load
generator that encodes measures itself.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from rapide.loadtests.npz import read_npz
from rapide.proto import open_inference_pb2

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Without proxies, as the load itself goes."""

Array = np.ndarray[Any, np.dtype[Any]]

DTYPES: Mapping[str, str] = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
}
"""The protocol's datatypes that a load test can draw values of, and numpy's names for them."""
RECORDED_DTYPES: Mapping[str, str] = {**DTYPES, "BF16": "V2"}
"""Those that can be read from a file, where numpy keeps BF16 as pairs of bytes."""
MOST_VALUES = 2**27
"""Of one input in one request: a gigabyte while they are drawn."""
DYNAMIC_SIZE = 8
"""What stands for a dimension, other than the first, whose size each request chooses (a sequence, say)."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input as the server describes it; −1 in ``shape`` is any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Payload:
    """The tensors of one request, in the model's order."""

    model: str
    version: str
    inputs: tuple[Input, ...]
    arrays: tuple[Array, ...]

    @property
    def rows(self) -> int:
        """The size of the first dimension of the first input: what the answer's outputs are expected to have."""
        return int(self.arrays[0].shape[0]) if self.arrays and self.arrays[0].ndim else 1

    @property
    def path(self) -> str:
        """Where the request is posted to, over HTTP."""
        version = f"/versions/{self.version}" if self.version else ""
        return f"/v2/models/{self.model}{version}/infer"

    def to_protobuf(self) -> open_inference_pb2.ModelInferRequest:
        """The gRPC request, in raw form."""
        request = open_inference_pb2.ModelInferRequest(model_name=self.model, model_version=self.version)
        for spec, array in zip(self.inputs, self.arrays, strict=True):
            request.inputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
            request.raw_input_contents.append(_raw(array))
        return request

    def to_json(self) -> bytes:
        """The body of the HTTP request with its tensors in JSON."""
        tensors = [
            {**_head(spec, array), "data": _listed(array)}
            for spec, array in zip(self.inputs, self.arrays, strict=True)
        ]
        return json.dumps({"inputs": tensors}, separators=(",", ":")).encode()

    def to_binary(self) -> tuple[bytes, int]:
        """The body with the binary tensor extension, answers included, and the length of its JSON part."""
        raw = [_raw(array) for array in self.arrays]
        tensors = [
            {**_head(spec, array), "parameters": {"binary_data_size": len(content)}}
            for spec, array, content in zip(self.inputs, self.arrays, raw, strict=True)
        ]
        head = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}, separators=(",", ":"))
        return b"".join([head.encode(), *raw]), len(head.encode())


def describe(url: str, model: str, version: str = "", timeout_s: float = 10.0) -> tuple[Input, ...]:
    """The inputs of ``model``, asked over HTTP. Raises OSError where nobody answers or the model is unknown."""
    tail = f"/versions/{version}" if version else ""
    with _OPENER.open(f"{url}/v2/models/{model}{tail}", timeout=timeout_s) as answer:
        described = json.load(answer)["inputs"]
    return tuple(
        Input(item["name"], item["datatype"], tuple(int(size) for size in item["shape"])) for item in described
    )


def example(url: str, model: str, version: str = "", timeout_s: float = 10.0) -> dict[str, Array]:
    """One row that ``model`` is known to take, by input, from the administrative port of a rapide server.

    Raises OSError where nobody answers, or no row is known.
    """
    tail = f"/versions/{version}" if version else ""
    with _OPENER.open(f"{url}/v2/models/{model}{tail}/example", timeout=timeout_s) as answer:
        tensors = json.load(answer)["inputs"]
    return {each["name"]: _read(each) for each in tensors}


def _read(tensor: Mapping[str, Any]) -> Array:
    kind, shape = np.dtype(DTYPES[tensor["datatype"]]), tensor["shape"]
    if kind.kind != "O":
        return (
            np.array([np.nan if value is None else value for value in tensor["data"]]).astype(kind).reshape(shape)
        )
    texts = np.empty(len(tensor["data"]), object)
    texts[:] = [text.encode() for text in tensor["data"]]
    return texts.reshape(shape)


def repeated_payload(
    model: str, version: str, inputs: Sequence[Input], rows: int, row: Mapping[str, Array]
) -> Payload:
    """``row`` as often as a request has rows (once for a model that takes no more). Raises ValueError without an
    input's array."""
    if missing := [spec.name for spec in inputs if spec.name not in row]:
        raise ValueError(f"the example row has no input {missing[0]!r}")
    arrays = [
        np.repeat(row[spec.name], rows, axis=0) if spec.shape and spec.shape[0] < 0 else row[spec.name]
        for spec in inputs
    ]
    return Payload(model, version, tuple(inputs), tuple(arrays))


def describe_grpc(stub: Any, model: str, version: str = "", timeout_s: float = 10.0) -> tuple[Input, ...]:
    """The inputs of ``model``, asked over gRPC. Raises grpc.RpcError."""
    request = open_inference_pb2.ModelMetadataRequest(name=model, version=version)
    answer = stub.ModelMetadata(request, timeout=timeout_s)
    return tuple(Input(item.name, item.datatype, tuple(item.shape)) for item in answer.inputs)


def random_payloads(
    model: str, version: str, inputs: Sequence[Input], rows: int, *, count: int = 64, seed: int = 0
) -> Iterator[Payload]:
    """``count`` different requests of ``rows`` rows, the same ones for the same ``seed``, over and over."""
    random = np.random.default_rng(seed)
    return itertools.cycle([drawn_payload(model, version, inputs, rows, random) for _ in range(count)])


def drawn_payload(
    model: str,
    version: str,
    inputs: Sequence[Input],
    rows: int,
    random: np.random.Generator,
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> Payload:
    """One request of ``rows`` rows. ``sizes``: of dimensions that each request chooses, by axis (``ids[1]``).

    Raises ValueError for a datatype that no values can be drawn of, and for more of them than a request can hold.
    """
    return Payload(model, version, tuple(inputs), tuple(_draw(spec, rows, random, sizes) for spec in inputs))


def recorded_payloads(
    model: str, version: str, inputs: Sequence[Input], rows: int, path: Path
) -> Iterator[Payload]:
    """The rows in ``path``, ``rows`` at a time, over and over.

    Raises ValueError where an input has no array of its name there, or fewer rows than one request takes; OSError
    where it cannot be read.
    """
    archive = read_npz(path)
    columns = [_column(archive, spec, path) for spec in inputs]
    total = min(len(column) for column in columns)
    if total < max(1, rows):
        raise ValueError(f"{path} has {total} rows, and a request takes {rows}")
    starts = range(0, total - rows + 1, max(1, rows))
    made = [
        Payload(model, version, tuple(inputs), tuple(column[start : start + rows] for column in columns))
        for start in starts
    ]
    return itertools.cycle(made)


def _column(archive: Mapping[str, Array], spec: Input, path: Path) -> Array:
    for name in (spec.name, f"input:{spec.name}"):
        if name in archive:
            return np.atleast_1d(archive[name]).astype(RECORDED_DTYPES[spec.datatype])
    raise ValueError(f"{path} has no array for input {spec.name!r}; it has {', '.join(archive)}")


def _draw(spec: Input, rows: int, random: np.random.Generator, chosen: Mapping[str, int]) -> Array:
    sizes = [
        size if size >= 0 else chosen.get(f"{spec.name}[{axis}]", DYNAMIC_SIZE)
        for axis, size in enumerate(spec.shape)
    ]
    if spec.shape and spec.shape[0] < 0:
        sizes[0] = rows
    if spec.datatype not in DTYPES:
        raise ValueError(f"input {spec.name!r} is {spec.datatype}; give recorded rows for it")
    if (values := math.prod(sizes)) > MOST_VALUES:
        raise ValueError(f"{rows:,} rows are {values:,} values of input {spec.name!r}; no server takes so many")
    dtype = np.dtype(DTYPES[spec.datatype])
    match dtype.kind:
        case "f":
            return np.asarray(random.normal(size=sizes)).astype(dtype)
        case "O":
            words = np.array([b"one", b"two", b"three", b"four"], dtype=object)
            return np.asarray(words[random.integers(0, len(words), size=sizes)], dtype=object)
        case "b":
            return np.asarray(random.integers(0, 2, size=sizes)).astype(dtype)
    return np.asarray(random.integers(0, 10, size=sizes)).astype(dtype)


def _head(spec: Input, array: Array) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(array.shape)}


def _listed(array: Array) -> list[Any]:
    flat = array.reshape(-1).tolist()
    return [item.decode() if isinstance(item, bytes) else item for item in flat]


def _raw(array: Array) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    items = [item if isinstance(item, bytes) else str(item).encode() for item in array.reshape(-1)]
    return b"".join(struct.pack("<I", len(item)) + item for item in items)
