"""Every way to ask for an inference, behind one call: whole clients, used as their users use them."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio

from rapide.proto import open_inference_pb2
from tests import tools
from tests.conformance.target import Target

Array = np.ndarray[Any, np.dtype[Any]]

DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
NO_JSON = frozenset({"FP16", "BF16"})
"""Datatypes that travel as bytes only."""
TYPED_FIELDS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@dataclass(frozen=True)
class Tensor:
    """A named array and its datatype; BYTES are an object array of ``bytes``."""

    name: str
    datatype: str
    array: Array


@dataclass(frozen=True)
class Call:
    """One inference."""

    model: str
    inputs: Sequence[Tensor]
    outputs: Sequence[str]
    version: str = ""
    id: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    model: str
    version: str
    id: str
    outputs: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """A way to ask. ``carries_all`` is False where FP16 and BF16 have no form."""

    name: str
    infer: Callable[[Target, Call], Answer]
    carries_all: bool = True


def triton_http(target: Target, call: Call, binary: bool) -> Answer:
    with tritonclient.http.InferenceServerClient(target.host_port) as client:
        inputs, outputs = _triton_tensors(tritonclient.http, call, binary)
        result = client.infer(call.model, inputs, call.version, outputs, call.id)
    return _triton_answer(call, result, result.get_response())


def triton_http_aio(target: Target, call: Call) -> Answer:
    async def ask() -> Any:
        async with tritonclient.http.aio.InferenceServerClient(target.host_port) as client:
            inputs, outputs = _triton_tensors(tritonclient.http, call, binary=True)
            return await client.infer(call.model, inputs, call.version, outputs, call.id)

    result = asyncio.run(ask())
    return _triton_answer(call, result, result.get_response())


def triton_grpc(target: Target, call: Call) -> Answer:
    with tritonclient.grpc.InferenceServerClient(target.need_grpc()) as client:
        inputs, outputs = _triton_tensors(tritonclient.grpc, call, None)
        result = client.infer(call.model, inputs, call.version, outputs, call.id)
    return _triton_answer(call, result, result.get_response(as_json=True))


def triton_grpc_aio(target: Target, call: Call) -> Answer:
    async def ask() -> Any:
        async with tritonclient.grpc.aio.InferenceServerClient(target.need_grpc()) as client:
            inputs, outputs = _triton_tensors(tritonclient.grpc, call, None)
            return await client.infer(call.model, inputs, call.version, outputs, call.id)

    result = asyncio.run(ask())
    return _triton_answer(call, result, result.get_response(as_json=True))


def curl_json(target: Target, call: Call) -> Answer:
    """As it is typed at a prompt: nested lists, all outputs, no headers but the content type."""
    body: dict[str, Any] = {
        "inputs": [
            {"name": item.name, "datatype": item.datatype, "shape": item.array.shape, "data": _texts(item.array)}
            for item in call.inputs
        ]
    }
    if call.id:
        body["id"] = call.id
    answer = json.loads(_curl(target, call, json.dumps(body).encode(), "Content-Type: application/json"))
    outputs = {item["name"]: _from_json(item) for item in answer["outputs"]}
    return Answer(answer["model_name"], answer.get("model_version", ""), answer.get("id", ""), outputs)


def curl_binary(target: Target, call: Call) -> Answer:
    """The binary tensor extension by hand, both ways."""
    raw = [to_raw(item.array) for item in call.inputs]
    head = {
        "id": call.id,
        "parameters": {"binary_data_output": True},
        "inputs": [
            {
                "name": item.name,
                "datatype": item.datatype,
                "shape": item.array.shape,
                "parameters": {"binary_data_size": len(content)},
            }
            for item, content in zip(call.inputs, raw, strict=True)
        ],
    }
    text = json.dumps(head).encode()
    said = _curl(
        target, call, b"".join([text, *raw]), f"Inference-Header-Content-Length: {len(text)}", "--include"
    )
    headers, _, body = said.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in headers.split(b"\r\n")
        if line.lower().startswith(b"inference-header-content-length")
    ]
    split = lengths[0] if lengths else len(body)
    answer = json.loads(body[:split])
    outputs, offset = {}, split
    for item in answer["outputs"]:
        size = item["parameters"]["binary_data_size"]
        outputs[item["name"]] = from_raw(body[offset : offset + size], item["datatype"], item["shape"])
        offset += size
    assert offset == len(body), "the answer has bytes that no output claims"
    return Answer(answer["model_name"], answer.get("model_version", ""), answer.get("id", ""), outputs)


def stub_raw(target: Target, call: Call) -> Answer:
    """grpcio and the protocol's own messages, tensors in raw form."""
    request = _message(call)
    for item in call.inputs:
        request.inputs.add(name=item.name, datatype=item.datatype, shape=item.array.shape)
        request.raw_input_contents.append(to_raw(item.array))
    return _from_message(target.stub.ModelInfer(request, timeout=30))


def stub_typed(target: Target, call: Call) -> Answer:
    """The same, with tensors as repeated fields."""
    request = _message(call)
    for item in call.inputs:
        tensor = request.inputs.add(name=item.name, datatype=item.datatype, shape=item.array.shape)
        getattr(tensor.contents, TYPED_FIELDS[item.datatype]).extend(item.array.reshape(-1).tolist())
    return _from_message(target.stub.ModelInfer(request, timeout=30))


CLIENTS = (
    Client("triton-http-json", lambda target, call: triton_http(target, call, binary=False), carries_all=False),
    Client("triton-http-binary", lambda target, call: triton_http(target, call, binary=True)),
    Client("triton-http-aio", triton_http_aio),
    Client("triton-grpc", triton_grpc),
    Client("triton-grpc-aio", triton_grpc_aio),
    Client("curl-json", curl_json, carries_all=False),
    Client("curl-binary", curl_binary),
    Client("stub-raw", stub_raw),
    Client("stub-typed", stub_typed, carries_all=False),
)
every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


def to_raw(array: Array) -> bytes:
    """The binary form of a tensor."""
    if array.dtype != object:
        return array.tobytes()
    return b"".join(struct.pack("<I", len(item)) + item for item in array.reshape(-1))


def from_raw(content: bytes, datatype: str, shape: Sequence[int]) -> Array:
    """A tensor from its binary form."""
    if datatype != "BYTES":
        return np.frombuffer(content, DTYPES[datatype]).reshape(shape)
    items, offset = [], 0
    while offset < len(content):
        (length,) = struct.unpack_from("<I", content, offset)
        items.append(content[offset + 4 : offset + 4 + length])
        offset += 4 + length
    return _objects(items).reshape(shape)


def _objects(items: Sequence[Any]) -> Array:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _triton_tensors(library: Any, call: Call, binary: bool | None) -> tuple[list[Any], list[Any]]:
    """tritonclient's own input and output objects; ``binary`` is None over gRPC, where there is no choice."""
    how = {} if binary is None else {"binary_data": binary}
    inputs = []
    for item in call.inputs:
        tensor = library.InferInput(item.name, list(item.array.shape), item.datatype)
        tensor.set_data_from_numpy(item.array, **how)
        inputs.append(tensor)
    return inputs, [library.InferRequestedOutput(name, **how) for name in call.outputs]


def _triton_answer(call: Call, result: Any, said: dict[str, Any]) -> Answer:
    outputs = {name: result.as_numpy(name) for name in call.outputs}
    return Answer(said["model_name"], said.get("model_version", ""), said.get("id", ""), outputs)


def _curl(target: Target, call: Call, body: bytes, header: str, *flags: str) -> bytes:
    version = f"/versions/{call.version}" if call.version else ""
    url = f"{target.need_http()}/v2/models/{call.model}{version}/infer"
    command = [
        tools.program("curl"),
        "--silent",
        "--show-error",
        "--data-binary",
        "@-",
        "--header",
        header,
        *flags,
        url,
    ]
    return subprocess.run(command, input=body, capture_output=True, check=True).stdout


def _texts(array: Array) -> Any:
    """Nested lists; BYTES as text."""
    if array.dtype != object:
        return array.tolist()
    return _objects([item.decode() for item in array.reshape(-1)]).reshape(array.shape).tolist()


def _from_json(item: dict[str, Any]) -> Array:
    if item["datatype"] == "BYTES":
        flat = [text.encode() for text in np.ravel(np.array(item["data"], dtype=object))]
        return _objects(flat).reshape(item["shape"])
    return np.array(item["data"], dtype=DTYPES[item["datatype"]]).reshape(item["shape"])


def _message(call: Call) -> open_inference_pb2.ModelInferRequest:
    request = open_inference_pb2.ModelInferRequest(model_name=call.model, model_version=call.version, id=call.id)
    for name in call.outputs:
        request.outputs.add(name=name)
    return request


def _from_message(answer: open_inference_pb2.ModelInferResponse) -> Answer:
    raw = zip(answer.outputs, answer.raw_output_contents, strict=True)
    outputs = {spec.name: from_raw(content, spec.datatype, spec.shape) for spec, content in raw}
    return Answer(answer.model_name, answer.model_version, answer.id, outputs)
