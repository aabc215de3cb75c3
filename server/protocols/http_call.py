"""One HTTP call as its handler sees it, its reply, and the row of the route table: the contract of the HTTP doors.

Nothing here knows ASGI: whichever door reads the request makes an HttpCall, calls the route's handler, and writes
the HttpReply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from rapide.server.context import CallContext
from rapide.server.errors import InvalidRequest
from rapide.server.service import InferenceService

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
HTML: Final = "text/html; charset=utf-8"


@dataclass(slots=True)
class HttpCall:
    """A request whose body has been read whole, and decompressed."""

    context: CallContext
    headers: Mapping[str, str]
    """Lower-case names; of a repeated header the last one."""
    path: Mapping[str, str]
    """The values of the route's placeholders, percent-decoded."""
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, empty where there is no body. Raises InvalidRequest for anything else."""
        if not self.body:
            return {}
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"the body is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise InvalidRequest("the body must be a JSON object")
        return value


@dataclass(slots=True)
class HttpReply:
    """What goes back. The door adds content-length, the request id and who answered."""

    body: bytes = b""
    status: int = 200
    media_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[InferenceService, HttpCall], Awaitable[HttpReply]]
Done = Callable[[HttpReply | Exception], None]
Cancel = Callable[[], bool]
"""Gives a call up: True if its ``Done`` will not be called."""
Begin = Callable[[InferenceService, HttpCall, Done], Cancel]
"""As Handler, with a callback instead of a task. May raise instead of calling it."""


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table: what is asked, who answers it, and what the API's description says about it."""

    method: str
    path: str
    """With placeholders: ``/v2/models/{model}/infer``."""
    handler: Handler
    summary: str
    tag: str
    takes: str = ""
    """Name of the body's schema in ``openapi_schemas.py``; empty where there is none."""
    gives: str = ""
    """Name of the reply's schema; empty where the reply has no body, or is no JSON."""
    media_type: str = JSON
    infers: bool = False
    """Whether this is inference: counted as a request of the model, and stopped when its caller goes away."""
    begin: Begin | None = None
    """The handler's other form, where there is one."""

    @property
    def operation(self) -> str:
        """A unique name, for generated clients."""
        words = self.path.replace(":", "/").replace("{", "").replace("}", "").replace(".", "/").split("/")
        return "_".join([self.method.lower(), *(word for word in words if word)])


def json_reply(value: Any, status: int = 200) -> HttpReply:
    """``value`` as JSON; NaN and infinities, which JSON lacks, become null."""
    return HttpReply(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), status)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The routes of one port, in the order in which they are tried."""

    routes: tuple[Route, ...]
    by_path: Mapping[str, Mapping[str, Route]] = field(init=False)
    """Path → method → route."""

    def __post_init__(self) -> None:
        by_path: dict[str, dict[str, Route]] = {}
        for route in self.routes:
            if route.method in by_path.setdefault(route.path, {}):
                raise ValueError(f"two routes for {route.method} {route.path}")
            by_path[route.path][route.method] = route
        object.__setattr__(self, "by_path", by_path)
