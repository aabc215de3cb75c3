"""ModelStreamInfer: many requests and answers on one call."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np
import tritonclient.grpc

from rapide.proto import open_inference_pb2
from tests.conformance.target import Target


def request(number: int, model: str = "identity_fp32") -> open_inference_pb2.ModelInferRequest:
    message = open_inference_pb2.ModelInferRequest(model_name=model, id=str(number))
    message.inputs.add(name="x", datatype="FP32", shape=[1, 1])
    message.raw_input_contents.append(np.float32(number).tobytes())
    return message


def test_every_request_has_its_answer(target: Target) -> None:
    answers = list(target.stub.ModelStreamInfer(iter([request(number) for number in range(50)]), timeout=30))
    assert all(not answer.error_message for answer in answers)
    found = {
        answer.infer_response.id: np.frombuffer(answer.infer_response.raw_output_contents[0], np.float32)[0]
        for answer in answers
    }
    assert found == {str(number): number for number in range(50)}


def test_an_error_is_an_answer_and_the_stream_goes_on(target: Target) -> None:
    requests = [request(0), request(1, model="nothing"), request(2)]
    answers = list(target.stub.ModelStreamInfer(iter(requests), timeout=30))
    assert [bool(answer.error_message) for answer in answers].count(True) == 1
    assert {answer.infer_response.id for answer in answers if not answer.error_message} == {"0", "2"}


def test_tritonclients_stream(target: Target) -> None:
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(target.need_grpc()) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        tensor = tritonclient.grpc.InferInput("x", [1, 2], "FP32")
        for number in range(10):
            tensor.set_data_from_numpy(np.full((1, 2), number, np.float32))
            client.async_stream_infer("identity_fp32", [tensor], request_id=str(number))
        found = {}
        for _ in range(10):
            result, error = answers.get(timeout=30)
            assert error is None
            found[result.get_response().id] = result.as_numpy("y").tolist()
        client.stop_stream()
    assert found == {str(number): [[number, number]] for number in range(10)}
