"""What a peer can do wrong: end a stream, or the connection (RFC 9113, 5.4)."""

from __future__ import annotations

from rapide.server.protocols.http2.frames import ErrorCode


class ConnectionFault(Exception):
    """The connection cannot go on; ``message`` goes into GOAWAY's debug data and the log."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StreamFault(Exception):
    """One stream cannot go on; the others are not touched."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
