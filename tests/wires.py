"""Requests as bytes on both wires, HTTP and gRPC, so that a test can send what no client library would let
pass."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rapide.proto import open_inference_pb2 as pb
from rapide.proto import predict_pb2
from rapide.server.errors import RapideError
from rapide.server.signature import DataType
from rapide.server.tensors import NUMPY_DTYPES

SERVICE = "/inference.GRPCInferenceService"
PREDICT = "/rapide.v1.PredictService/Predict"


@dataclass(frozen=True, slots=True)
class Http:
    """A request over HTTP."""

    path: str
    body: bytes | str = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Grpc:
    """A call over gRPC."""

    path: str
    message: bytes
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What is asked on each wire (None: that wire cannot ask it), and what must come back."""

    name: str
    error: type[RapideError]
    text: str
    http: Http | None
    grpc: Grpc | None
    grpc_texts: tuple[str, ...] = ()
    """Where the wires' own terms differ: the texts, one of which must come (protobuf's maps have no order)."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input. ``data`` are its elements; gRPC sends them raw."""

    name: str
    data: Sequence[Any]
    shape: Sequence[int]
    datatype: str = "INT32"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        raw = {"name": self.name, "datatype": self.datatype, "shape": self.shape}
        return raw | ({"parameters": self.parameters} if self.parameters else {"data": self.data})

    def message(self) -> pb.ModelInferRequest.InferInputTensor:
        return pb.ModelInferRequest.InferInputTensor(
            name=self.name, datatype=self.datatype, shape=self.shape, parameters=as_parameters(self.parameters)
        )

    def raw(self) -> bytes:
        if self.datatype == "BYTES":
            return b"".join(struct.pack("<I", len(item)) + item.encode() for item in self.data)
        dtype = NUMPY_DTYPES[DataType(self.datatype)] if self.datatype in set(DataType) else np.dtype(np.int32)
        return np.array(self.data, dtype).tobytes()


def as_parameters(values: Mapping[str, Any]) -> dict[str, pb.InferParameter]:
    fields = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    return {name: pb.InferParameter(**{fields[type(value)]: value}) for name, value in values.items()}


A = Tensor("a", [1, 2], [1, 2])
B = Tensor("b", [3, 4], [1, 2])


def infer_path(model: str, version: str = "") -> str:
    return f"/v2/models/{model}{f'/versions/{version}' if version else ''}/infer"


def infer(
    name: str,
    error: type[RapideError],
    text: str,
    *inputs: Tensor,
    model: str = "two",
    version: str = "",
    outputs: Sequence[tuple[str, Mapping[str, Any]]] = (),
    parameters: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    grpc_text: str = "",
) -> Case:
    """The same inference over both wires."""
    body: dict[str, Any] = {"inputs": [tensor.json() for tensor in inputs]}
    if outputs:
        body["outputs"] = [{"name": output, "parameters": given} for output, given in outputs]
    if parameters:
        body["parameters"] = parameters
    wanted = pb.ModelInferRequest.InferRequestedOutputTensor
    message = pb.ModelInferRequest(
        model_name=model,
        model_version=version,
        inputs=[tensor.message() for tensor in inputs],
        outputs=[wanted(name=output, parameters=as_parameters(given)) for output, given in outputs],
        parameters=as_parameters(parameters or {}),
        raw_input_contents=[tensor.raw() for tensor in inputs if not tensor.parameters],
    )
    return Case(
        name,
        error,
        text,
        Http(infer_path(model, version), json.dumps(body), headers or {}),
        Grpc(f"{SERVICE}/ModelInfer", message.SerializeToString(), tuple((headers or {}).items())),
        (grpc_text,) if grpc_text else (),
    )


def typed(*tensors: pb.ModelInferRequest.InferInputTensor, model: str = "two", raw: Sequence[bytes] = ()) -> Grpc:
    message = pb.ModelInferRequest(model_name=model, inputs=tensors, raw_input_contents=raw)
    return Grpc(f"{SERVICE}/ModelInfer", message.SerializeToString())


def tensor_message(
    name: str, datatype: str = "INT32", shape: Sequence[int] = (1, 2), **contents: Sequence[Any]
) -> pb.ModelInferRequest.InferInputTensor:
    return pb.ModelInferRequest.InferInputTensor(
        name=name,
        datatype=datatype,
        shape=shape,
        contents=pb.InferTensorContents(**contents),
    )


def post(body: Any, model: str = "two", **headers: str) -> Http:
    text = body if isinstance(body, bytes | str) else json.dumps(body)
    return Http(infer_path(model), text, {name.replace("_", "-"): value for name, value in headers.items()})


def binary(model: str, head: Mapping[str, Any], tail: bytes, length: int | str | None = None) -> Http:
    """The binary extension; ``length`` is what the header claims, by default the truth."""
    text = json.dumps(head).encode()
    claimed = len(text) if length is None else length
    return Http(infer_path(model), text + tail, {"inference-header-content-length": str(claimed)})


def binary_input(name: str, datatype: str, shape: Sequence[int], size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def predict(
    name: str,
    error: type[RapideError],
    text: str,
    columns: Mapping[str, Sequence[Any]],
    *,
    grpc_texts: tuple[str, ...] = (),
    **where: str,
) -> Case:
    """Named features over both wires, as columns."""
    model = where.get("model", "price")
    path = f"/v1/models/{model}"
    if "version" in where:
        path += f"/versions/{where['version']}"
    if "label" in where:
        path += f"/labels/{where['label']}"
    message = predict_pb2.PredictRequest(
        model=model,
        version=where.get("version", ""),
        label=where.get("label", ""),
        columns={name: _column(values) for name, values in columns.items()},
    )
    return Case(
        name,
        error,
        text,
        Http(f"{path}:predict", json.dumps({"inputs": columns})),
        Grpc(PREDICT, message.SerializeToString()),
        grpc_texts,
    )


def _column(values: Sequence[Any]) -> predict_pb2.Column:
    missing = [row for row, value in enumerate(values) if value is None]
    present = [value for value in values if value is not None]
    if present and isinstance(present[0], str):
        strings = ["" if value is None else value for value in values]
        return predict_pb2.Column(strings=predict_pb2.Strings(values=strings), missing=missing)
    floats = [0.0 if value is None else value for value in values]
    return predict_pb2.Column(floats=predict_pb2.Floats(values=floats), missing=missing)
