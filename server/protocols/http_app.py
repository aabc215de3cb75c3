"""The ASGI door: Starlette finds the route, this module reads the request and writes the reply.

No middleware and no task per request. A caller that goes away is noticed by a watcher that starts only when an
answer takes longer than ``WATCH_AFTER_S``: an answer that is there within a few loop ticks never pays for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Final

from starlette.routing import Route as StarletteRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from rapide.server.context import CallContext
from rapide.server.errors import InvalidRequest, NotFound, RequestCancelled, TooLarge
from rapide.server.protocols import http_bodies
from rapide.server.protocols.callers import Ids
from rapide.server.protocols.http_call import HttpReply, Route, RouteTable
from rapide.server.protocols.http_door import HttpDoor, refusal, response_headers
from rapide.server.protocols.http_routes import ADMIN_ROUTES, PUBLIC_ROUTES
from rapide.server.service import InferenceService
from rapide.server.telemetry.request_ids import request_ids

WATCH_AFTER_S: Final = 0.005
"""How long an answer may take before we look whether its caller is still there."""


def build_http_app(service: InferenceService, ids: Ids | None = None) -> ASGIApp:
    """The public API: inference, models, repository, shared memory, pages."""
    return _build(service, PUBLIC_ROUTES, ids or request_ids())


def build_admin_app(service: InferenceService, ids: Ids | None = None) -> ASGIApp:
    """The port of metrics and administration: metrics, usage profile, health, repository."""
    return _build(service, ADMIN_ROUTES, ids or request_ids())


def _build(service: InferenceService, table: RouteTable, ids: Ids) -> ASGIApp:
    door = HttpDoor(service, ids)
    routes = [StarletteRoute(path, _Resource(door, methods)) for path, methods in table.by_path.items()]
    return Router(routes, redirect_slashes=False, default=_Nowhere(door))


class _Resource:
    """Everything that can be asked of one path."""

    def __init__(self, door: HttpDoor, methods: Mapping[str, Route]) -> None:
        self._door = door
        self._routes = dict(methods)
        if "GET" in methods:
            self._routes["HEAD"] = methods["GET"]  # the server leaves the body out (RFC 9110, section 9.3.2)
        self._allow = ", ".join([*self._routes, "OPTIONS"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        context = self._door.context(headers)
        route = self._routes.get(scope["method"])
        if route is None:
            reply = self._other_method(scope["method"])
        else:
            found = await self._answer(route, context, headers, scope, receive)
            if found is None:
                return
            reply = await _compressed(found, headers)
        await _send(reply, response_headers(reply, context), send)

    async def _answer(
        self, route: Route, context: CallContext, headers: Mapping[str, str], scope: Scope, receive: Receive
    ) -> HttpReply | None:
        """The reply; None if the caller of an inference went away first, which then has been cancelled."""
        read = _read(headers, receive, self._door.max_body_bytes)
        path = scope["path_params"]
        if not route.infers:
            return await self._door.answer(route, context, headers, path, read)
        watch = _Watch(receive)
        try:
            return await self._door.answer(route, context, headers, path, watch.after(read))
        except asyncio.CancelledError:
            if watch.gone:
                return None
            raise
        finally:
            watch.stop()

    def _other_method(self, method: str) -> HttpReply:
        allow = (("allow", self._allow),)
        if method == "OPTIONS":
            return HttpReply(status=204, headers=allow)
        reply = refusal(InvalidRequest(f"{method[:16]} is not offered here; use {self._allow}"))
        return HttpReply(reply.body, 405, headers=allow)


class _Nowhere:
    """Every path that no route has."""

    def __init__(self, door: HttpDoor) -> None:
        self._door = door

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # WebSocket: closing before accepting answers 403
            await send({"type": "websocket.close", "code": 1000})
            return
        context = self._door.context(_headers(scope))
        reply = refusal(
            NotFound(
                f"there is nothing at {scope['path'][:128]!r}.",
                hint="GET /docs and /openapi.json list what there is; inference is POST /v2/models/{model}/infer.",
            )
        )
        await _send(reply, response_headers(reply, context), send)


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def _read(headers: Mapping[str, str], receive: Receive, limit_bytes: int) -> bytes:
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        parts = [body]
        length = len(body)
        while message.get("more_body"):
            message = await receive()
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            if length > limit_bytes:
                raise _too_large(limit_bytes)
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        raise RequestCancelled("the caller went away before its request was complete")
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    return body


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the request's body is larger than {limit_bytes} bytes, the limit here")


async def _compressed(reply: HttpReply, headers: Mapping[str, str]) -> HttpReply:
    accepted = headers.get("accept-encoding")
    if not accepted or len(reply.body) < http_bodies.MIN_COMPRESSED_BYTES:
        return reply
    reply.body, coding = await http_bodies.encoded(reply.body, accepted)
    if coding:
        reply.headers = (*reply.headers, ("content-encoding", coding), ("vary", "accept-encoding"))
    return reply


async def _send(reply: HttpReply, headers: list[tuple[bytes, bytes]], send: Send) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


class _Watch:
    """Cancels the task that made it when its caller disconnects, once the body has been read and until
    ``stop``."""

    __slots__ = ("_later", "_receive", "_task", "_watcher", "gone")

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - an ASGI server calls from a task
        self._task = task
        self._receive = receive
        self._later: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.gone = False

    async def after(self, read: Awaitable[bytes]) -> bytes:
        """The body; from then on ``receive`` has nothing more to say than that the caller went away."""
        body = await read
        self._later = self._task.get_loop().call_later(WATCH_AFTER_S, self._start)
        return body

    def stop(self) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if self.gone:
            self._task.uncancel()

    def _start(self) -> None:
        self._watcher = self._task.get_loop().create_task(self._run())

    async def _run(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
            self._task.cancel()
