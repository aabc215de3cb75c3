"""HTTP handlers that predict: the Open Inference Protocol's infer, and TensorFlow Serving's :predict.

Each in two forms with one meaning: awaited, and begun with a callback, for a door without a task for each request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rapide.server.codecs import oip_json, tf_rest
from rapide.server.codecs.binary_part import HEADER_LENGTH, parse_header_length
from rapide.server.codecs.columns import PredictAnswer, PredictCall
from rapide.server.protocols.http_call import BINARY, Cancel, Done, HttpCall, HttpReply
from rapide.server.service import InferenceService
from rapide.server.tensors import InferRequest, InferResponse

Answer = TypeVar("Answer")


async def infer(service: InferenceService, call: HttpCall) -> HttpReply:
    request, reply = _decode_infer(service, call)
    return _encode_infer(await service.infer(request, call.context), reply)


def begin_infer(service: InferenceService, call: HttpCall, done: Done) -> Cancel:
    request, reply = _decode_infer(service, call)
    return service.submit(request, call.context, _then(lambda response: _encode_infer(response, reply), done))


async def predict(service: InferenceService, call: HttpCall) -> HttpReply:
    model, version, given = _decode_predict(call)
    answer = await service.predict(model, version, given, call.context)
    return HttpReply(tf_rest.encode_response(answer, given.form))


def begin_predict(service: InferenceService, call: HttpCall, done: Done) -> Cancel:
    model, version, given = _decode_predict(call)

    def encode(answer: PredictAnswer) -> HttpReply:
        return HttpReply(tf_rest.encode_response(answer, given.form))

    return service.submit_predict(model, version, given, call.context, _then(encode, done))


def _decode_infer(service: InferenceService, call: HttpCall) -> tuple[InferRequest, oip_json.JsonReply]:
    request, reply = oip_json.decode_request(
        call.body,
        parse_header_length(call.headers.get(HEADER_LENGTH)),
        call.path["model"],
        call.path.get("version", ""),
        service.codec_limits,
        service.read_region,
    )
    call.context.encoding = reply.encoding
    return request, reply


def _encode_infer(response: InferResponse, reply: oip_json.JsonReply) -> HttpReply:
    body, json_length = oip_json.encode_response(response, reply)
    if json_length is None:
        return HttpReply(body)
    return HttpReply(body, media_type=BINARY, headers=((HEADER_LENGTH, str(json_length)),))


def _decode_predict(call: HttpCall) -> tuple[str, str, PredictCall]:
    given = tf_rest.decode_request(call.body)
    call.context.encoding = "named"
    call.context.label = call.path.get("label", call.context.label)
    return call.path["model"], call.path.get("version", ""), given


def _then(encode: Callable[[Answer], HttpReply], done: Done) -> Callable[[Answer | Exception], None]:
    """Encodes what comes, and passes errors on, also those of encoding."""

    def landed(outcome: Answer | Exception) -> None:
        if isinstance(outcome, Exception):
            done(outcome)
            return
        try:
            reply = encode(outcome)
        except Exception as error:  # noqa: BLE001 - told to the caller, as every other
            done(error)
            return
        done(reply)

    return landed
