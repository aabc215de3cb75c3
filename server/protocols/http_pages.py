"""HTTP handlers for people and monitors: status page, API browser, metrics, usage profile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rapide import __version__
from rapide.server.protocols import openapi
from rapide.server.protocols.http_call import HTML, Handler, HttpCall, HttpReply, RouteTable, json_reply
from rapide.server.protocols.pages import page
from rapide.server.service import InferenceService

_SAFE: Final = (
    # The pages are whole in themselves: nothing may be loaded from elsewhere, and nobody may frame them.
    (
        "content-security-policy",
        "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    ("x-content-type-options", "nosniff"),
    ("cache-control", "no-cache"),
)


async def status_page(_service: InferenceService, _call: HttpCall) -> HttpReply:
    return HttpReply(page("status.html"), media_type=HTML, headers=_SAFE)


async def docs_page(_service: InferenceService, _call: HttpCall) -> HttpReply:
    return HttpReply(page("docs.html"), media_type=HTML, headers=_SAFE)


async def status(service: InferenceService, _call: HttpCall) -> HttpReply:
    return json_reply(await service.inspection.overview())


async def metrics(service: InferenceService, call: HttpCall) -> HttpReply:
    media_type, body = await service.inspection.metrics_page(call.headers.get("accept", ""))
    return HttpReply(body, media_type=media_type)


async def profile(service: InferenceService, _call: HttpCall) -> HttpReply:
    return json_reply(await service.inspection.profile())


def describes(table: Callable[[], RouteTable]) -> Handler:
    """The handler that describes a table in OpenAPI's terms. It is one of the table's own, hence the function."""

    async def openapi_document(_service: InferenceService, _call: HttpCall) -> HttpReply:
        return json_reply(openapi.document(table(), __version__))

    return openapi_document
