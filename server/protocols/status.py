"""Domain errors → what each transport says. One row per class; a class without a row answers as its base does.

The HTTP codes are the Open Inference Protocol's and Triton's; the gRPC codes are numbered as in
``google.rpc.Code``, so that nothing here needs grpcio. Every failed call passes through ``refused``: an error that
nobody raised on purpose says nothing private, only the request id under which the log has the details.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Final

from rapide.server import errors
from rapide.server.context import CallContext
from rapide.server.errors import Internal, QueueFull, RapideError, RequestCancelled

log = logging.getLogger("rapide.protocols")

OK: Final = "ok"
"""The name of success in metrics and logs; failures are named by ``Status.name``."""

MAX_TEXT_CHARS: Final = 2048
"""Bound on an error's text: it travels in gRPC trailers, and clients refuse header lists above 8 KiB (RFC 9113,
section 6.5.2, as grpcio sets it); percent-encoding can triple it."""


@dataclass(frozen=True, slots=True)
class Status:
    """How one class of error is told: ``name`` in metrics and logs, the codes on the wire."""

    name: str
    http: int
    grpc: int


_ROWS: Final[dict[type[RapideError], tuple[int, int]]] = {
    # class: (HTTP status, gRPC code)
    errors.InvalidRequest: (400, 3),  # INVALID_ARGUMENT
    errors.SettingsError: (400, 3),
    errors.NotFound: (404, 5),  # NOT_FOUND
    errors.Conflict: (409, 9),  # FAILED_PRECONDITION
    errors.BrokenVersion: (409, 9),  # asked to load it: the repository's state forbids that until it is repaired
    errors.TooLarge: (413, 8),  # RESOURCE_EXHAUSTED, as every gRPC library says of a message above its bound
    errors.UnsupportedMedia: (415, 12),  # UNIMPLEMENTED, as gRPC's compression document demands
    errors.QueueFull: (429, 8),
    errors.RequestCancelled: (499, 1),  # CANCELLED; 499 is nginx's, seen in metrics and logs only
    errors.Internal: (500, 13),  # INTERNAL
    errors.RepositoryError: (500, 13),
    errors.Unimplemented: (501, 12),
    errors.Unavailable: (503, 14),  # UNAVAILABLE
    errors.DeadlineExceeded: (504, 4),  # DEADLINE_EXCEEDED
    RapideError: (500, 13),
}


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


TABLE: Final[dict[type[RapideError], Status]] = {
    kind: Status(_snake_case(kind.__name__), http, grpc) for kind, (http, grpc) in _ROWS.items()
}


def status_of(error: RapideError) -> Status:
    """The row of the error's class, or of its nearest base that has one."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def refused(error: BaseException, context: CallContext) -> RapideError:
    """``error`` as the caller may see it; what is our fault is written to the log.

    A cancelled task becomes RequestCancelled; anything that is no domain error becomes Internal.
    """
    if isinstance(error, asyncio.CancelledError):
        return RequestCancelled("the call was cancelled before its answer was ready")
    if isinstance(error, RapideError) and not isinstance(error, Internal):
        return error
    log.error("request %s failed: %r", context.request_id, error, exc_info=error)
    if isinstance(error, Internal):
        return error
    return Internal(f"internal error; the server's log has the details under request id {context.request_id}")


def text_of(error: RapideError) -> str:
    """What the caller reads: message and hint, on one line, bounded, without control characters."""
    text = " ".join(str(error).split())
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"


def retry_after_s(error: RapideError) -> int | None:
    """Whole seconds for ``Retry-After`` (RFC 9110, section 10.2.3), at least one; None where waiting is no
    cure."""
    if isinstance(error, QueueFull):
        return max(1, round(error.retry_after_s))
    return None
