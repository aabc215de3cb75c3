"""What a request may ask for beside its tensors: a version, an id, some outputs, parameters, compression."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.http

from rapide.proto import open_inference_pb2
from tests.conformance.clients import Call, Client, Tensor, every_client
from tests.conformance.target import Target
from tests.models import LINEAR_BIAS, LINEAR_WEIGHTS

ONES = np.ones((1, 4), np.float32)


def linear(scale: float) -> np.ndarray:
    return ONES @ (LINEAR_WEIGHTS * np.float32(scale)) + LINEAR_BIAS


def body(**more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}], **more}


@every_client
@pytest.mark.parametrize(("version", "answers"), [("1", "1"), ("2", "2"), ("", "2")])
def test_a_version_is_chosen(target: Target, client: Client, version: str, answers: str) -> None:
    answer = client.infer(target, Call("linear", [Tensor("x", "FP32", ONES)], ["y"], version=version))
    assert answer.version == answers
    assert answer.model == "linear"
    np.testing.assert_allclose(answer.outputs["y"], linear(float(answers)))


@every_client
def test_the_request_id_comes_back(target: Target, client: Client) -> None:
    answer = client.infer(target, Call("linear", [Tensor("x", "FP32", ONES)], ["y"], id="my-request-7"))
    assert answer.id == "my-request-7"


@every_client
def test_two_inputs_give_two_outputs(target: Target, client: Client) -> None:
    first, second = np.array([[5, 7]], np.int32), np.array([[1, 2]], np.int32)
    tensors = [Tensor("b", "INT32", second), Tensor("a", "INT32", first)]
    outputs = client.infer(target, Call("two_inputs", tensors, ["sum", "difference"])).outputs
    assert outputs["sum"].tolist() == [[6, 9]], "inputs are known by name, in any order"
    assert outputs["difference"].tolist() == [[4, 5]]


def test_only_the_outputs_asked_for_come_back_http(target: Target) -> None:
    asked = {
        "inputs": [{"name": name, "datatype": "INT32", "shape": [1, 2], "data": [1, 2]} for name in "ab"],
        "outputs": [{"name": "difference"}],
    }
    answer = target.post("/v2/models/two_inputs/infer", asked)
    assert answer.status == 200
    assert [item["name"] for item in answer.json["outputs"]] == ["difference"]


def test_only_the_outputs_asked_for_come_back_grpc(target: Target) -> None:
    request = open_inference_pb2.ModelInferRequest(model_name="two_inputs")
    for name in "ab":
        request.inputs.add(name=name, datatype="INT32", shape=[1, 2]).contents.int_contents.extend([1, 2])
    request.outputs.add(name="difference")
    answer = target.stub.ModelInfer(request, timeout=30)
    assert [item.name for item in answer.outputs] == ["difference"]
    assert len(answer.raw_output_contents) == 1


@pytest.mark.parametrize("data", [[1, 1, 1, 1], [[1, 1, 1, 1]], [1.0, 1, 1.0, 1]], ids=["flat", "nested", "mixed"])
def test_json_data_may_be_flat_or_nested(target: Target, data: Any) -> None:
    asked = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": data}]}
    answer = target.post("/v2/models/linear/infer", asked)
    assert answer.status == 200, answer.body
    np.testing.assert_allclose(answer.json["outputs"][0]["data"], linear(2).ravel())


@pytest.mark.extension("parameters")
def test_parameters_of_ones_own_are_accepted(target: Target) -> None:
    answer = target.post(
        "/v2/models/linear/infer", body(parameters={"team": "pricing", "attempt": 2, "dry": True})
    )
    assert answer.status == 200, answer.body


@pytest.mark.extension("binary_tensor_data")
def test_one_output_binary_and_one_json(target: Target) -> None:
    asked = {
        "inputs": [{"name": name, "datatype": "INT32", "shape": [1, 2], "data": [1, 2]} for name in "ab"],
        "outputs": [{"name": "sum", "parameters": {"binary_data": True}}, {"name": "difference"}],
    }
    answer = target.post("/v2/models/two_inputs/infer", asked)
    length = int(answer.headers["inference-header-content-length"])
    outputs = {item["name"]: item for item in json.loads(answer.body[:length])["outputs"]}
    assert outputs["difference"]["data"] == [0, 0]
    assert "data" not in outputs["sum"]
    assert np.frombuffer(answer.body[length:], np.int32).tolist() == [2, 4]


@pytest.mark.extension("binary_tensor_data")
def test_one_input_binary_and_one_json(target: Target) -> None:
    head = json.dumps(
        {
            "inputs": [
                {"name": "a", "datatype": "INT32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
                {"name": "b", "datatype": "INT32", "shape": [1, 2], "data": [[1, 2]]},
            ]
        }
    ).encode()
    content = head + np.array([5, 7], np.int32).tobytes()
    answer = target.post(
        "/v2/models/two_inputs/infer", content, {"Inference-Header-Content-Length": str(len(head))}
    )
    assert answer.status == 200, answer.body
    assert answer.json["outputs"][0]["data"] == [6, 9]


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_requests_over_http(target: Target, encoding: str, compress: Any) -> None:
    content = compress(json.dumps(body()).encode())
    answer = target.post("/v2/models/linear/infer", content, {"Content-Encoding": encoding})
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_tritonclients_compression_both_ways(target: Target, encoding: str) -> None:
    sent = np.zeros((2000, 4), np.float32)  # large and dull enough to be worth it
    with tritonclient.http.InferenceServerClient(target.host_port) as client:
        tensor = tritonclient.http.InferInput("x", list(sent.shape), "FP32")
        tensor.set_data_from_numpy(sent)
        result = client.infer(
            "linear", [tensor], request_compression_algorithm=encoding, response_compression_algorithm=encoding
        )
    np.testing.assert_allclose(result.as_numpy("y"), np.tile(LINEAR_BIAS, (2000, 1)))


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_calls_over_grpc(target: Target, compression: grpc.Compression) -> None:
    request = open_inference_pb2.ModelInferRequest(model_name="linear")
    request.inputs.add(name="x", datatype="FP32", shape=[1000, 4])
    request.raw_input_contents.append(bytes(16_000))
    answer = target.stub.ModelInfer(request, timeout=30, compression=compression)
    assert list(answer.outputs[0].shape) == [1000, 3]


def test_many_requests_on_one_connection(target: Target) -> None:
    """Pipelined calls, each with its own answer."""
    calls = []
    for number in range(200):
        request = open_inference_pb2.ModelInferRequest(model_name="linear", model_version="1", id=str(number))
        request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
        request.raw_input_contents.append(np.full((1, 4), number, np.float32).tobytes())
        calls.append(target.stub.ModelInfer.future(request, timeout=30))
    for number, call in enumerate(calls):
        answer = call.result()
        assert answer.id == str(number)
        np.testing.assert_allclose(
            np.frombuffer(answer.raw_output_contents[0], np.float32),
            (np.full(4, number, np.float32) @ LINEAR_WEIGHTS) + LINEAR_BIAS,
        )
