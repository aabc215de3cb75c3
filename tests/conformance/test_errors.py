"""What is wrong is refused with the right code, and with words."""

from __future__ import annotations

import json
import struct
from typing import Any

import grpc
import pytest

from rapide.proto import open_inference_pb2
from tests.conformance.target import Target

INPUT = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}
INVALID, NOT_FOUND = (400, grpc.StatusCode.INVALID_ARGUMENT), (404, grpc.StatusCode.NOT_FOUND)

# name: (model, version, inputs, outputs, what is expected over HTTP and gRPC)
WRONG: dict[str, tuple[str, str, list[dict[str, Any]], list[str], tuple[int, grpc.StatusCode]]] = {
    "unknown model": ("nothing", "", [INPUT], [], NOT_FOUND),
    "unknown version": ("linear", "9", [INPUT], [], NOT_FOUND),
    "version that is no number": ("linear", "newest", [INPUT], [], NOT_FOUND),
    "no inputs": ("linear", "", [], [], INVALID),
    "unknown input": ("linear", "", [{**INPUT, "name": "z"}], [], INVALID),
    "surplus input": ("linear", "", [INPUT, {**INPUT, "name": "z"}], [], INVALID),
    "repeated input": ("linear", "", [INPUT, INPUT], [], INVALID),
    "missing input": (
        "two_inputs",
        "",
        [{**INPUT, "name": "a", "datatype": "INT32", "shape": [2, 2]}],
        [],
        INVALID,
    ),
    "wrong datatype": ("linear", "", [{**INPUT, "datatype": "INT32"}], [], INVALID),
    "unknown datatype": ("linear", "", [{**INPUT, "datatype": "FP128"}], [], INVALID),
    "wrong width": ("linear", "", [{**INPUT, "shape": [2, 2]}], [], INVALID),
    "wrong rank": ("linear", "", [{**INPUT, "shape": [4]}], [], INVALID),
    "negative dimension": ("linear", "", [{**INPUT, "shape": [-1, 4]}], [], INVALID),
    "too few elements": ("linear", "", [{**INPUT, "data": [1, 1, 1]}], [], INVALID),
    "too many elements": ("linear", "", [{**INPUT, "data": [1, 1, 1, 1, 1]}], [], INVALID),
    "unknown output": ("linear", "", [INPUT], ["z"], INVALID),
}
wrong_requests = pytest.mark.parametrize("name", WRONG)


def refused_http(answer: Any, status: int) -> str:
    """The error's text; asserts the status and the form."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"].startswith("application/json")
    text = answer.json["error"]
    assert isinstance(text, str)
    assert text
    return text


def refused_grpc(target: Target, request: open_inference_pb2.ModelInferRequest) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        target.stub.ModelInfer(request, timeout=30)
    return refused.value.code(), refused.value.details() or ""


@wrong_requests
def test_wrong_requests_over_http(target: Target, name: str) -> None:
    model, version, inputs, outputs, (status, _) = WRONG[name]
    path = f"/v2/models/{model}{f'/versions/{version}' if version else ''}/infer"
    body: dict[str, Any] = {"inputs": inputs}
    if outputs:
        body["outputs"] = [{"name": output} for output in outputs]
    refused_http(target.post(path, body), status)


@wrong_requests
@pytest.mark.parametrize("form", ["raw", "typed"])
def test_wrong_requests_over_grpc(target: Target, name: str, form: str) -> None:
    model, version, inputs, outputs, (_, code) = WRONG[name]
    request = open_inference_pb2.ModelInferRequest(model_name=model, model_version=version)
    for item in inputs:
        tensor = request.inputs.add(name=item["name"], datatype=item["datatype"], shape=item["shape"])
        if form == "raw":
            request.raw_input_contents.append(struct.pack(f"<{len(item['data'])}f", *item["data"]))
        else:
            tensor.contents.fp32_contents.extend(item["data"])
    for output in outputs:
        request.outputs.add(name=output)
    found, text = refused_grpc(target, request)
    assert found == code, text
    assert text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"inputs": 1}',
        b'{"inputs": [1]}',
        b'{"inputs": [{}]}',
        b"[" * 5000,
    ],
    ids=["empty", "torn", "a list", "null", "no text", "a number", "no object", "an empty object", "deep"],
)
def test_garbage_json(target: Target, body: bytes) -> None:
    refused_http(target.post("/v2/models/linear/infer", body), 400)


@pytest.mark.parametrize("length", ["0", "5", "100000", "-1", "many"])
@pytest.mark.extension("binary_tensor_data")
def test_a_wrong_json_length(target: Target, length: str) -> None:
    body = json.dumps({"inputs": [INPUT]}).encode()
    refused_http(target.post("/v2/models/linear/infer", body, {"Inference-Header-Content-Length": length}), 400)


@pytest.mark.parametrize("size", [15, 17, 0, 1_000_000, -1])
@pytest.mark.extension("binary_tensor_data")
def test_a_wrong_binary_size(target: Target, size: int) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    refused_http(target.post("/v2/models/linear/infer", head + bytes(16), headers), 400)


def _text_request(content: bytes) -> open_inference_pb2.ModelInferRequest:
    request = open_inference_pb2.ModelInferRequest(model_name="identity_bytes")
    request.inputs.add(name="x", datatype="BYTES", shape=[1, 2])
    request.raw_input_contents.append(content)
    return request


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x01\x00\x00\x00a",
        b"\x01\x00\x00\x00a\x05\x00\x00\x00b",
        b"\x01\x00\x00\x00a\x01\x00\x00\x00bc",
        b"\x01\x00\x00\x00a\xff\xff\xff\xffb",
        b"\x01\x00\x00\x00a\x01\x00",
    ],
    ids=["nothing", "one of two", "too long", "trailing", "huge", "torn length"],
)
def test_bytes_with_lying_lengths(target: Target, content: bytes) -> None:
    code, text = refused_grpc(target, _text_request(content))
    assert code == grpc.StatusCode.INVALID_ARGUMENT, text


def test_raw_and_typed_contents_do_not_mix(target: Target) -> None:
    request = open_inference_pb2.ModelInferRequest(model_name="two_inputs")
    request.inputs.add(name="a", datatype="INT32", shape=[1, 2]).contents.int_contents.extend([1, 2])
    request.inputs.add(name="b", datatype="INT32", shape=[1, 2])
    request.raw_input_contents.append(bytes(8))
    code, text = refused_grpc(target, request)
    assert code == grpc.StatusCode.INVALID_ARGUMENT, text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/nothing", 404),
        ("GET", "/v2/models/linear/versions/9", 404),
        ("GET", "/v2/models/linear/infer", 405),
        ("DELETE", "/v2/models/linear/infer", 405),
    ],
)
def test_wrong_paths_and_methods(target: Target, method: str, path: str, status: int) -> None:
    assert target.send(method, path).status == status


@pytest.mark.parametrize("method", ["ModelMetadata", "ModelConfig", "ModelStatistics"])
def test_unknown_models_over_grpc(target: Target, method: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        getattr(target.stub, method)(getattr(open_inference_pb2, f"{method}Request")(name="nothing"), timeout=10)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_an_unknown_method_is_unimplemented(target: Target) -> None:
    call = target.method("Guess")
    with pytest.raises(grpc.RpcError) as refused:
        call(b"", timeout=10)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_garbage_instead_of_a_message(target: Target) -> None:
    call = target.method("ModelInfer")
    with pytest.raises(grpc.RpcError) as refused:
        call(b"\xff\xff\xff\xff", timeout=10)
    assert refused.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)


def test_a_server_outlives_all_of_this(target: Target) -> None:
    """Last in this file: what came before has harmed nothing."""
    assert target.post("/v2/models/linear/infer", {"inputs": [INPUT]}).status == 200
    assert target.get("/v2/health/ready").status == 200
