"""Our message classes beside other packages' of the same names, and on other protobuf implementations."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

OURS = "from rapide.proto import open_inference_pb2 as ours, health_pb2, reflection_v1alpha_pb2"
THEIRS = (
    "from tritonclient.grpc import service_pb2 as theirs\n"
    "from grpc_health.v1 import health_pb2 as h\n"
    "from grpc_reflection.v1alpha import reflection_pb2 as r"
)
EXCHANGE = """
sent = theirs.ModelInferRequest(model_name="m", raw_input_contents=[b"abc"])
sent.parameters["k"].double_param = 0.5
read = ours.ModelInferRequest.FromString(sent.SerializeToString())
assert read.model_name == "m" and read.parameters["k"].double_param == 0.5
assert theirs.ModelInferRequest.FromString(read.SerializeToString()) == sent
"""


def run(code: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("imports", [(OURS, THEIRS), (THEIRS, OURS)], ids=["ours-first", "theirs-first"])
def test_lives_beside_other_packages_of_the_same_names(imports: tuple[str, str]) -> None:
    run("\n".join(imports) + EXCHANGE)


def test_works_without_protobufs_compiled_part() -> None:
    run(
        OURS + "\ntensor = ours.ModelInferRequest.InferInputTensor(name='x', shape=[1, 2])"
        "\nmessage = ours.ModelInferRequest(id='x', inputs=[tensor])\n"
        "assert ours.ModelInferRequest.FromString(message.SerializeToString()) == message",
        PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python",
    )
