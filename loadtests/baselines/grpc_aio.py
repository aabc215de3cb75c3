"""The hand-written gRPC server: grpcio's asyncio server on uvloop, protobuf, one ``session.run`` per request.

python -m rapide.loadtests.baselines.grpc_aio FOLDER PORT
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop

from rapide.loadtests.baselines import models
from rapide.proto import open_inference_pb2 as pb

SERVICE = "inference.GRPCInferenceService"


class Inference:
    """ModelInfer for raw FP32 tensors: all that this server's one client sends."""

    def __init__(self, folder: Path) -> None:
        self.models = models.load(folder)

    async def infer(self, request: pb.ModelInferRequest, _context: Any) -> pb.ModelInferResponse:
        model = self.models[request.model_name]
        rows = np.frombuffer(request.raw_input_contents[0], dtype=np.float32).reshape(request.inputs[0].shape)
        answers = model.run(rows)
        response = pb.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
        for name, datatype, answer in zip(model.output_names, model.datatypes, answers, strict=True):
            response.outputs.add(name=name, datatype=datatype, shape=answer.shape)
            response.raw_output_contents.append(answer.tobytes())
        return response


async def serve(folder: Path, port: int) -> None:
    """Listens on loopback until the process is stopped."""
    handler = grpc.unary_unary_rpc_method_handler(
        Inference(folder).infer,
        request_deserializer=pb.ModelInferRequest.FromString,
        response_serializer=pb.ModelInferResponse.SerializeToString,
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"ModelInfer": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
