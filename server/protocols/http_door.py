"""What all HTTP calls have in common, whichever server reads the socket: context, body, handler, refusal, headers.

``http_app.py`` is the ASGI server in front of it. A door of another kind needs only what is here and the route
table.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson

from rapide.server.context import CallContext
from rapide.server.errors import RapideError
from rapide.server.protocols import http_bodies
from rapide.server.protocols.callers import Ids, answer_headers, begin_call, read_timeout
from rapide.server.protocols.http_call import Cancel, HttpCall, HttpReply, Route
from rapide.server.protocols.status import OK, refused, retry_after_s, status_of, text_of
from rapide.server.service import InferenceService

CANCELLED: Final = "request_cancelled"
"""The name of a call whose caller went away, in metrics and logs."""
_NO_HEADERS: Final[tuple[tuple[str, str], ...]] = ()
_CLOSES: Final = (("connection", "close"),)
"""Sent with 413: the rest of a body that is not read is no next request."""


class HttpDoor:
    """Turns a request into a reply; never raises but for cancellation."""

    def __init__(self, service: InferenceService, ids: Ids) -> None:
        self._service = service
        self._ids = ids
        self.max_body_bytes = service.settings.max_message_bytes

    def context(self, headers: Mapping[str, str]) -> CallContext:
        """The context of the call that has these headers (lower-case names) and begins now."""
        return begin_call("http", headers, self._ids, time.monotonic())

    async def answer(
        self,
        route: Route,
        context: CallContext,
        headers: Mapping[str, str],
        path: Mapping[str, str],
        read: Awaitable[bytes],
    ) -> HttpReply:
        """The reply of the route's handler, or what went wrong. ``read`` gives the body as it is on the wire."""
        code = OK
        try:
            body = await read
            context.payload_bytes = len(body)
            coding = headers.get("content-encoding")
            if coding:
                body = await http_bodies.decoded(body, coding, self.max_body_bytes)
            read_timeout(context, headers)
            return await route.handler(self._service, HttpCall(context, headers, path, body))
        except BaseException as error:
            told = refused(error, context)
            code = status_of(told).name
            if not isinstance(error, Exception):
                raise
            return refusal(told)
        finally:
            if route.infers:
                self._service.finished(context, code)

    def begin(
        self,
        route: Route,
        context: CallContext,
        headers: Mapping[str, str],
        path: Mapping[str, str],
        body: bytes,
        done: Callable[[HttpReply], None],
    ) -> Cancel:
        """As ``answer``, of an inference whose body is whole and plain, with a callback instead of a task.

        ``done`` may be called before this returns. What it returns gives the call up.
        """
        assert route.begin is not None  # noqa: S101 - the caller's choice of routes
        service = self._service

        def finish(outcome: HttpReply | Exception) -> None:
            if isinstance(outcome, Exception):
                told = refused(outcome, context)
                service.finished(context, status_of(told).name)
                done(refusal(told))
            else:
                service.finished(context, OK)
                done(outcome)

        def give_up() -> bool:
            is_cancelled = cancel()
            if is_cancelled:
                service.finished(context, CANCELLED)
            return is_cancelled

        context.payload_bytes = len(body)
        try:
            read_timeout(context, headers)
            cancel = route.begin(service, HttpCall(context, headers, path, body), finish)
        except Exception as error:  # noqa: BLE001 - told to the caller, as every other
            finish(error)
            return _nothing_to_cancel
        return give_up


def _nothing_to_cancel() -> bool:
    return False


def refusal(error: RapideError) -> HttpReply:
    """The reply that tells of a domain error."""
    status = status_of(error).http
    headers = _CLOSES if status == 413 else _NO_HEADERS
    wait_s = retry_after_s(error)
    if wait_s is not None:
        headers = (*headers, ("retry-after", str(wait_s)))
    return HttpReply(orjson.dumps({"error": text_of(error)}), status, headers=headers)


def response_headers(reply: HttpReply, context: CallContext) -> list[tuple[bytes, bytes]]:
    """All headers of the reply, as they go on the wire."""
    headers = [
        (b"content-type", reply.media_type.encode()),
        (b"content-length", b"%d" % len(reply.body)),
    ]
    for name, value in answer_headers(context):
        headers.append((name.encode(), value.encode("latin-1", "replace")))
    for name, value in reply.headers:
        headers.append((name.encode(), value.encode("latin-1", "replace")))
    return headers
