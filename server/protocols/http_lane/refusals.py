"""Requests that are refused before they are whole, where HTTP has a status of its own for the reason."""

from __future__ import annotations

from typing import Final

from rapide.server.errors import InvalidRequest, RapideError, TooLarge


class TooSlow(InvalidRequest):
    """The request takes too long to arrive (RFC 9110, 15.5.9)."""


class UrlTooLong(TooLarge):
    """The request's target (RFC 9110, 15.5.15)."""


class HeadersTooLarge(TooLarge):
    """The request's headers or trailers (RFC 6585, section 5)."""


class OtherVersion(InvalidRequest):
    """It is not HTTP/1.1 or HTTP/1.0 that the request names (RFC 9110, 15.6.6)."""


STATUS: Final[dict[type[RapideError], int]] = {
    TooSlow: 408,
    UrlTooLong: 414,
    HeadersTooLarge: 431,
    OtherVersion: 505,
}
"""What differs from the status of the error's base."""
