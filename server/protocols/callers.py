"""Who calls, until when: the headers and metadata that both doors understand, read into a CallContext.

x-request-id        the caller's name for this call; made when absent or unfit for a log line, echoed always
traceparent         W3C trace context
rapide-user-key     sticky routing: the same key meets the same version
rapide-label        answer with the version of this label
rapide-version      answer with this version, whatever labels and weights say
rapide-timeout-ms   HTTP only: the call's deadline (gRPC has its own ``grpc-timeout``)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from rapide.server.context import AnsweredBy, CallContext
from rapide.server.errors import InvalidRequest
from rapide.server.telemetry.request_ids import accepted_id

REQUEST_ID: Final = "x-request-id"
TRACEPARENT: Final = "traceparent"
USER_KEY: Final = "rapide-user-key"
LABEL: Final = "rapide-label"
VERSION: Final = "rapide-version"
TIMEOUT_MS: Final = "rapide-timeout-ms"

MAX_TIMEOUT_MS: Final = 24 * 3600 * 1000.0
"""A day: nobody waits longer, and the sum with a clock stays exact."""


Ids = Callable[[], str]
"""A source of new request ids."""


def request_id(given: str, ids: Ids) -> str:
    """``given`` where it may go into logs and headers as it is, else a new id (the answer says which)."""
    return (given and accepted_id(given)) or ids()


def begin_call(
    protocol: str, headers: Mapping[str, str], ids: Ids, now_s: float, remaining_s: float | None = None
) -> CallContext:
    """The context of a call with these headers (lower-case names) that begins now; ``now_s`` is monotonic.

    ``remaining_s``: how long the caller waits, None where it did not say.
    """
    context = CallContext(protocol, request_id(headers.get(REQUEST_ID, ""), ids), now_s)
    if remaining_s is not None:
        context.deadline_s = now_s + remaining_s
    read_headers(context, headers)
    return context


def read_headers(context: CallContext, headers: Mapping[str, str]) -> None:
    """Fills what routing and tracing read; ``headers`` has lower-case names."""
    context.traceparent = headers.get(TRACEPARENT, "")
    context.user_key = headers.get(USER_KEY, "")
    context.label = headers.get(LABEL, "")
    context.pinned_version = headers.get(VERSION, "")


def read_timeout(context: CallContext, headers: Mapping[str, str]) -> None:
    """Sets the deadline that an HTTP caller gave. Raises InvalidRequest for one that cannot be read."""
    text = headers.get(TIMEOUT_MS)
    if text is None:
        return
    try:
        timeout_ms = float(text)
    except ValueError:
        timeout_ms = math.nan
    if not 0 < timeout_ms <= MAX_TIMEOUT_MS:
        raise InvalidRequest(
            f"header {TIMEOUT_MS} is {text[:32]!r}; expected milliseconds above 0, at most {MAX_TIMEOUT_MS:.0f}"
        )
    context.deadline_s = context.received_s + timeout_ms / 1000


def answer_headers(context: CallContext) -> tuple[tuple[str, str], ...]:
    """Who answered (where that is known) and the request id, for response headers or initial metadata."""
    mine = ((REQUEST_ID, context.request_id),)
    who: AnsweredBy | None = context.answered_by
    return mine if who is None else who.headers + mine
