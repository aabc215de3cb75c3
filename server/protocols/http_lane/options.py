"""Bounds on what one HTTP connection may ask of the server, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLaneOptions:
    """Bounds and times of all connections of one lane."""

    max_body_bytes: int = 64 << 20
    max_url_bytes: int = 8192
    """What common servers take; model names are far shorter."""
    max_headers: int = 100
    max_header_bytes: int = 32_768
    """All names and values of one request: large cookies and tokens fit, floods do not."""
    max_pipelined: int = 64
    """Requests of one connection in work at a time; beyond, its socket is not read."""
    keep_alive_s: float = 75.0
    """How long an idle connection is kept."""
    request_s: float = 60.0
    """How long a request may take to arrive, from its first byte: longer is a slow-loris."""
    blocked_s: float = 60.0
    """How long a peer may leave its answers unread."""
    goodbye_s: float = 2.0
    """How long a peer that was refused may go on sending, unheard, so that it can read why."""
