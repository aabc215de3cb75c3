"""Bounds on what one HTTP/2 connection may ask of the server, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Http2Limits:
    """Bounds of one connection; the defaults are meant for the open network."""

    max_concurrent_streams: int = 1024
    """Requests in flight on one connection. h2load, Envoy and busy gRPC channels reach hundreds."""
    max_frame_bytes: int = 16_384
    """The largest frame accepted. The protocol's smallest choice: larger ones only delay the other streams."""
    max_header_list_bytes: int = 16_384
    """Decoded header bytes of one request that peers are told to keep to (gRPC's own default is 8 KiB). The layer
    above refuses what exceeds it, call by call: others share the connection (a proxy's, say)."""
    max_header_block_bytes: int = 65_536
    """Where it ends the connection: what one block may hold, compressed or decoded. Decoding this much takes tens
    of milliseconds, which is what one peer may cost the others."""
    max_continuations: int = 8
    """CONTINUATION frames of one header block: more is the CONTINUATION flood (CVE-2024-27316 and kin)."""
    stream_window_bytes: int = 1 << 20
    """What a peer may send on one stream ahead of our reading: one usual large message without a round trip."""
    connection_window_bytes: int = 1 << 24
    """The same for all streams together."""
    reset_burst: int = 1000
    reset_per_s: float = 100.0
    """Streams that a peer may open and reset at once, and for ever: more is the rapid reset (CVE-2023-44487)."""
    idle_frame_burst: int = 4000
    idle_frame_per_s: float = 1000.0
    """Frames without a request in them (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown) at once,
    and for ever; every request adds ``idle_frames_per_request``. More is a flood of one of these."""
    idle_frames_per_request: int = 16
    max_queued_bytes: int = 8 << 20
    """Control frames and headers that may wait for a peer which does not read, before the connection ends."""
