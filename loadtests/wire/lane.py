"""The contract between the driver and the two protocols' connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

Answered = Callable[[int, bool], None]
"""Called with the request's number, and whether it was answered well."""


class Lane(Protocol):
    """One connection to a server."""

    answered: Answered
    """Set by the driver before the first request."""
    in_flight: int

    def send(self, number: int) -> None:
        """Sends the request once more; ``answered`` will be called with ``number``, once."""

    def close(self) -> None:
        """Closes the connection; requests in flight count as failed."""


OpenLane = Callable[[], Awaitable[Lane]]
"""Opens one more connection to the server that a target stands for."""
