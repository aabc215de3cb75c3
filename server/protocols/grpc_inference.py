"""gRPC handlers that predict: ModelInfer, ModelStreamInfer, and Predict with named features."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from rapide.proto import open_inference_pb2 as pb
from rapide.proto import predict_pb2
from rapide.server.codecs import oip_protobuf, predict_protobuf
from rapide.server.context import CallContext
from rapide.server.protocols.grpc_call import parse
from rapide.server.protocols.pipeline import in_order
from rapide.server.protocols.status import OK, refused, status_of, text_of
from rapide.server.service import InferenceService
from rapide.server.telemetry.request_ids import accepted_id

MAX_STREAM_REQUESTS: Final = 64
"""Requests of one stream in work at a time: enough to fill a batch, and no more memory than that."""
FINAL_RESPONSE: Final = "triton_final_response"
"""Response parameter by which Triton's clients know that no more answers to a request will come."""


async def model_infer(
    service: InferenceService, context: CallContext, request: pb.ModelInferRequest
) -> pb.ModelInferResponse:
    context.encoding = oip_protobuf.encoding(request)
    decoded = oip_protobuf.decode_request(request, service.read_region, service.codec_limits)
    return oip_protobuf.encode_response(await service.infer(decoded, context))


async def predict(
    service: InferenceService, context: CallContext, request: predict_pb2.PredictRequest
) -> predict_pb2.PredictResponse:
    given = predict_protobuf.decode_request(request)
    context.encoding = "named"
    context.label = given.label or context.label
    context.user_key = given.user_key or context.user_key
    context.request_id = accepted_id(given.request_id) or context.request_id
    answer = await service.predict(given.model, given.version, given.call, context)
    who = context.answered_by
    assert who is not None  # noqa: S101 - an answer has an author
    return predict_protobuf.encode_response(
        answer, model=who.model, version=who.version, label=who.label, request_id=context.request_id
    )


async def model_stream_infer(
    service: InferenceService, context: CallContext, received: AsyncIterator[bytes]
) -> AsyncIterator[pb.ModelStreamInferResponse]:
    """Answers in the order of the requests, which run side by side. An error is its request's answer. When the
    server closes, the stream ends once all that came is answered."""
    numbers = itertools.count(1)

    async def answer(raw: bytes) -> pb.ModelStreamInferResponse:
        call = replace(
            context,
            request_id=f"{context.request_id}.{next(numbers)}",
            received_s=time.monotonic(),
            payload_bytes=len(raw),
        )
        return await _stream_answer(service, call, raw)

    async for response in in_order(received, answer, MAX_STREAM_REQUESTS, service.closing):
        yield response


async def _stream_answer(
    service: InferenceService, context: CallContext, raw: bytes
) -> pb.ModelStreamInferResponse:
    code = OK
    request = pb.ModelInferRequest()
    try:
        request = parse(pb.ModelInferRequest, raw)
        response = await model_infer(service, context, request)
        response.parameters[FINAL_RESPONSE].bool_param = True
        return pb.ModelStreamInferResponse(infer_response=response)
    except BaseException as error:
        told = refused(error, context)
        code = status_of(told).name
        if not isinstance(error, Exception):
            raise
        empty = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
        return pb.ModelStreamInferResponse(error_message=text_of(told), infer_response=empty)
    finally:
        service.finished(context, code)
