"""HTTP handlers that predict: the Open Inference Protocol's infer, and TensorFlow Serving's :predict."""

from __future__ import annotations

from rapide.server.codecs import oip_json, tf_rest
from rapide.server.codecs.binary_part import HEADER_LENGTH, parse_header_length
from rapide.server.protocols.http_call import BINARY, HttpCall, HttpReply
from rapide.server.service import InferenceService


async def infer(service: InferenceService, call: HttpCall) -> HttpReply:
    request, reply = oip_json.decode_request(
        call.body,
        parse_header_length(call.headers.get(HEADER_LENGTH)),
        call.path["model"],
        call.path.get("version", ""),
        service.codec_limits,
        service.read_region,
    )
    call.context.encoding = reply.encoding
    response = await service.infer(request, call.context)
    body, json_length = oip_json.encode_response(response, reply)
    if json_length is None:
        return HttpReply(body)
    return HttpReply(body, media_type=BINARY, headers=((HEADER_LENGTH, str(json_length)),))


async def predict(service: InferenceService, call: HttpCall) -> HttpReply:
    given = tf_rest.decode_request(call.body)
    call.context.encoding = "named"
    call.context.label = call.path.get("label", call.context.label)
    answer = await service.predict(call.path["model"], call.path.get("version", ""), given, call.context)
    return HttpReply(tf_rest.encode_response(answer, given.form))
