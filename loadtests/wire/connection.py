"""The contract of the two protocols' connections: bytes in, bytes out, no sockets and no clock.

Codes say how a request ended, in one number for both protocols: 0 is an answer, 1 to 16 are gRPC's codes, from 100
HTTP's status codes, and what never was an answer is negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

ANSWERED = 0
LOST = -1
"""The connection broke before the answer came."""
TIMED_OUT = -2
UNREACHABLE = -3
"""No connection could be had while it waited."""
NOT_SENT = -4
"""The run ended before its turn."""
IN_FLIGHT = -5
"""While a run lasts: sent, and not answered yet."""

GRPC_CODES = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]
OUR_CODES = {
    LOST: "lost with its connection",
    TIMED_OUT: "timed out",
    UNREACHABLE: "no connection",
    NOT_SENT: "not sent",
    IN_FLIGHT: "in flight",
}


def code_name(code: int) -> str:
    """``code`` as people know it."""
    if code in OUR_CODES:
        return OUR_CODES[code]
    return GRPC_CODES[code] if code < len(GRPC_CODES) else f"HTTP {code}"


class Broken(Exception):
    """The peer sent what no connection survives. ``ended``: what ``receive`` had read before."""

    def __init__(self, message: str, ended: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__(message)
        self.ended = list(ended)


Call_contra = TypeVar("Call_contra", contravariant=True)


class Connection(Protocol[Call_contra]):
    """One client connection. Requests are told apart by numbers that the caller chooses."""

    has_room: bool
    """Whether one more request may be asked now."""
    is_closing: bool
    """The peer takes no more requests here; what is in flight may still be answered."""
    errors: dict[int, str]
    """By code, the first reason that the peer gave in words."""

    def ask(self, number: int, call: Call_contra) -> None:
        """Puts the request among the bytes to be sent. Only while ``has_room``."""

    def take(self) -> bytes:
        """The bytes to be sent now, each once."""

    def receive(self, data: bytes) -> list[tuple[int, int]]:
        """``(number, code)`` of every request that ``data`` brings to its end. Raises Broken."""

    def in_flight(self) -> Iterable[int]:
        """The requests not ended yet, the oldest first."""

    def give_up(self, number: int) -> bool:
        """Forgets a request in flight; whether the connection can be used further."""
