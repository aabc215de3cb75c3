"""Bounds on what one HTTP connection may ask of the server, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLaneOptions:
    """Bounds and times of all connections of one lane."""

    max_body_bytes: int = 64 << 20
    max_url_bytes: int = 8192
    """What common servers take; model names are far shorter."""
    max_headers: int = 256
    max_header_bytes: int = 65_536
    """All names and values of one request: what common proxies pass fits, floods do not."""
    max_pipelined: int = 64
    """Requests of one connection in work at a time; beyond, its socket is not read."""
    keep_alive_s: float = 75.0
    """How long an idle connection is kept."""
    request_s: float = 60.0
    """How long a request may take to arrive, from its first byte: longer is a slow-loris."""
    drain_request_s: float = 1.0
    """How long a request may still be arriving once the connection drains: a stalled one must not delay a stop."""
    blocked_s: float = 60.0
    """How long a peer may leave its answers unread."""
    goodbye_s: float = 2.0
    """How long a peer that was refused may go on sending, unheard, so that it can read why."""
    goodbye_bytes: int = 64 << 20
    """How much: a client that sends the whole of a body that is too large, and reads then, can still be told."""
