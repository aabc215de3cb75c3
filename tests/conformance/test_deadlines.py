"""A caller's deadline is kept, and costs nobody else anything."""

from __future__ import annotations

import time

import grpc
import pytest

from rapide.proto import open_inference_pb2
from tests.conformance.target import Target


def request() -> open_inference_pb2.ModelInferRequest:
    message = open_inference_pb2.ModelInferRequest(model_name="slow")
    message.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    message.raw_input_contents.append(bytes(16))
    return message


def test_a_deadline_ends_the_call(target: Target) -> None:
    start_s = time.monotonic()
    target.stub.ModelInfer(request(), timeout=60)
    run_s = time.monotonic() - start_s
    with pytest.raises(grpc.RpcError) as refused:
        target.stub.ModelInfer(request(), timeout=run_s / 10)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - start_s < 2 * run_s, "it took as long as without a deadline"


def test_a_cancelled_call_does_not_harm_its_neighbours(target: Target) -> None:
    calls = [target.stub.ModelInfer.future(request(), timeout=30) for _ in range(4)]
    calls[1].cancel()
    calls[2].cancel()
    for call in (calls[0], calls[3]):
        assert list(call.result().outputs[0].shape) == [1, 4]
    assert calls[1].cancelled()
