"""What the lane is told, each bound with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from rapide.server.protocols.http2.limits import Http2Limits


@dataclass(frozen=True, slots=True)
class LaneOptions:
    """Bounds and times of all connections of one lane."""

    max_message_bytes: int = 64 << 20
    """The largest message taken, after decompression."""
    max_held_bytes: int = 128 << 20
    """Unfinished messages of one connection: two of the largest, so that a slow upload blocks no other."""
    compression: str = "none"
    """Of answers, where the caller reads it: ``none``, ``deflate`` or ``gzip``. Small answers only get slower."""
    keepalive_s: float = 7200.0
    """Silence after which a peer is asked whether it lives: TCP's own default."""
    keepalive_timeout_s: float = 20.0
    """How long its answer may take; gRPC's default."""
    greeting_s: float = 10.0
    """How long a connection may be open without having said a preface: half-open ones cost a file descriptor."""
    blocked_s: float = 60.0
    """How long a peer may leave its answers unread."""
    goodbye_s: float = 5.0
    """How long a peer may leave a connection open on which all is answered and nothing more will be."""
    max_age_s: float = 0.0
    """Age at which a connection is asked to come again, so that balancers can spread it anew; 0: never."""
    http2: Http2Limits = field(default_factory=Http2Limits)
