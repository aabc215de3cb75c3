"""HTTP handlers that describe: health, server and model metadata, configuration, statistics, TensorFlow Serving's
status."""

from __future__ import annotations

from rapide.server.protocols.http_call import HttpCall, HttpReply, json_reply
from rapide.server.service import InferenceService


async def live(service: InferenceService, _call: HttpCall) -> HttpReply:
    return _yes_or_no("live", service.inspection.server_live())


async def ready(service: InferenceService, _call: HttpCall) -> HttpReply:
    return _yes_or_no("ready", service.inspection.server_ready())


async def server_metadata(service: InferenceService, _call: HttpCall) -> HttpReply:
    return json_reply(service.inspection.server_metadata())


async def model_metadata(service: InferenceService, call: HttpCall) -> HttpReply:
    return json_reply(service.inspection.model_metadata(*_which(call)))


async def model_ready(service: InferenceService, call: HttpCall) -> HttpReply:
    return _yes_or_no("ready", service.inspection.model_ready(*_which(call)))


async def model_config(service: InferenceService, call: HttpCall) -> HttpReply:
    return json_reply(service.inspection.model_config(*_which(call)))


async def model_example(service: InferenceService, call: HttpCall) -> HttpReply:
    return json_reply(service.inspection.model_example(*_which(call)))


async def model_statistics(service: InferenceService, call: HttpCall) -> HttpReply:
    return json_reply(await service.inspection.model_statistics(*_which(call)))


async def all_statistics(service: InferenceService, _call: HttpCall) -> HttpReply:
    return json_reply(await service.inspection.model_statistics())


async def tf_status(service: InferenceService, call: HttpCall) -> HttpReply:
    return json_reply(service.inspection.tf_status(*_which(call), label=call.path.get("label", "")))


def _which(call: HttpCall) -> tuple[str, str]:
    return call.path["model"], call.path.get("version", "")


def _yes_or_no(word: str, value: bool) -> HttpReply:
    return json_reply({word: value}, 200 if value else 503)
