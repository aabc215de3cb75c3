"""What a peer did, as the connection tells it to the layer above."""

from __future__ import annotations

from dataclasses import dataclass

from rapide.server.protocols.http2.stream import Stream


@dataclass(slots=True)
class RequestOpened:
    """HEADERS of a new stream; ``ended``: nothing follows.

    The stream itself may be further on already: events tell what happened one by one, its state tells where all
    the bytes received so far have led.
    """

    stream: Stream
    ended: bool


@dataclass(slots=True)
class DataArrived:
    """``buffer[start:end]`` belongs to the stream; a view is not made, because the hot path needs none.

    ``buffer`` is immutable and may be kept. ``ended``: the peer has sent all.
    """

    stream: Stream
    buffer: bytes
    start: int
    end: int
    ended: bool


@dataclass(slots=True)
class RequestEnded:
    """The peer ended its side with trailers, or refused length zero DATA."""

    stream: Stream


@dataclass(slots=True)
class StreamGone:
    """The peer reset the stream, or broke a rule on it: nobody waits for its answer any more."""

    stream: Stream
    code: int


@dataclass(slots=True)
class QueueDrained:
    """All that was queued on the stream has been handed to the transport: a streaming answer may go on."""

    stream: Stream


@dataclass(slots=True)
class PingAnswered:
    """The peer answered a PING that we sent."""

    opaque: bytes


@dataclass(slots=True)
class ConnectionEnded:
    """The peer broke the protocol, or said GOAWAY (code 0 then). ``reason`` is for the log."""

    code: int
    reason: str


Event = RequestOpened | DataArrived | RequestEnded | StreamGone | QueueDrained | PingAnswered | ConnectionEnded
